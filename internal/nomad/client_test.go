package nomad_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/nomad"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestNewRefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:4646", "ftp://nomad", "http://", "://", "http://user:geheim@%zz"} {
		_, err := nomad.New(nomad.Options{Address: address})
		if err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("New(%q): got %v, want an error without the password", address, err)
		}
	}
}

func TestTheEnvironmentsTokenStaysWithItsAddress(t *testing.T) {
	t.Parallel()
	home, foreign := newFake(t), newFake(t)
	client := home.client(t, nomad.Options{Token: "home-token", Namespace: "apps"})
	for name, c := range map[string]struct {
		at   tasks.Cluster
		want string
	}{
		"nothing given":         {tasks.Cluster{}, "home-token"},
		"the same address":      {tasks.Cluster{Address: home.URL + "/"}, "home-token"},
		"a token":               {tasks.Cluster{Token: "own-token"}, "own-token"},
		"an address":            {tasks.Cluster{Address: foreign.URL}, ""},
		"an address, a token":   {tasks.Cluster{Address: foreign.URL, Token: "own-token"}, "own-token"},
		"home with a user":      {tasks.Cluster{Address: strings.Replace(home.URL, "://", "://u:p@", 1)}, ""},
		"the port is different": {tasks.Cluster{Address: foreign.URL + "/v1"}, ""},
	} {
		id := strings.ReplaceAll(name, " ", "-")
		if err := client.Destroy(t.Context(), c.at, tasks.DestroySpec{JobID: id}, &reporter{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := fmt.Sprintf("GET /v1/job/%s %s apps", id, c.want)
		all := strings.Join(append(home.seen(), foreign.seen()...), "\n") + "\n"
		if !strings.Contains(all, want+"\n") {
			t.Errorf("%s: got requests\n%swant %q", name, all, want)
		}
	}
	for _, request := range foreign.seen() {
		if strings.Contains(request, "home-token") {
			t.Errorf("the foreign server saw %q", request)
		}
	}
	err := client.Destroy(t.Context(), tasks.Cluster{Address: "unix:///run/nomad.sock"}, tasks.DestroySpec{JobID: "web"}, &reporter{})
	wantFailure(t, err, tasks.ReasonInvalidTask, "job web", "no http or https address")
}

func TestAUnixSocketAsAddress(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	socket := filepath.Join(t.TempDir(), "nomad.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: f, ReadHeaderTimeout: time.Second}}
	server.Start()
	t.Cleanup(server.Close)
	client := f.client(t, nomad.Options{Address: "unix://" + socket, Token: "socket-token"})
	if err := client.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, &reporter{}); err != nil {
		t.Fatal(err)
	}
	if got, want := f.seen()[0], "GET /v1/job/web socket-token default"; got != want {
		t.Errorf("got request %q, want %q", got, want)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	thief := newFake(t)
	door := httptest.NewServer(http.RedirectHandler(thief.URL+"/v1/x", http.StatusTemporaryRedirect))
	defer door.Close()
	client := thief.client(t, nomad.Options{Address: door.URL, Token: "secret"})
	_, err := client.Info(t.Context(), tasks.Cluster{})
	failure := wantFailure(t, err, tasks.ReasonNomadDown, "it redirects (status 307)")
	if !strings.HasPrefix(failure.Message, "Nomad does not answer") {
		t.Errorf("got message %q, want it to name Nomad once", failure.Message)
	}
	if len(thief.seen()) > 0 {
		t.Errorf("the redirect's target saw %v", thief.seen())
	}
}

func TestANomadThatIsNotWell(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"hangs":        func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"says HTML":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>no")) },
		"says null":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("null")) },
		"says nothing": func(http.ResponseWriter, *http.Request) {},
		"is a gateway": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"lies on gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("not gzip at all"))
		},
		"hangs up": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		},
		"never ends": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"ID":"`))
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.script("*", answer)
			client := f.client(t, nomad.Options{RequestTimeout: 300 * time.Millisecond, DestroyTimeout: time.Second, UnavailableLimit: time.Second})
			start := time.Now()
			_, err := client.Register(t.Context(), tasks.Cluster{}, tasks.JobSpec{HCL: []byte("{}"), JobID: "web", TaskID: "t"})
			wantFailure(t, err, tasks.ReasonNomadDown, "job web")
			err = client.Destroy(t.Context(), tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, &reporter{})
			wantFailure(t, err, tasks.ReasonNomadDown, "job web")
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	client, err := nomad.New(nomad.Options{Address: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Info(t.Context(), tasks.Cluster{})
	wantFailure(t, err, tasks.ReasonNomadDown, "it cannot be reached")
}

func TestAnEndlessAnswerIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	for status, limit := range map[int]int{http.StatusOK: 96 << 20, http.StatusInternalServerError: 16 << 20} {
		f := newFake(t)
		var sent atomic.Int64
		f.script("*", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			for chunk := bytes.Repeat([]byte(" "), 1<<20); ; {
				n, err := w.Write(chunk)
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		})
		_, err := f.client(t, nomad.Options{RequestTimeout: 8 * time.Second}).Info(t.Context(), tasks.Cluster{})
		wantFailure(t, err, tasks.ReasonNomadDown)
		if got := int(sent.Load()); got > limit {
			t.Errorf("%d bytes were read of an endless answer with status %d", got, status)
		}
		if n := len(err.Error()); n > 128<<10 {
			t.Errorf("the error is %d bytes long", n)
		}
	}
}

// The limit is for what is unpacked: a few kilobytes of gzip hold gigabytes.
func TestAPackedAnswerIsNotUnpackedToItsEnd(t *testing.T) {
	t.Parallel()
	const unpacked = 64 << 20
	var bomb bytes.Buffer
	pack := gzip.NewWriter(&bomb)
	for range unpacked >> 20 {
		_, _ = pack.Write(bytes.Repeat([]byte(" "), 1<<20))
	}
	_, _ = pack.Write([]byte(`{"member":{"Tags":{"build":"1.6.1"}}}`))
	_ = pack.Close()
	f := newFake(t)
	f.script("GET /v1/nodes", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) })
	f.script("GET /v1/agent/self", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	_, err := f.client(t, nomad.Options{RequestTimeout: 8 * time.Second}).Info(t.Context(), tasks.Cluster{})
	wantFailure(t, err, tasks.ReasonNomadDown, "its answer is not one of Nomad's")
}

func TestEachCallReturnsTheCauseOfItsContext(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.script("*", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	client := f.client(t, nomad.Options{})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, tasks.ErrTimeout)
	defer cancel()
	_, err := client.Info(ctx, tasks.Cluster{})
	wantFailure(t, err, tasks.ReasonTimeout)
	_, err = client.Register(ctx, tasks.Cluster{}, tasks.JobSpec{JobID: "web"})
	wantFailure(t, err, tasks.ReasonTimeout)
	wantFailure(t, client.Destroy(ctx, tasks.Cluster{}, tasks.DestroySpec{JobID: "web"}, &reporter{}), tasks.ReasonTimeout)
}

func TestInfo(t *testing.T) {
	t.Parallel()
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
	}
	denied := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Permission denied", http.StatusForbidden) }
	for name, c := range map[string]struct {
		agent, nodes, node, node2, keys http.HandlerFunc
		want                            tasks.ClusterInfo
	}{
		"an old server without Consul": {
			agent: text(`{"member":{"Tags":{"build":"1.6.1"}}}`), nodes: text(`[{"ID":"n1","Status":"ready"}]`), node: text(`{"Attributes":{"nomad.version":"1.6.1"}}`),
			want: tasks.ClusterInfo{Version: "1.6.1"},
		},
		"a client agent of a new one": {
			agent: text(`{"member":{}}`), nodes: text(`[{"ID":"n0","Status":"down","Version":"0.9.0"},{"ID":"n1","Status":"ready","Version":"1.7.2+ent"}]`), node: text(`{"Attributes":{"consul.version":"1.18.0","kernel.name":"linux","cpu.arch":"arm64"}}`),
			want: tasks.ClusterInfo{Version: "1.7.2+ent", Consul: true, VaultByRole: true, Platforms: []string{"linux/arm64"}},
		},
		"nodes of two kinds, and others that take no work": {
			agent: text(`{"member":{"Tags":{"build":"1.6.1"}}}`),
			nodes: text(`[{"ID":"n1","Status":"ready"},{"ID":"n2","Status":"ready","SchedulingEligibility":"eligible"},{"ID":"n3","Status":"ready","SchedulingEligibility":"ineligible"}]`),
			node:  text(`{"Attributes":{"kernel.name":"linux","cpu.arch":"arm64"}}`), node2: text(`{"Attributes":{"kernel.name":"linux","cpu.arch":"amd64"}}`),
			want: tasks.ClusterInfo{Version: "1.6.1", Platforms: []string{"linux/amd64", "linux/arm64"}},
		},
		"one node that does not say what it is": {
			agent: text(`{"member":{"Tags":{"build":"1.6.1"}}}`), nodes: text(`[{"ID":"n1","Status":"ready"},{"ID":"n2","Status":"ready"}]`),
			node: text(`{"Attributes":{"kernel.name":"linux","cpu.arch":"arm64"}}`), node2: text(`{"Attributes":{}}`),
			want: tasks.ClusterInfo{Version: "1.6.1"},
		},
		"more nodes than are asked": {
			agent: text(`{"member":{"Tags":{"build":"1.6.1"}}}`), nodes: text("[" + strings.Repeat(`{"ID":"n1","Status":"ready"},`, 8) + `{"ID":"n2","Status":"ready"}]`),
			node: text(`{"Attributes":{"kernel.name":"linux","cpu.arch":"arm64"}}`),
			want: tasks.ClusterInfo{Version: "1.6.1"},
		},
		"a token for jobs alone, old": {agent: denied, nodes: denied, want: tasks.ClusterInfo{}},
		"a token for jobs alone, new": {agent: denied, nodes: denied, keys: text(`{"keys":[]}`), want: tasks.ClusterInfo{VaultByRole: true}},
		"nodes that may not be read": {
			agent: text(`{"member":{"Tags":{"build":"2.0.4"}}}`), nodes: text(`[{"ID":"n1","Status":"ready"}]`), node: denied,
			want: tasks.ClusterInfo{Version: "2.0.4", VaultByRole: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			for path, handler := range map[string]http.HandlerFunc{
				"/v1/agent/self": c.agent, "/v1/nodes": c.nodes, "/v1/node/n1": c.node, "/v1/node/n2": c.node2, "/.well-known/jwks.json": c.keys,
			} {
				if handler != nil {
					f.script("GET "+path, handler)
				}
			}
			got, err := f.client(t, nomad.Options{}).Info(t.Context(), tasks.Cluster{})
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v and %v, want %+v", got, err, c.want)
			}
		})
	}
}
