package nomad_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// secret stands for one that is masked after the message has left us: a half of
// it would not be.
const secret = "s3cr3t-0123456789-abcdefghijklmnop"

func TestALongRefusalIsNotCut(t *testing.T) {
	t.Parallel()
	for _, before := range []int{380, 395, 900} {
		f := newFake(t)
		f.script("PUT /v1/jobs", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "1 error occurred:\n\t* "+strings.Repeat("x", before)+secret+" is invalid\n\n", http.StatusInternalServerError)
		})
		_, err := f.client(t, nomad.Options{}).Register(t.Context(), tasks.Cluster{}, spec("t1"))
		wantFailure(t, err, tasks.ReasonJobRejected, secret+" is invalid")
	}
}

func TestWarningsAreTheCustomersAlone(t *testing.T) {
	t.Parallel()
	const (
		head   = "2 warnings:\n\n* "
		memory = `Memory oversubscription is not enabled; Task "web.dep-1" memory_max value will be ignored. Update the Scheduler Configuration to allow oversubscription.`
		other  = `Group "web" has warnings: 1 error occurred:` + "\n\t* Update max parallel count is greater than task group count (2 > 1).\n"
		said   = `Group "web" has warnings: Update max parallel count is greater than task group count (2 > 1).`
	)
	for name, c := range map[string]struct{ sent, want string }{
		"none":            {"", ""},
		"the operator's":  {"1 warning:\n\n* " + memory, ""},
		"both":            {head + memory + "\n* " + other, said},
		"the other way":   {head + other + "\n* " + memory, said},
		"the customer's":  {"1 warning:\n\n* " + other, said},
		"the known words": {"1 warning:\n\n* not " + memory, "not " + memory},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.script("PUT /v1/jobs", func(w http.ResponseWriter, _ *http.Request) {
				job := webJob("service", 1)
				f.put(job)
				reply(w, *job.JobModifyIndex, api.JobRegisterResponse{EvalID: "e", JobModifyIndex: *job.JobModifyIndex, Warnings: c.sent})
			})
			reg, err := f.client(t, nomad.Options{}).Register(t.Context(), tasks.Cluster{}, spec("t1"))
			if err != nil || reg.Warnings != c.want {
				t.Errorf("got %q and %v, want %q", reg.Warnings, err, c.want)
			}
		})
	}
}

// TestLinesOfAnAppAreNotCutInTwo: the build log masks secrets line by line.
func TestLinesOfAnAppAreNotCutInTwo(t *testing.T) {
	t.Parallel()
	const around = 32<<10 - 20
	long := strings.Repeat("x", around) + secret + strings.Repeat("y", around)
	for name, c := range map[string]struct {
		logs  string
		limit int64
	}{
		"a long line":              {long + "\nend\n", 0},
		"one without an end":       {long, 0},
		"the end of a long output": {strings.Repeat(strings.Repeat("z", 476)+secret+"\n", 300) + "end\n", 2000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			reg := f.seed(webJob("service", 1))
			f.logs["aaaaaaaa-1/web/stdout"] = c.logs
			f.setAllocs("web", alloc(reg, "aaaaaaaa-1", "failed", ptr(false), dead(0, exit("1"))))
			f.setDeployment(reg, "failed", "Failed due to unhealthy allocations", one)
			_, rep, err := watch(t, f, nomad.Options{LogBytes: c.limit}, reg)
			wantFailure(t, err, tasks.ReasonCrashed)
			shown := 0
			for line := range strings.Lines(rep.stdout()) {
				line = strings.TrimSuffix(strings.TrimPrefix(line, "alloc aaaaaaaa web: "), "\n")
				if strings.Contains(line, secret) {
					shown++
				}
				if masked := strings.ReplaceAll(line, secret, ""); strings.Contains(masked, "s3cr3t") || strings.Contains(masked, "mnop") {
					t.Errorf("half of a secret is left of a line: %.40s…", line)
				}
			}
			if shown == 0 {
				t.Error("no line holds the whole secret")
			}
		})
	}
}
