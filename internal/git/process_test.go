package git_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// stalled returns a world whose clone stops in the middle of the pack.
func stalled(t *testing.T) *world {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("looks at processes in /proc")
	}
	w := newWorld(t, plain(map[string]string{"noise": noise(1 << 20)}), func(h http.Handler) http.Handler {
		return gittest.StallAfter(h, 300_000)
	})
	w.server.Allow("acme/api", user, planted)
	return w
}

// begin starts a clone and waits until its pack is on the way. The channel
// gives the clone's error.
func (w *world) begin(ctx context.Context) <-chan error {
	w.t.Helper()
	client, done := w.client(git.Options{}), make(chan error, 1)
	go func() {
		_, err := client.Clone(ctx, source(planted), w.dir, w.log)
		done <- err
	}()
	eventually(w.t.Context(), w.t, "a pack being written", func() bool {
		packs, _ := filepath.Glob(filepath.Join(w.dir, ".git/objects/pack/tmp_pack_*"))
		return len(packs) > 0
	})
	return done
}

func TestCancelEndsEveryProcess(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"cancelled": tasks.ErrCancelled, "out of time": tasks.ErrTimeout} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stalled(t)
			ctx, end := context.WithCancelCause(t.Context())
			done := w.begin(ctx)
			groups := groupsOf(w.processes())
			if len(groups) != 1 || slices.Contains(groups, ownGroup(t)) {
				t.Fatalf("process groups of the clone = %v, want one that is not the test's", groups)
			}
			began := time.Now()
			end(cause)
			if err := <-done; !errors.Is(err, cause) {
				t.Errorf("Clone = %v, want the cause %v", err, cause)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("Clone took %s to end, want less than a second", took)
			}
			for _, p := range processes() {
				if p.group == groups[0] && p.state != "Z" {
					t.Errorf("process %s of the clone is still there in state %s", p.id, p.state)
				}
			}
			wantOnlyNothing(t, w.work)
		})
	}
}

func TestContextThatHasEndedStartsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	ctx, end := context.WithCancelCause(t.Context())
	end(tasks.ErrShutdown)
	_, err := w.client(git.Options{}).Clone(ctx, source(""), w.dir, w.log)
	if !errors.Is(err, tasks.ErrShutdown) {
		t.Errorf("Clone = %v, want %v", err, tasks.ErrShutdown)
	}
	wantOnlyNothing(t, w.work)
}

func TestTokenIsInTheEnvironmentAlone(t *testing.T) {
	t.Parallel()
	w := stalled(t)
	ctx, end := context.WithCancelCause(t.Context())
	done := w.begin(ctx)
	secrets := []string{planted, base64.StdEncoding.EncodeToString([]byte(user + ":" + planted))}
	running := w.processes()
	if len(running) < 2 {
		t.Errorf("found %d processes of the clone, want git and its helper", len(running))
	}
	inEnvironment := false
	for _, p := range processes() {
		for _, secret := range secrets {
			if strings.Contains(p.arguments, secret) {
				t.Errorf("the token stands in the arguments of process %s", p.id)
			}
		}
	}
	for _, p := range running {
		environ, _ := os.ReadFile(filepath.Join("/proc", p.id, "environ"))
		inEnvironment = inEnvironment || bytes.Contains(environ, []byte(secrets[1]))
	}
	if !inEnvironment {
		t.Error("no process of the clone has the token, so this test saw nothing")
	}
	wantNoSecret(t, w.work, secrets)
	end(tasks.ErrCancelled)
	err := <-done
	for _, secret := range secrets {
		if strings.Contains(w.log.String()+err.Error(), secret) {
			t.Errorf("the token stands in the log or the error")
		}
	}
}

// wantNoSecret looks for the secrets in every file below dir.
func wantNoSecret(t *testing.T, dir string, secrets []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		for _, secret := range secrets {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("the token stands in %s", path)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("looked at %d files of the clone: %v", files, err)
	}
}

func wantOnlyNothing(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("work directory = %v, %v, want it empty", entries, err)
	}
}

// process is what /proc says about one.
type process struct{ id, state, group, arguments string }

// processes lists all processes of the machine.
func processes() []process {
	var list []process
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, err := os.ReadFile(file)
		arguments, argErr := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if err != nil || argErr != nil || len(fields) < 3 {
			continue
		}
		list = append(list, process{filepath.Base(filepath.Dir(file)), fields[0], fields[2], string(arguments)})
	}
	return list
}

// processes lists those whose arguments name the world's server or directory.
func (w *world) processes() []process {
	return slices.DeleteFunc(processes(), func(p process) bool {
		return !strings.Contains(p.arguments, w.url) && !strings.Contains(p.arguments, w.dir)
	})
}

func groupsOf(list []process) []string {
	var groups []string
	for _, p := range list {
		groups = append(groups, p.group)
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

func ownGroup(t *testing.T) string {
	t.Helper()
	for _, p := range processes() {
		if p.id == filepath.Base(must(os.Readlink("/proc/self"))) {
			return p.group
		}
	}
	t.Fatal("this process is not in /proc")
	return ""
}

func must(text string, err error) string {
	if err != nil {
		panic(err)
	}
	return text
}
