package git_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/git/gittest"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

const attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"

// withLFS is a commit with a file that LFS keeps.
func withLFS(pointer string) gittest.Commit {
	return plain(map[string]string{".gitattributes": attributes, "large.bin": pointer})
}

// wantFiles checks what files hold.
func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for name := range want {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		got[name] = string(content)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestLFSFilesTakeTheirPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	w.server.Allow("acme/api", user, planted)
	one, two := w.server.PutLFS("the first\n"), w.server.PutLFS(strings.Repeat("2", 100_000))
	many := map[string]string{}
	for i := range 120 {
		many[fmt.Sprintf("many/%d.bin", i)] = w.server.PutLFS(fmt.Sprint("content ", i))
	}
	many["one.bin"], many["copy of one.bin"], many["sub/ü two.dat"] = one, one, two
	many[".gitattributes"], many["sub/.gitattributes"] = attributes, "*.dat filter=lfs\n"
	many["sample.txt"], many["short.bin"], many["empty.bin"] = one, "version https://git-lfs", ""
	w.put("acme/api", plain(many))
	if _, err := w.clone(git.Options{}, source(planted)); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, w.dir, map[string]string{
		"one.bin": "the first\n", "copy of one.bin": "the first\n", "sub/ü two.dat": strings.Repeat("2", 100_000),
		"many/0.bin": "content 0", "many/119.bin": "content 119", "sample.txt": one, "short.bin": "version https://git-lfs", "empty.bin": "",
	})
	wantOnly(t, w.work, "source")
	if !strings.Contains(w.log.String(), "LFS: 123 files, ") {
		t.Errorf("log = %q, want how much LFS brought", w.log)
	}
}

func TestLFSOfASubmodule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	lib := w.put("acme/lib", withLFS(w.server.PutLFS("of the submodule")))
	w.server.Allow("acme/lib", user, planted)
	w.put("acme/api", withModules(entry("lib", "lib", "../lib"), map[string]string{"lib": lib}))
	if _, err := w.clone(git.Options{}, source(planted)); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, w.dir, map[string]string{"lib/large.bin": "of the submodule"})
}

// recorder keeps the headers of every request that it passes on.
type recorder struct {
	mu   sync.Mutex
	seen []http.Header
	next http.Handler
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	r.seen = append(r.seen, request.Header.Clone())
	r.mu.Unlock()
	r.next.ServeHTTP(w, request)
}

func (r *recorder) headers(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []string{}
	for _, h := range r.seen {
		list = append(list, h.Get(name))
	}
	return list
}

func TestLFSObjectsOnOtherHosts(t *testing.T) {
	t.Parallel()
	const content = "from far away"
	last := &recorder{next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, content) })}
	lastURL := serve(t, last).URL
	storage := &recorder{next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/direct/") {
			_, _ = io.WriteString(w, content)
			return
		}
		http.Redirect(w, r, lastURL+"/object", http.StatusTemporaryRedirect)
	})}
	storageURL := serve(t, storage).URL
	w := newWorld(t, plain(nil), nil)
	w.server.Allow("acme/api", user, planted)
	w.put("acme/api", withLFS(w.server.PutLFS(content)))
	for name, row := range map[string]struct {
		path   string
		header map[string]string
		want   []string
	}{
		"without a header":              {"/direct/", nil, []string{""}},
		"with a header of its own":      {"/direct/", map[string]string{"Authorization": "RemoteAuth x"}, []string{"RemoteAuth x"}},
		"that sends on to another host": {"/away/", map[string]string{"Authorization": "RemoteAuth y", "X-Key": "z"}, []string{"RemoteAuth y"}},
	} {
		t.Run(name, func(t *testing.T) {
			storage.seen, last.seen = nil, nil
			w.server.ObjectsAt(storageURL+row.path, row.header)
			dir := filepath.Join(t.TempDir(), "s")
			if _, err := w.client(git.Options{}).Clone(t.Context(), source(planted), dir, w.log); err != nil {
				t.Fatal(err)
			}
			wantFiles(t, dir, map[string]string{"large.bin": content})
			if diff := cmp.Diff(row.want, storage.headers("Authorization")); diff != "" {
				t.Errorf("what the storage was sent (-want +got):\n%s", diff)
			}
			for _, h := range last.seen {
				if h.Get("Authorization") != "" || h.Get("X-Key") != "" {
					t.Errorf("the host of the redirect was sent %v", h)
				}
			}
		})
	}
}

func TestLFSServerThatTheRepositoryNames(t *testing.T) {
	t.Parallel()
	stranger := &recorder{next: http.NotFoundHandler()}
	strangerURL := serve(t, stranger).URL
	w := newWorld(t, plain(nil), nil)
	w.server.Allow("acme/store", user, planted)
	w.put("acme/store", plain(nil))
	w.server.Allow("acme/api", user, planted)
	pointer := w.server.PutLFS("kept elsewhere")
	for name, row := range map[string]struct{ config, words string }{
		"another host":          {"[lfs]\n\turl = " + strangerURL + "/x\n", "LFS: .lfsconfig names the server at " + strings.TrimPrefix(strangerURL, "http://")},
		"another host, by name": {"[remote \"origin\"]\n\tlfsurl = https://evil.example/x\n", "names the server at evil.example, which is another host"},
		"another port over ssh": {"[lfs]\n\turl = ssh://git@127.0.0.1:1/x/y\n", "names the server at 127.0.0.1:1"},
		"a file":                {"[lfs]\n\turl = file:///etc\n", "begins with file://"},
		"a password":            {"[lfs]\n\turl = https://a:b@127.0.0.1/x\n", "holds a password"},
		"broken":                {"[lfs\n", ".lfsconfig cannot be read"},
		"same host":             {"[lfs]\n\turl = " + w.url + "/acme/store.git/info/lfs\n\tconcurrenttransfers = 9\n", ""},
		"same host over ssh":    {"[lfs]\n\turl = git@127.0.0.1:acme/api\n", ""},
		"nothing":               {"[lfs]\n\tlocksverify = true\n[lfs \"customtransfer.x\"]\n\tpath = /bin/sh\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := withLFS(pointer)
			c.Files[".lfsconfig"] = row.config
			w.put("acme/api", c)
			if row.words != "" {
				_, err := w.clone(git.Options{}, source(planted))
				w.wantFailure(err, tasks.ReasonGitRejected, row.words)
				return
			}
			dir := filepath.Join(t.TempDir(), "s")
			if _, err := w.client(git.Options{}).Clone(t.Context(), source(planted), dir, w.log); err != nil {
				t.Fatal(err)
			}
			wantFiles(t, dir, map[string]string{"large.bin": "kept elsewhere"})
		})
	}
	if seen := stranger.headers("Host"); len(seen) != 0 {
		t.Errorf("the other host saw %d requests, want none", len(seen))
	}
}

func TestLFSOnAnotherHostGetsNoCredential(t *testing.T) {
	t.Parallel()
	other := newElsewhere(t)
	w := newWorld(t, plain(nil), nil)
	at := &world{t: t, server: other.Server}
	lib := at.put("them/lib", withLFS(other.PutLFS("theirs")))
	other.ObjectsAt("https://"+other.host+"/them/lib.git/info/lfs/objects/", nil)
	w.put("acme/api", withModules(entry("x", "x", "https://"+other.host+"/them/lib.git"), map[string]string{"x": lib}))
	dir := filepath.Join(t.TempDir(), "s")
	if _, err := w.client(other.options()).Clone(t.Context(), source(planted), dir, w.log); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, map[string]string{"x/large.bin": "theirs"})
	if n := len(other.authorizations()); n < 4 {
		t.Errorf("the other host saw %d requests, so this test saw nothing", n)
	}

	other.ObjectsAt("https://"+other.host+"/them/private.git/info/lfs/objects/", nil)
	at.put("them/private", plain(nil))
	other.Allow("them/private", user, planted)
	_, err := w.clone(other.options(), source(planted))
	w.wantFailure(err, tasks.ReasonGitAuth, "submodule x is at "+other.host+", which gets no credential: LFS: "+other.host+" answered with status 401")
	for _, header := range other.authorizations() {
		if header != "" {
			t.Errorf("the other host was sent %q", header)
		}
	}
}

const wanted = "the content that is wanted"

func TestWhatGoesWrongWithLFS(t *testing.T) {
	t.Parallel()
	const content = wanted
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }
	}
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	for name, row := range map[string]struct {
		batch, object http.HandlerFunc
		reason        tasks.Reason
		words         string
	}{
		"server limits":   {status(429), nil, tasks.ReasonGitRateLimited, "limits our requests"},
		"server is away":  {status(503), nil, tasks.ReasonGitUnavailable, "answered with status 503"},
		"server refuses":  {status(403), nil, tasks.ReasonGitAuth, "answered with status 403"},
		"no server":       {status(404), nil, tasks.ReasonGitNotFound, "answered with status 404"},
		"server moved":    {status(302), nil, tasks.ReasonGitRejected, "answered with status 302"},
		"no JSON":         {say("<html>"), nil, tasks.ReasonGitUnavailable, "does not answer as an LFS server does"},
		"no actions":      {say(`{"objects":[]}`), nil, tasks.ReasonGitNotFound, "does not have the file large.bin"},
		"object's error":  {say(`{"objects":[{"oid":"x","error":{"code":404,"message":"gone"}}]}`), nil, tasks.ReasonGitNotFound, "status 404 for object x"},
		"href to a file":  {say(`{"objects":[{"oid":"OID","actions":{"download":{"href":"file:///etc/passwd"}}}]}`), nil, tasks.ReasonGitRejected, "names an address that is not used"},
		"object limited":  {nil, status(429), tasks.ReasonGitRateLimited, "limits our requests"},
		"object is away":  {nil, status(500), tasks.ReasonGitUnavailable, "answered with status 500"},
		"object is short": {nil, say(content[:10]), tasks.ReasonGitUnavailable, "the connection broke off at large.bin"},
		"object is long":  {nil, say(content + "!"), tasks.ReasonGitRejected, "what came for large.bin is not what its pointer names"},
		"another object":  {nil, say(strings.ToUpper(content)), tasks.ReasonGitRejected, "what came for large.bin is not what its pointer names"},
		"redirect loop": {nil, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) },
			tasks.ReasonGitRejected, "more than 5 redirects"},
		"redirect to a file": {nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}, tasks.ReasonGitRejected, "redirects to file://, which is not followed"},
		"connection broken": {nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = io.WriteString(w, content[:5])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, tasks.ReasonGitUnavailable, "the connection broke off at large.bin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plain(nil), func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					switch {
					case row.batch != nil && strings.HasSuffix(r.URL.Path, "/objects/batch"):
						row.batch(&replacing{rw}, r)
					case row.object != nil && strings.Contains(r.URL.Path, "/info/lfs/objects/") && r.Method == http.MethodGet:
						row.object(rw, r)
					default:
						h.ServeHTTP(rw, r)
					}
				})
			})
			w.put("acme/api", withLFS(w.server.PutLFS(content)))
			_, err := w.clone(git.Options{}, source(planted))
			w.wantFailure(err, row.reason, row.words)
			wantFailure(t, err, row.reason, "clone acme/api@main: LFS: ")
			if strings.Contains(err.Error(), planted) {
				t.Errorf("the token stands in %q", err)
			}
		})
	}
}

// replacing puts the object's real name where a body says OID.
type replacing struct{ http.ResponseWriter }

func (r *replacing) Write(p []byte) (int, error) {
	oid := sha256.Sum256([]byte(wanted))
	_, err := r.ResponseWriter.Write([]byte(strings.ReplaceAll(string(p), "OID", hex.EncodeToString(oid[:]))))
	return len(p), err
}

func TestLFSThatStallsOrIsCancelled(t *testing.T) {
	t.Parallel()
	stalling := func(h http.Handler) http.Handler {
		slow := gittest.StallAfter(h, 1000)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/info/lfs/objects/") && r.Method == http.MethodGet {
				slow.ServeHTTP(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	t.Run("stalls", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plain(nil), stalling)
		w.put("acme/api", withLFS(w.server.PutLFS(noise(10_000))))
		_, err := w.clone(git.Options{StallTimeout: time.Second}, source(""))
		w.wantFailure(err, tasks.ReasonGitUnavailable, "LFS: "+strings.TrimPrefix(w.url, "http://")+" stopped answering")
	})
	t.Run("is cancelled", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, plain(nil), stalling)
		w.put("acme/api", withLFS(w.server.PutLFS(noise(10_000))))
		ctx, end := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := w.client(git.Options{}).Clone(ctx, source(""), w.dir, w.log)
			done <- err
		}()
		eventually(t.Context(), t, "a part of the object", func() bool {
			info, err := os.Stat(filepath.Join(w.dir, "large.bin"))
			return err == nil && info.Size() == 1000
		})
		end(tasks.ErrTimeout)
		if err := <-done; !errors.Is(err, tasks.ErrTimeout) {
			t.Errorf("Clone = %v, want the cause", err)
		}
		wantOnlyNothing(t, w.work)
	})
}

func TestLFSLimits(t *testing.T) {
	t.Parallel()
	asked := &recorder{}
	w := newWorld(t, plain(nil), func(h http.Handler) http.Handler {
		asked.next = h
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/info/lfs/") {
				asked.ServeHTTP(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	for _, size := range []int{2 << 20, 1 << 49, 1 << 62} {
		c := withLFS(gittest.Pointer(strings.Repeat("a", 64), size))
		c.Files["second.bin"] = gittest.Pointer(strings.Repeat("b", 64), 1<<49)
		w.put("acme/api", c)
		_, err := w.clone(git.Options{MaxBytes: 1 << 20}, source(""))
		w.wantFailure(err, tasks.ReasonSourceTooLarge, "clone acme/api@main: the source takes more than 1 MiB")
	}
	if n := len(asked.headers("Host")); n != 0 {
		t.Errorf("the server was asked %d times, want never", n)
	}
}

func TestLFSWithADeployKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	w.server.Allow("acme/api", "lfs", "once")
	w.put("acme/api", withLFS(w.server.PutLFS("over ssh")))
	s := newSSH(t, w.server)
	options := git.Options{GitHubSSHURL: s.URL, KnownHosts: s.hosts}
	// The server's shell has no such command as long as there is no answer.
	_, err := w.clone(options, source(s.private))
	w.wantFailure(err, tasks.ReasonGitRejected, "does not say over SSH where its LFS server is")
	for answer, words := range map[string]string{
		`{"href":"file:///etc"}`: "names a server over SSH that cannot be used",
		`no JSON`:                "does not say over SSH where its LFS server is",
	} {
		if err := s.AnswerLFS(answer); err != nil {
			t.Fatal(err)
		}
		_, err := w.clone(options, source(s.private))
		if tasks.AsFailure(err) == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("Clone = %v, want %q", err, words)
		}
	}
	// The base64 of lfs:once.
	answer := `{"href":"` + w.url + `/acme/api.git/info/lfs","header":{"Authorization":"Basic bGZzOm9uY2U="},"expires_in":60}`
	if err := s.AnswerLFS(answer); err != nil {
		t.Fatal(err)
	}
	if _, err := w.clone(options, source(s.private)); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, w.dir, map[string]string{"large.bin": "over ssh"})
	if want := "git-lfs-authenticate acme/api.git download\n"; !strings.Contains(s.Commands(), want) {
		t.Errorf("commands = %q, want %q among them", s.Commands(), want)
	}
}

func TestPointersThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain(nil), nil)
	good := gittest.Pointer(strings.Repeat("a", 64), 1)
	files := map[string]string{
		".gitattributes": attributes,
		"short.bin":      gittest.Pointer("aa", 1), "upper.bin": gittest.Pointer(strings.Repeat("A", 64), 1),
		"size.bin": strings.Replace(good, "size 1", "size -1", 1), "huge.bin": good + strings.Repeat("#", 1024),
		"version.bin": strings.Replace(good, "v1", "v9", 1), "sha1.bin": strings.Replace(good, "sha256:", "sha1:", 1),
		"plain.txt": good,
	}
	w.put("acme/api", plain(files))
	if _, err := w.clone(git.Options{}, source("")); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, w.dir, files)
}

// FuzzPointer checks that what is taken for a pointer names an object and a
// size that can be added up.
func FuzzPointer(f *testing.F) {
	f.Add([]byte(gittest.Pointer(strings.Repeat("a", 64), 12)))
	f.Add([]byte("version https://git-lfs.github.com/spec/v1\noid sha256:../x\nsize -1\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		oid, size, ok := git.ParsePointer(content)
		if ok && (len(oid) != 64 || strings.Trim(oid, "0123456789abcdef") != "" || size < 0 || size > 1<<50) {
			t.Errorf("pointer %q names %q of %d bytes", content, oid, size)
		}
	})
}
