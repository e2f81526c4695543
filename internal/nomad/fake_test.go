package nomad_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/nomad"
)

// fake is a Nomad server with state and blocking queries, as far as the
// adapter asks for it. Its answers have the shape of recorded ones
// (TestTheFakeAnswersLikeNomad); its scheduler is the test.
type fake struct {
	*httptest.Server

	mu      sync.Mutex
	changed chan struct{}
	index   uint64
	tables  map[string]uint64

	jobs        map[string][]*api.Job // versions, the newest first
	deployments map[string][]*api.Deployment
	allocs      map[string][]*api.AllocationListStub
	evals       map[string][]*api.Evaluation
	checks      map[string]api.AllocCheckStatuses
	logs        map[string]string

	// scripted answers: a handler by method and path that comes first.
	scripts map[string]http.HandlerFunc
	// onRegister is called, unlocked, after a job was registered.
	onRegister func(job *api.Job)
	// requests are "METHOD path token namespace", in order.
	requests []string
}

func newFake(t *testing.T) *fake {
	f := &fake{
		changed:     make(chan struct{}),
		index:       10,
		tables:      map[string]uint64{},
		jobs:        map[string][]*api.Job{},
		deployments: map[string][]*api.Deployment{},
		allocs:      map[string][]*api.AllocationListStub{},
		evals:       map[string][]*api.Evaluation{},
		checks:      map[string]api.AllocCheckStatuses{},
		logs:        map[string]string{},
		scripts:     map[string]http.HandlerFunc{},
	}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Server.Close)
	return f
}

// client is an impatient client of the fake.
func (f *fake) client(t *testing.T, options nomad.Options) *nomad.Client {
	t.Helper()
	if options.Address == "" {
		options.Address = f.URL
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&options.RequestTimeout, 2 * time.Second},
		{&options.WaitTime, time.Second},
		{&options.PlacementGrace, 100 * time.Millisecond},
		{&options.UnhealthyGrace, 100 * time.Millisecond},
		{&options.Settle, 250 * time.Millisecond},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	client, err := nomad.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// change mutates the state under a new index and wakes the blocking queries.
func (f *fake) change(tables string, mutate func(index uint64)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index++
	mutate(f.index)
	for _, table := range strings.Fields(tables) {
		f.tables[table] = f.index
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.requests...)
}

// script answers one method and path by hand from now on; nil ends that.
func (f *fake) script(route string, handler http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scripts[route] = handler
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A server notices that its client has gone only once the body is read.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	f.mu.Lock()
	f.requests = append(f.requests, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("X-Nomad-Token"), r.URL.Query().Get("namespace")))
	script := f.scripts[r.Method+" "+r.URL.Path]
	if script == nil {
		script = f.scripts["*"]
	}
	f.mu.Unlock()
	if script != nil {
		script(w, r)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	switch {
	case path == "jobs/parse":
		f.parse(w, r)
	case path == "jobs" && r.Method == http.MethodPut:
		f.register(w, r)
	case path == "jobs":
		f.block(w, r, "jobs", func() any { return f.listJobs(r.URL.Query().Get("prefix")) })
	case strings.HasPrefix(path, "job/"):
		f.job(w, r, strings.TrimPrefix(path, "job/"))
	case strings.HasPrefix(path, "deployment/fail/"):
		f.failDeployment(w, strings.TrimPrefix(path, "deployment/fail/"))
	case strings.HasPrefix(path, "client/"):
		f.node(w, r, strings.TrimPrefix(path, "client/"))
	default:
		http.Error(w, "Invalid method or path", http.StatusNotFound)
	}
}

func (f *fake) listJobs(prefix string) []*api.JobListStub {
	list := []*api.JobListStub{}
	for id, versions := range f.jobs {
		if strings.HasPrefix(id, prefix) {
			list = append(list, &api.JobListStub{ID: id, ParentID: deref(versions[0].ParentID), Stop: deref(versions[0].Stop), JobModifyIndex: *versions[0].JobModifyIndex})
		}
	}
	return list
}

// job answers what hangs on one job; its id may hold slashes.
func (f *fake) job(w http.ResponseWriter, r *http.Request, rest string) {
	for _, kind := range []string{"versions", "deployments", "allocations", "evaluations"} {
		if id, ok := strings.CutSuffix(rest, "/"+kind); ok {
			f.block(w, r, kind, func() any { return f.listOf(kind, id) })
			return
		}
	}
	if r.Method == http.MethodDelete {
		f.deregister(w, rest, r.URL.Query().Get("purge") == "true")
		return
	}
	f.block(w, r, "job:"+rest, func() any {
		if versions := f.jobs[rest]; len(versions) > 0 {
			f.tables["job:"+rest] = *versions[0].ModifyIndex
			return versions[0]
		}
		return nil
	})
}

func (f *fake) listOf(kind, id string) any {
	switch kind {
	case "versions":
		if len(f.jobs[id]) == 0 {
			return nil
		}
		return api.JobVersionsResponse{Versions: f.jobs[id]}
	case "deployments":
		return append([]*api.Deployment{}, f.deployments[id]...)
	case "allocations":
		return append([]*api.AllocationListStub{}, f.allocs[id]...)
	}
	return append([]*api.Evaluation{}, f.evals[id]...)
}

func (f *fake) node(w http.ResponseWriter, r *http.Request, rest string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id, ok := strings.CutPrefix(rest, "fs/logs/"); ok {
		q := r.URL.Query()
		log, known := f.logs[id+"/"+q.Get("task")+"/"+q.Get("type")]
		if !known {
			http.Error(w, "Unknown allocation", http.StatusNotFound)
			return
		}
		offset, _ := strconv.Atoi(q.Get("offset"))
		if q.Get("origin") == "end" {
			offset = max(0, len(log)-offset)
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte(log[min(offset, len(log)):]))
		return
	}
	id := strings.TrimSuffix(strings.TrimPrefix(rest, "allocation/"), "/checks")
	reply(w, 0, f.checks[id])
}

// block answers a query like Nomad: at once without an index, else when the
// table's index has passed it or the wait time is over.
func (f *fake) block(w http.ResponseWriter, r *http.Request, table string, read func() any) {
	want, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for over := want == 0; ; {
		f.mu.Lock()
		answer := read()
		index := max(1, f.tables[table])
		body, err := json.Marshal(answer)
		changed := f.changed
		f.mu.Unlock()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if answer == nil {
			http.Error(w, strings.SplitN(table, ":", 2)[0]+" not found", http.StatusNotFound)
			return
		}
		if over || index > want {
			reply(w, index, json.RawMessage(body))
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			over = true
		case <-r.Context().Done():
			return
		}
	}
}

func reply(w http.ResponseWriter, index uint64, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Nomad-Index", strconv.FormatUint(index, 10))
	w.Header().Set("X-Nomad-KnownLeader", "true")
	w.Header().Set("X-Nomad-LastContact", "0")
	_ = json.NewEncoder(w).Encode(body)
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
