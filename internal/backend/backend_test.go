package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dispatchd/dispatchd/internal/backend"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "the+token/of=the&api"

// platform is an API that keeps what it is told.
type platform struct {
	*httptest.Server
	mu   sync.Mutex
	told []string
}

// newPlatform answers with f, which may be nil.
func newPlatform(t *testing.T, f http.HandlerFunc) *platform {
	t.Helper()
	p := &platform{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.told = append(p.told, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body)))
		p.mu.Unlock()
		if f != nil {
			f(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *platform) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

// warnings keeps what the operator hears.
type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) add(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, err.Error())
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.all, "\n")
}

func open(t *testing.T, opts backend.Options, about tasks.PlatformTask) (tasks.PlatformSession, *warnings) {
	t.Helper()
	heard := &warnings{}
	opts.Warn = func(_ context.Context, err error) { heard.add(err) }
	c := backend.New(opts)
	t.Cleanup(c.Close)
	about.DeploymentID, about.ServiceID, about.DeploymentType = "d1", "s 1", "git_repo"
	return c.Open(t.Context(), about), heard
}

func TestEverythingIsSaidInOrder(t *testing.T) {
	t.Parallel()
	api := newPlatform(t, nil)
	redactor := redact.New("hunter22")
	s, heard := open(t, backend.Options{URL: api.URL + "/base/", Token: token}, tasks.PlatformTask{Redactor: redactor})
	s.Step(tasks.PlatformClone, tasks.PlatformInProgress, "")
	s.Step(tasks.PlatformClone, tasks.PlatformCompleted, "")
	s.Step(tasks.PlatformBuild, tasks.PlatformFailed, "exit code 1:\n\x1b[31mhunt\x1b[0mer22 <a>")
	s.Succeeded()
	s.Close()
	s.Step(tasks.PlatformDeploy, tasks.PlatformInProgress, "never")
	const query = "?accessToken=the%2Btoken%2Fof%3Dthe%26api"
	step := func(rest string) string {
		return "PUT /base/api/local/deployment-step/update" + query + ` {"deploymentId":"d1","deploymentType":"git_repo",` + rest + "}"
	}
	want := []string{
		step(`"step":"clone","status":"in_progress","error":""`),
		step(`"step":"clone","status":"completed","error":""`),
		"PUT /base/api/local/service-update/" + query + ` {"serviceId":"s 1"}`,
	}
	got := api.heard()
	if len(got) != 4 {
		t.Fatalf("heard %q, want 4 calls", got)
	}
	failed := got[2]
	if diff := cmp.Diff(want, slices.Delete(got, 2, 3)); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	var body struct{ Error string }
	_, text, _ := strings.Cut(failed, " {")
	if err := json.Unmarshal([]byte("{"+text), &body); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(body.Error, "hunter22") || strings.Contains(body.Error, "\n") || !strings.Contains(body.Error, "exit code 1:") {
		t.Errorf("error = %q, want one redacted line", body.Error)
	}
	if heard.String() != "" {
		t.Errorf("warnings: %s", heard)
	}
}

func TestADomainIsAskedFor(t *testing.T) {
	t.Parallel()
	api := newPlatform(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"domain":"web-1.example","more":1}`)
	})
	s, _ := open(t, backend.Options{URL: api.URL, Token: token}, tasks.PlatformTask{})
	defer s.Close()
	domain, err := s.Domain(t.Context())
	if err != nil || domain != "web-1.example" {
		t.Errorf("domain %q, %v", domain, err)
	}
	if got := api.heard(); len(got) != 1 || got[0] != "GET /api/local/ask-domain?accessToken=the%2Btoken%2Fof%3Dthe%26api&serviceId=s+1" {
		t.Errorf("heard %q", got)
	}
}

// Whatever the API answers, the error names host and path, and never the token.
func TestBadAnswersAreErrorsWithoutTheToken(t *testing.T) {
	t.Parallel()
	elsewhere := newPlatform(t, nil)
	tests := map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"a failure": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprint(w, r.URL)
		}, "status 500"},
		"no JSON":       {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") }, "no domain"},
		"no domain":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "{}") }, "no domain"},
		"a hostile one": {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"domain":"a${b}\n"}`) }, "no domain"},
		"ten megabytes": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 10<<20)) }, "too large"},
		"another host": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
		}, "another host"},
		"a broken place": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://%zz/?"+r.URL.RawQuery+"&"+token)
			w.WriteHeader(http.StatusFound)
		}, "no answer"},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = fmt.Fprint(w, `{"do`)
		}, "no answer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newPlatform(t, test.answer)
			s, heard := open(t, backend.Options{URL: api.URL, Token: token}, tasks.PlatformTask{})
			defer s.Close()
			_, err := s.Domain(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), strings.TrimPrefix(api.URL, "http://")+"/api/local/ask-domain") {
				t.Errorf("error = %v, want host, path and %q", err, test.says)
			}
			for _, form := range []string{token, "the%2Btoken"} {
				if all := fmt.Sprint(err, heard, errors.Unwrap(err)); strings.Contains(all, form) {
					t.Errorf("the token is shown: %s", all)
				}
			}
		})
	}
	if heard := elsewhere.heard(); len(heard) > 0 {
		t.Errorf("another host heard %q", heard)
	}
}

func TestTheEnvironmentsTokenStaysAtItsAddress(t *testing.T) {
	t.Parallel()
	home, away := newPlatform(t, nil), newPlatform(t, nil)
	tests := []struct {
		about tasks.PlatformTask
		at    *platform
		want  bool
	}{
		{tasks.PlatformTask{}, home, true},
		{tasks.PlatformTask{URL: home.URL + "/"}, home, true},
		{tasks.PlatformTask{URL: away.URL}, away, false},
		{tasks.PlatformTask{URL: home.URL + "/other"}, home, false},
	}
	for _, test := range tests {
		s, _ := open(t, backend.Options{URL: home.URL, Token: token}, test.about)
		s.Succeeded()
		s.Close()
		heard := test.at.heard()
		if len(heard) == 0 || strings.Contains(heard[len(heard)-1], "accessToken") != test.want {
			t.Errorf("to %q went %q, want the token: %v", test.about.URL, heard, test.want)
		}
	}
	s, _ := open(t, backend.Options{URL: home.URL, Token: token}, tasks.PlatformTask{URL: away.URL, Token: "own"})
	s.Succeeded()
	s.Close()
	if heard := away.heard(); !strings.Contains(heard[len(heard)-1], "accessToken=own") {
		t.Errorf("heard %q, want the task's own token", heard)
	}
}

func TestWithoutAnAddressThereIsNobodyToTell(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "ftp://api.example", "://"} {
		if s, _ := open(t, backend.Options{URL: address}, tasks.PlatformTask{}); s != nil {
			t.Errorf("a session was opened for %q", address)
			s.Close()
		}
	}
}

// hanging is an API that never answers.
func hanging(t *testing.T) *platform {
	t.Helper()
	release := make(chan struct{})
	api := newPlatform(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	return api
}

func TestAnAPIThatHangsHoldsUpNoMoreThanThePatience(t *testing.T) {
	t.Parallel()
	api := hanging(t)
	s, heard := open(t, backend.Options{URL: api.URL, Timeout: 80 * time.Millisecond, Patience: 100 * time.Millisecond}, tasks.PlatformTask{})
	began := time.Now()
	if _, err := s.Domain(t.Context()); err == nil || !strings.Contains(err.Error(), "no answer within 80ms") {
		t.Errorf("error = %v", err)
	}
	if _, err := s.Domain(t.Context()); err == nil || !strings.Contains(err.Error(), "not asked again") {
		t.Errorf("second error = %v, want that nothing is asked any more", err)
	}
	for range 100 {
		s.Step(tasks.PlatformBuild, tasks.PlatformInProgress, "")
	}
	s.Close()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the deployment was held up for %s", took)
	}
	if told := api.heard(); len(told) != 1 {
		t.Errorf("asked %q, want one call", told)
	}
	if got := strings.Count(heard.String(), "no answer"); got != 1 {
		t.Errorf("%d warnings, want one: %s", got, heard)
	}
}

// The default patience is what a deployment can lose to an API that hangs.
func TestAnAPIThatHangsCostsLessThanThreeSeconds(t *testing.T) {
	t.Parallel()
	api := hanging(t)
	s, _ := open(t, backend.Options{URL: api.URL}, tasks.PlatformTask{})
	began := time.Now()
	s.Step(tasks.PlatformClone, tasks.PlatformInProgress, "")
	_, _ = s.Domain(t.Context())
	s.Succeeded()
	s.Close()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the deployment was held up for %s", took)
	}
}

func TestASlowAPIHearsTheLatest(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	api := newPlatform(t, func(http.ResponseWriter, *http.Request) { <-release })
	s, _ := open(t, backend.Options{URL: api.URL}, tasks.PlatformTask{})
	for i := range 100 {
		s.Step(tasks.PlatformBuild, tasks.PlatformInProgress, fmt.Sprint(i))
	}
	close(release)
	s.Close()
	told := api.heard()
	if len(told) > 17 || !strings.Contains(told[len(told)-1], `"error":"99"`) {
		t.Errorf("%d calls, the last %s: want a bounded number and the latest", len(told), told[len(told)-1])
	}
}

func TestNobodyIsThere(t *testing.T) {
	t.Parallel()
	api := newPlatform(t, nil)
	api.Close()
	s, heard := open(t, backend.Options{URL: api.URL, Token: token}, tasks.PlatformTask{})
	s.Step(tasks.PlatformClone, tasks.PlatformInProgress, "")
	s.Close()
	if !strings.Contains(heard.String(), "no answer: ") || strings.Contains(heard.String(), "accessToken") {
		t.Errorf("warnings: %q", heard)
	}
}
