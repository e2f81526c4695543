//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// TestTenThousandBuildArguments builds with an environment as large as a
// message may be, and leaves nothing behind.
func TestTenThousandBuildArguments(t *testing.T) {
	t.Parallel()
	source := newSource(t, sample(t, testbed.Sample{Base: shared.base, Run: `echo "<$VARIABLE_09999>"`}))
	w := newWorld(t, worldOptions{env: []string{github(source)}})
	p := w.start()
	variables := map[string]string{}
	for i := range 10_000 {
		variables[fmt.Sprintf("VARIABLE_%05d", i)] = fmt.Sprintf("value ${x} of %d", i)
	}
	before, began := p.peakMemory(t), time.Now()
	s := w.send(repository(t, "many", "acme/app").with(params{
		"deploy": "noop", "build": params{"builder": "csdocker", "disablePush": true, "buildArgs": variables},
	}))
	w.succeeded(s, patience)
	t.Logf("10,000 build arguments: %s, the worker's memory rose from %d to %d MB at most", time.Since(began).Round(10*time.Millisecond), before>>20, p.peakMemory(t)>>20)
	if log := w.logText(s); len(log) > 1<<20 {
		t.Errorf("the log has %d bytes", len(log))
	}
	wantEmptyWorkDir(t, w)
}

// TestLargeTasksEndInWords: what is too large is refused before it starts, or
// by the step that cannot take it; the worker goes on.
func TestLargeTasksEndInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldOptions{})
	w.start()
	repository := pushHello(t, "large", "1")
	var networks []params
	for i := range 1000 {
		networks = append(networks, params{"portNumber": 8080 + i, "portType": "http"})
	}
	for _, c := range []struct {
		name, reason, stage string
		params              params
		says                string
	}{
		{"more ports than a node has", "placement_failed", "watch", params{"networks": networks}, "port"},
		{"a command that no kernel takes", "render_failed", "render", params{"command": strings.Repeat("x", 200<<10)}, "131071"},
		{"a command that no parser ends", "render_failed", "render", params{"command": strings.Repeat("${", 50_000)}, "4096"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.failed(w.send(image(t, "large", repository, "1").with(c.params)), patience, c.reason, c.stage)
			wantAll(t, "the failure", r.Message, c.says)
		})
	}
	w.succeeded(w.send(image(t, "small", repository, "1").with(params{"deploy": "noop"})), patience)
	wantEmptyWorkDir(t, w)
}
