//go:build e2e

package bench_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the stripped dispatchd that `make build` has made.
func binary(b *testing.B) string {
	b.Helper()
	path, err := filepath.Abs("../../bin/dispatchd")
	must(b, err)
	if _, err := os.Stat(path); err != nil {
		b.Fatalf("run make build first: %v", err)
	}
	return path
}

// environ lets a dispatchd find the platform.
func (p *platform) environ(b *testing.B, more ...string) []string {
	b.Helper()
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.TempDir(), "TMPDIR=" + b.TempDir(),
		"NATS_SERVERS=" + p.url, "NATS_STREAM_PREFIX=" + p.topology.Prefix,
		"DISPATCHD_WORK_DIR=" + b.TempDir(), "DISPATCHD_HTTP_ADDR=127.0.0.1:0",
	}, more...)
}

// service is a running `dispatchd run`.
type service struct{ cmd *exec.Cmd }

// startService returns when the service takes tasks.
func startService(b *testing.B, env []string) *service {
	b.Helper()
	s := &service{cmd: exec.Command(binary(b), "run")}
	out := &logBuffer{}
	s.cmd.Env, s.cmd.Stderr = env, out
	must(b, s.cmd.Start())
	b.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
		if b.Failed() {
			b.Logf("dispatchd said:\n%s", out.String())
		}
	})
	eventually(b, 20*time.Second, "dispatchd is ready", func() bool { return strings.Contains(out.String(), "ready for tasks") })
	return s
}

// memory reads a line of the process's status in bytes: VmRSS is what it has,
// VmHWM the most that it ever had.
func (s *service) memory(b *testing.B, line string) int64 {
	b.Helper()
	text, err := os.ReadFile(s.proc("status"))
	must(b, err)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == line+":" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			must(b, err)
			return kilobytes << 10
		}
	}
	b.Fatalf("no %s in %s", line, s.proc("status"))
	return 0
}

// forgetPeak lets VmHWM begin anew.
func (s *service) forgetPeak(b *testing.B) {
	b.Helper()
	must(b, os.WriteFile(s.proc("clear_refs"), []byte("5"), 0))
}

func (s *service) proc(file string) string {
	return filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), file)
}

// logBuffer may be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// eventually polls a condition until it holds.
func eventually(b *testing.B, within time.Duration, what string, holds func() bool) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.Context()), within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			b.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}

// rest lets a process come to rest before it is looked at.
func rest(b *testing.B, d time.Duration) {
	b.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.Context().Done():
	}
}

// mb shows bytes.
func mb(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
