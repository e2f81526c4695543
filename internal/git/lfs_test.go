package git_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

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

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = nil
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
			storage.reset()
			last.reset()
			w.server.ObjectsAt(storageURL+row.path, row.header)
			dir := filepath.Join(t.TempDir(), "s")
			if _, err := w.client(git.Options{}).Clone(t.Context(), source(planted), dir, w.log); err != nil {
				t.Fatal(err)
			}
			wantFiles(t, dir, map[string]string{"large.bin": content})
			if diff := cmp.Diff(row.want, storage.headers("Authorization")); diff != "" {
				t.Errorf("what the storage was sent (-want +got):\n%s", diff)
			}
			for _, secret := range slices.Concat(last.headers("Authorization"), last.headers("X-Key")) {
				if secret != "" {
					t.Errorf("the host of the redirect was sent %q", secret)
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
		`{"href":"file:///etc"}`:          "names a server over SSH that cannot be used",
		`{"href":"http://127.0.0.1:1/x"}`: "LFS: 127.0.0.1:1 does not answer",
		`no JSON`:                         "does not say over SSH where its LFS server is",
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
