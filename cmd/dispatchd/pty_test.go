//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// pty is a terminal with a person before it.
type pty struct {
	t             *testing.T
	person, inner *os.File
	mu            sync.Mutex
	shown         strings.Builder
	reading       sync.WaitGroup
}

// newPTY opens a terminal of 60 columns and 20 rows.
func newPTY(t *testing.T) *pty {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminal can be opened here:", err)
	}
	var unlock, number uint32
	ioctl(t, person, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	ioctl(t, person, syscall.TIOCGPTN, unsafe.Pointer(&number))
	inner, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	size := [4]uint16{20, 60}
	ioctl(t, inner, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	p := &pty{t: t, person: person, inner: inner}
	p.reading.Go(p.read)
	t.Cleanup(func() {
		_ = inner.Close()
		_ = person.Close()
		p.reading.Wait()
	})
	return p
}

func ioctl(t *testing.T, file *os.File, request uintptr, argument unsafe.Pointer) {
	t.Helper()
	conn, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Control(func(fd uintptr) {
		if _, _, code := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument)); code != 0 {
			t.Error(code)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *pty) read() {
	buffer := make([]byte, 4096)
	for {
		n, err := p.person.Read(buffer)
		p.mu.Lock()
		p.shown.Write(buffer[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *pty) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.String()
}

// await waits until the terminal shows a text, and answers it.
func (p *pty) await(text, answer string) {
	p.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.text(), text) {
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("the terminal does not show %q:\n%s", text, p.text())
		}
	}
	if _, err := io.WriteString(p.person, answer); err != nil {
		p.t.Fatal(err)
	}
}

// start runs a command line on the terminal; the result is its exit code.
func (s *shell) start(ctx context.Context, p *pty, line string) <-chan int {
	done := make(chan int, 1)
	go func() {
		done <- executeRoot(ctx, newRoot(s.parts.Open), strings.Fields(line), streams{p.inner, p.inner, p.inner})
	}()
	return done
}

func TestInitAsksOnATerminal(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing})
	p := newPTY(t)
	done := s.start(t.Context(), p, "init --registry reg.example")
	p.await("Name of the app [", "shop\n")
	p.await("Builder (csdocker, nixpacks, railpack, noop) [csdocker]: ", "\n")
	p.await("Registry that the image is pushed to [reg.example]: ", "reg.example/team\n")
	p.await("Ports that the app listens on [those of the image: 8080]: ", "9000, 9001\n")
	if code := <-done; code != exitOK {
		t.Fatalf("init exits with %d:\n%s", code, p.text())
	}
	if got := s.read("cloudstation.hcl"); !strings.Contains(got, `"reg.example/team/shop"`) || !strings.Contains(got, `app "shop"`) {
		t.Errorf("the answers do not stand in the file:\n%s", got)
	}
	if got := s.read("vars.hcl"); !strings.Contains(got, "9001") {
		t.Errorf("the ports do not stand in the file:\n%s", got)
	}
}

func TestALeftQuestionChangesNothing(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing})
	p := newPTY(t)
	done := s.start(t.Context(), p, "init")
	p.await("Name of the app [", "\x04") // Ctrl-D
	if code := <-done; code != exitFailed {
		t.Errorf("init exits with %d after Ctrl-D", code)
	}
	ctx, cancel := context.WithCancel(t.Context())
	again := newPTY(t)
	done = s.start(ctx, again, "init")
	again.await("Name of the app [", "")
	cancel()
	if code := <-done; code != exitInterrupted {
		t.Errorf("init exits with %d after Ctrl-C", code)
	}
	_, _ = io.WriteString(again.person, "\n") // ends the read that was left behind
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v", entries)
	}
}

func TestDestroyAsksOnATerminal(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing})
	s.wants(exitOK, "init --name web --registry reg.example")
	for answer, want := range map[string]int{"\n": exitFailed, "no\n": exitFailed, "y\n": exitOK, "YES\n": exitOK} {
		p := newPTY(t)
		done := s.start(t.Context(), p, "destroy")
		p.await("Destroy job web at http://127.0.0.1:4646? [y/N]: ", answer)
		if code := <-done; code != want {
			t.Errorf("destroy exits with %d after %q, want %d:\n%s", code, answer, want, p.text())
		}
	}
	if got, want := strings.Join(s.parts.Asked(), " "), "info destroy info destroy"; got != want {
		t.Errorf("asked: %s, want %s", got, want)
	}
}

// screen plays what was written to a terminal and returns what stays on it.
func screen(written string) string {
	rows := []string{""}
	move := regexp.MustCompile(`^\x1b\[(\d+)A`)
	for len(written) > 0 {
		switch {
		case move.MatchString(written):
			found := move.FindStringSubmatch(written)
			var n int
			_, _ = fmt.Sscan(found[1], &n)
			rows = append(rows[:len(rows)-1-n:len(rows)-1-n], "")
			written = written[len(found[0]):]
		case strings.HasPrefix(written, "\x1b[J"), strings.HasPrefix(written, "\r"):
			written = strings.TrimPrefix(strings.TrimPrefix(written, "\r"), "\x1b[J")
		case written[0] == '\n':
			rows = append(rows, "")
			written = written[1:]
		default:
			rows[len(rows)-1] += written[:1]
			written = written[1:]
		}
	}
	return regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(strings.Join(rows, "\n"), "")
}

var times = regexp.MustCompile(`\b[0-9.]+(ms|s)\b`)

func TestStepsAreDrawnInPlace(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing})
	t.Setenv("TERM", "xterm")
	s.wants(exitOK, "init --name web --registry reg.example")
	p := newPTY(t)
	s.parts.OnBuild = func(_ context.Context, rep tasks.Reporter) error {
		for i := range 30 {
			_, _ = fmt.Fprintf(rep.Stdout(), "%d compiling\n", i)
		}
		p.await("| 29 compiling", "") // the display draws by itself
		return nil
	}
	if code := <-s.start(t.Context(), p, "up"); code != exitOK {
		t.Fatalf("up exits with %d:\n%s", code, p.text())
	}
	p.await("port 8080", "")
	p.await("127.0.0.1:25000\r\n", "")
	got := times.ReplaceAllString(screen(p.text()), "T")
	want := `  ✓ configure  T
  ✓ build      T
  ✓ push       T
  ✓ render     T
  ✓ register   T
  ✓ watch      T
job web version 3 is healthy at http://127.0.0.1:4646
image reg.example/web@` + "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" + `
port 8080 at 127.0.0.1:25000
`
	if got != want {
		t.Errorf("the screen shows\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(p.text(), "    | 29 compiling") {
		t.Errorf("the running step does not show its last lines:\n%q", p.text())
	}
}

func TestAFailedStepStaysOnTheScreen(t *testing.T) {
	s := newShell(t, map[string]string{"Dockerfile": exposing})
	t.Setenv("TERM", "xterm")
	s.wants(exitOK, "init --name web --registry reg.example")
	p := newPTY(t)
	s.parts.OnBuild = func(_ context.Context, rep tasks.Reporter) error {
		_, _ = fmt.Fprint(rep.Stderr(), "#4 make: *** no rule\n#4 ERROR exit code 2")
		return tasks.Fail(tasks.ReasonBuildFailed, "RUN make: exit code 2", nil)
	}
	if code := <-s.start(t.Context(), p, "up"); code != exitFailed {
		t.Fatalf("up exits with %d:\n%s", code, p.text())
	}
	p.await("dispatchd: RUN make: exit code 2\r\n", "")
	got := times.ReplaceAllString(screen(p.text()), "T")
	want := `  ✓ configure  T
  ✗ build      T
    | building reg.example/web:latest
    | #4 make: *** no rule
    | #4 ERROR exit code 2
dispatchd: RUN make: exit code 2
`
	if got != want {
		t.Errorf("the screen shows\n%s\nwant\n%s", got, want)
	}
}
