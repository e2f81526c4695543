//go:build e2e

package bench_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// asyncjobsEnv may name a directory with the source of asyncjobs, for a machine
// that cannot download it.
const asyncjobsEnv = "DISPATCHD_BENCH_ASYNCJOBS"

// buildAsyncjobs builds the program of the module next to this package, in a
// copy: what it downloads changes the copy's go.sum. It returns an empty path
// and says why where that is not to be had.
func buildAsyncjobs(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	must(b, os.CopyFS(dir, os.DirFS("asyncjobs")))
	commands := [][]string{{"build", "-mod=mod", "-o", "asyncjobs", "."}}
	if source := os.Getenv(asyncjobsEnv); source != "" {
		replace := []string{"mod", "edit", "-replace", "github.com/choria-io/asyncjobs=" + source}
		commands = append([][]string{replace}, commands...)
	}
	for _, args := range commands {
		cmd := exec.CommandContext(b.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Logf("go %q: %v\n%s", args, err, out)
			results.note("asyncjobs", "left out: it cannot be built here; %s=DIR names its source", asyncjobsEnv)
			return ""
		}
	}
	return filepath.Join(dir, "asyncjobs")
}

// rival is a process that works off tasks with asyncjobs.
type rival struct {
	server natsServer
	in     io.Writer
	out    *bufio.Reader
}

func startAsyncjobs(b *testing.B, program string, server natsServer, slots int) *rival {
	b.Helper()
	cmd := exec.Command(program, server.url, strconv.Itoa(slots))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &rival{server: server, in: in, out: bufio.NewReader(out)}
}

func (r *rival) run(b *testing.B, _, n int) spent {
	b.Helper()
	_, err := fmt.Fprintln(r.in, n)
	must(b, err)
	_, err = r.out.ReadString('\n')
	must(b, err)
	before := r.server.time()
	var took, used float64
	_, err = fmt.Fscanln(r.out, &took, &used)
	must(b, err)
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	return spent{took: seconds(took), worker: seconds(used), server: r.server.time() - before}
}
