package upload_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/upload"
)

func TestOnlyAllowedHostsAreAsked(t *testing.T) {
	t.Parallel()
	h := holding(t, tarOf(t, file("Dockerfile", "x")))
	port := h.Listener.Addr().(*net.TCPAddr).Port
	for name, c := range map[string]struct {
		hosts   []string
		backend string
		url     string
		text    string
	}{
		"nobody":                     {nil, "", h.URL, fmt.Sprintf("the host 127.0.0.1:%d is not in DISPATCHD_UPLOAD_HOSTS", port)},
		"another":                    {[]string{"files.test"}, "", h.URL, "is not in DISPATCHD_UPLOAD_HOSTS"},
		"another port":               {[]string{"http://127.0.0.1:1"}, "", h.URL, "is not in DISPATCHD_UPLOAD_HOSTS"},
		"https alone":                {[]string{fmt.Sprintf("127.0.0.1:%d", port)}, "", h.URL, "is not in DISPATCHD_UPLOAD_HOSTS"},
		"https alone, usual port":    {[]string{"files.test"}, "", "http://files.test/a", "DISPATCHD_UPLOAD_HOSTS would have to say http://files.test"},
		"the backend, over https":    {nil, "https://files.test/api", "http://files.test/a", "plain http to files.test is not allowed"},
		"a name that begins with it": {[]string{"files.test"}, "", "https://files.test.evil/a", "the host files.test.evil:443 is not in"},
		"a user that looks like it":  {[]string{"files.test"}, "", "https://files.test@evil.test/a", "holds a user or password"},
		"a file":                     {[]string{"files.test"}, "", "file:///etc/passwd", "not an https URL"},
		"another scheme":             {[]string{"files.test"}, "", "ftp://files.test/a", "not an https URL"},
		"no host":                    {[]string{"files.test"}, "", "https:///a", "not an https URL"},
		"no URL":                     {[]string{"files.test"}, "", "https://files.test/\x01?the-secret-of-the-address", "not a URL"},
		"a path alone":               {[]string{"files.test"}, "", "/etc/passwd", "not an https URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, upload.Options{Hosts: c.hosts, BackendURL: c.backend})
			_, _, err := unpackFrom(t, client, tasks.Upload{URL: tasks.Secret(c.url), ID: "u-1"})
			wantFailure(t, err, tasks.ReasonSourceRejected, "upload u-1: ", c.text)
		})
	}
	t.Cleanup(func() {
		if asked := h.asked(); len(asked) != 0 {
			t.Errorf("the host was asked %d times", len(asked))
		}
	})
}

func TestTheBackendsHostIsAllowed(t *testing.T) {
	t.Parallel()
	h := holding(t, tarOf(t, file("Dockerfile", "x")))
	c := newClient(t, upload.Options{BackendURL: strings.Replace(h.URL, "http://", "http://user:backend-secret@", 1) + "/api?token=t"})
	if _, _, err := unpackFrom(t, c, h.upload()); err != nil {
		t.Fatal(err)
	}
	r := h.asked()[0]
	if r.URL.RawQuery != query {
		t.Errorf("the query was %q, want %q", r.URL.RawQuery, query)
	}
	for name, values := range r.Header {
		if name != "User-Agent" || values[0] != "dispatchd" {
			t.Errorf("%s: %q was sent", name, values)
		}
	}
}

func TestHostsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "ftp://a.test", "https://a.test/path", "a.test?x", "user:entry-secret@a.test", "http://", "a b"} {
		_, err := upload.New(upload.Options{Hosts: []string{"ok.test", host}})
		if err == nil || !strings.Contains(err.Error(), "upload host") || strings.Contains(err.Error(), "entry-secret") {
			t.Errorf("New(%q) = %v", host, err)
		}
	}
	if _, err := upload.New(upload.Options{BackendURL: "not an address"}); err == nil {
		t.Error("a backend that is no URL is accepted")
	}
}

func TestRedirectsStayOnAllowedHosts(t *testing.T) {
	t.Parallel()
	target := holding(t, tarOf(t, file("Dockerfile", "x")))
	from := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target.URL+"/moved?token=another-secret", http.StatusFound)
	})
	_, _, err := unpack(t, from, upload.Options{})
	wantFailure(t, err, tasks.ReasonSourceRejected, "it redirects, and the host 127.0.0.1:", "is not in DISPATCHD_UPLOAD_HOSTS")
	if strings.Contains(err.Error(), "another-secret") {
		t.Errorf("the new address is shown: %v", err)
	}
	if asked := target.asked(); len(asked) != 0 {
		t.Error("a host that is not allowed was asked")
	}
	if _, _, err := unpack(t, from, upload.Options{Hosts: []string{target.URL}}); err != nil {
		t.Fatal(err)
	}
	if referer := target.asked()[0].Header.Get("Referer"); referer != "" {
		t.Errorf("the new host was told %q", referer)
	}
	var loop *host
	loop = serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, loop.URL, http.StatusFound) })
	_, _, err = unpack(t, loop, upload.Options{})
	wantFailure(t, err, tasks.ReasonSourceRejected, "redirects too often")
}

func TestAnUntrustedCertificateEndsIt(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(secure.Close)
	c := newClient(t, upload.Options{Hosts: []string{strings.TrimPrefix(secure.URL, "https://")}})
	_, _, err := unpackFrom(t, c, tasks.Upload{URL: tasks.Secret(secure.URL), ID: "u-1"})
	wantFailure(t, err, tasks.ReasonSourceDown, "no trusted TLS connection to 127.0.0.1:")
}

func TestAnswersHaveTheirReasons(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]tasks.Reason{
		http.StatusNotFound: tasks.ReasonSourceNotFound, http.StatusGone: tasks.ReasonSourceNotFound,
		http.StatusForbidden: tasks.ReasonSourceRejected, http.StatusUnauthorized: tasks.ReasonSourceRejected,
		http.StatusBadRequest: tasks.ReasonSourceRejected, http.StatusNoContent: tasks.ReasonSourceRejected,
		http.StatusPartialContent: tasks.ReasonSourceRejected, http.StatusNotModified: tasks.ReasonSourceRejected,
		http.StatusTooManyRequests: tasks.ReasonSourceDown, http.StatusRequestTimeout: tasks.ReasonSourceDown,
		http.StatusInternalServerError: tasks.ReasonSourceDown, http.StatusBadGateway: tasks.ReasonSourceDown,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			h := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			_, _, err := unpack(t, h, upload.Options{})
			wantFailure(t, err, want, fmt.Sprintf("status %d", status), "127.0.0.1:")
		})
	}
}

func TestHostsThatFailAreTriedAgain(t *testing.T) {
	t.Parallel()
	archive := gzipped(t, tarOf(t, file("Dockerfile", noise(100_000))))
	gone := holding(t, archive)
	gone.Close()
	for name, c := range map[string]struct {
		host *host
		o    upload.Options
		text string
	}{
		"nobody listens": {gone, upload.Options{}, "cannot be reached"},
		"breaks off": {serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
			_, _ = w.Write(archive[:len(archive)/2])
		}), upload.Options{}, "broke off"},
		"never answers":   {serve(t, silent), upload.Options{StallTimeout: 100 * time.Millisecond}, "stopped answering"},
		"falls silent":    {serve(t, fallsSilent(archive)), upload.Options{StallTimeout: 100 * time.Millisecond}, "stopped answering"},
		"is far too slow": {serve(t, trickles), upload.Options{Timeout: 200 * time.Millisecond}, "too slowly"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := unpack(t, c.host, c.o)
			wantFailure(t, err, tasks.ReasonSourceDown, "upload u-1: ", c.text)
			if !tasks.AsFailure(err).Row().Retryable() {
				t.Error("it is not tried again")
			}
		})
	}
}

// silent answers nothing until the client leaves.
func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// fallsSilent sends half of an archive.
func fallsSilent(archive []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(archive[:len(archive)/2])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// trickles sends a byte now and then, without an end.
func trickles(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			_, _ = w.Write([]byte{0x1f})
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func TestAnArchiveThatIsTooLargeIsNotTaken(t *testing.T) {
	t.Parallel()
	archive := tarOf(t, file("Dockerfile", noise(100_000)))
	said := holding(t, archive)
	unsaid := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(archive)
	})
	lied := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "9000000000000") })
	for name, h := range map[string]*host{"its length is said": said, "its length is not said": unsaid, "its length is a lie": lied} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := unpack(t, h, upload.Options{MaxDownloadBytes: 50_000})
			wantFailure(t, err, tasks.ReasonSourceTooLarge, "its archive is larger than 48.8 KiB")
		})
	}
}

func TestCancelEndsADownloadAtOnce(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	h := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte{0x1f, 0x8b})
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	c := newClient(t, upload.Options{Hosts: []string{h.URL}})
	work := t.TempDir()
	ended := make(chan error)
	go func() { ended <- c.Unpack(ctx, h.upload(), work+"/source", &reporter{}) }()
	<-begun
	began := time.Now()
	cancel(tasks.ErrCancelled)
	err := <-ended
	if !errors.Is(err, tasks.ErrCancelled) {
		t.Errorf("Unpack = %v, want the context's cause", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestCancelEndsAnExtractionAtOnce(t *testing.T) {
	t.Parallel()
	h := holding(t, bomb(t, 1<<10))
	ctx, cancel := context.WithCancelCause(t.Context())
	c := newClient(t, upload.Options{Hosts: []string{h.URL}, MaxRatio: 100_000})
	work := t.TempDir()
	ended := make(chan error)
	go func() { ended <- c.Unpack(ctx, h.upload(), work+"/source", &reporter{}) }()
	waitUntil(t, func() bool {
		begun, _ := filepath.Glob(work + "/.upload-*/tree/zeros")
		return len(begun) == 1
	})
	began := time.Now()
	cancel(tasks.ErrShutdown)
	if err := <-ended; !errors.Is(err, tasks.ErrShutdown) {
		t.Errorf("Unpack = %v, want the context's cause", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
	if left, _ := os.ReadDir(work); len(left) != 0 {
		t.Errorf("there are %d things left", len(left))
	}
}

// waitUntil polls a condition that nothing announces.
func waitUntil(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatal("the condition did not come true within 10s")
		}
	}
}
