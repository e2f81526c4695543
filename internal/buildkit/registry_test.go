package buildkit_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

var (
	noCredentials   = tasks.Credentials{}
	goodCredentials = tasks.Credentials{Username: testUser, Password: testPassword}
	badCredentials  = tasks.Credentials{Username: testUser, Password: "wrong-horse"}
)

func newResolver(t testing.TB, options buildkit.RegistryOptions) *buildkit.Registry {
	t.Helper()
	r := buildkit.NewRegistry(options)
	t.Cleanup(r.Close)
	return r
}

func TestResolveFollowsAMovedTag(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	resolver := newResolver(t, buildkit.RegistryOptions{})
	name := registry.host + "/acme/app"
	for _, label := range []string{"first", "second"} {
		digest := put(t, name+":stable", testImage(t, label, "8080/tcp", "53/udp", "80", "9/sctp", "0/tcp"))
		got, err := resolver.Resolve(t.Context(), name, "stable", noCredentials)
		if err != nil {
			t.Fatal(err)
		}
		want := tasks.Image{Name: name, Tag: "stable", Digest: digest, Ports: []tasks.Port{{Number: 53, Protocol: "udp"}, {Number: 80, Protocol: "tcp"}, {Number: 8080, Protocol: "tcp"}}, Platforms: []string{"linux/" + runtime.GOARCH}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", label, diff)
		}
	}
}

func TestResolveReturnsTheIndexAndThePortsOfThisPlatform(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	here := v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}
	other := v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: testImage(t, "other", "1111/tcp"), Descriptor: other},
		mutate.IndexAddendum{Add: testImage(t, "here", "2222/tcp"), Descriptor: here})
	foreign := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: testImage(t, "other", "1111/tcp"), Descriptor: other})
	resolver := newResolver(t, buildkit.RegistryOptions{})
	for name, tc := range map[string]struct {
		index     v1.ImageIndex
		ports     []tasks.Port
		platforms []string
	}{
		"both":    {index, []tasks.Port{{Number: 2222, Protocol: "tcp"}}, tasks.SortPlatforms([]string{"linux/s390x", "linux/" + runtime.GOARCH})},
		"foreign": {foreign, nil, []string{"linux/s390x"}},
	} {
		digest := put(t, registry.host+"/"+name+":v1", tc.index)
		got, err := resolver.Resolve(t.Context(), registry.host+"/"+name, "v1", noCredentials)
		if err != nil {
			t.Fatal(err)
		}
		want := tasks.Image{Name: registry.host + "/" + name, Tag: "v1", Digest: digest, Ports: tc.ports, Platforms: tc.platforms}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestResolveWithCredentials(t *testing.T) {
	t.Parallel()
	writers := map[string]remote.Option{
		"basic":  remote.WithAuth(&authn.Basic{Username: testUser, Password: testPassword}),
		"bearer": remote.WithAuth(&authn.Bearer{Token: testToken}),
	}
	registries := map[string]*testRegistry{"basic": newRegistry(t, basicAuth), "bearer": newRegistry(t, bearerAuth)}
	resolver := newResolver(t, buildkit.RegistryOptions{})
	for kind, registry := range registries {
		name := registry.host + "/app"
		digest := put(t, name+":v1", testImage(t, kind), writers[kind])
		for what, tc := range map[string]struct {
			creds      tasks.Credentials
			digest     string
			unresolved string
		}{
			"right":   {goodCredentials, digest, ""},
			"wrong":   {badCredentials, "", "refused the credentials"},
			"without": {noCredentials, "", "does not show the image without credentials"},
		} {
			got, err := resolver.Resolve(t.Context(), name, "v1", tc.creds)
			if err != nil {
				t.Fatalf("%s, %s: %v", kind, what, err)
			}
			if got.Digest != tc.digest || !strings.Contains(got.Unresolved, tc.unresolved) || (got.Unresolved == "") != (tc.unresolved == "") {
				t.Errorf("%s, %s: got %+v, want digest %q and unresolved %q", kind, what, got, tc.digest, tc.unresolved)
			}
		}
	}
	token := tasks.Credentials{Username: testUser, Password: "wrong-horse", Token: testToken}
	got, err := resolver.Resolve(t.Context(), registries["bearer"].host+"/app", "v1", token)
	if err != nil || got.Digest == "" {
		t.Errorf("bearer token: got %+v, %v", got, err)
	}
}

func TestResolveMissingImage(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	put(t, registry.host+"/app:v1", testImage(t, "a"))
	resolver := newResolver(t, buildkit.RegistryOptions{})
	for _, tag := range []string{"v2", "sha256:" + strings.Repeat("0", 64)} {
		_, err := resolver.Resolve(t.Context(), registry.host+"/app", tag, noCredentials)
		checkFailure(t, err, tasks.ReasonImageNotFound, registry.host+"/app", "not found")
	}
	_, err := resolver.Resolve(t.Context(), registry.host+"/unknown", "v1", noCredentials)
	checkFailure(t, err, tasks.ReasonImageNotFound, registry.host+"/unknown:v1")
}

func TestResolveWhereTheRegistryCannotBeRead(t *testing.T) {
	t.Parallel()
	closed := newRegistry(t, nil)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	hanging := newRegistry(t, func(*testRegistry, http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			select {
			case <-hang:
			case <-req.Context().Done():
			}
		})
	})
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	page := newRegistry(t, func(*testRegistry, http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>hello</html>") })
	})
	for name, tc := range map[string]struct{ host, want string }{
		"forbidden":   {newRegistry(t, answer(http.StatusForbidden, "DENIED")).host, "does not show the image without credentials"},
		"limited":     {newRegistry(t, answer(http.StatusTooManyRequests, "TOOMANYREQUESTS")).host, "limits our requests"},
		"broken":      {newRegistry(t, answer(http.StatusInternalServerError, "UNKNOWN")).host, "answered with status 500"},
		"a web page":  {page.host, "did not answer with an image"},
		"hanging":     {hanging.host, "did not answer in time"},
		"silent":      {silent.Addr().String(), "did not answer in time"},
		"refused":     {"127.0.0.1:1", "cannot be reached"},
		"unknown":     {"registry.invalid", "cannot be reached"},
		"unprotected": {strings.Replace(closed.host, "127.0.0.1", "0.0.0.0", 1), "does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resolver := newResolver(t, buildkit.RegistryOptions{Timeout: 2 * time.Second})
			got, err := resolver.Resolve(t.Context(), tc.host+"/app", "v1", noCredentials)
			if err != nil {
				t.Fatal(err)
			}
			if got.Digest != "" || got.Name != tc.host+"/app" || got.Tag != "v1" || !strings.Contains(got.Unresolved, tc.want) {
				t.Errorf("got %+v, want unresolved %q", got, tc.want)
			}
		})
	}
}

func TestAPassingFaultOfARegistryOfOursIsAFailureThatIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		host string
		want tasks.Reason
	}{
		"limited": {newRegistry(t, answer(http.StatusTooManyRequests, "TOOMANYREQUESTS")).host, tasks.ReasonRegistryLimited},
		"broken":  {newRegistry(t, answer(http.StatusInternalServerError, "UNKNOWN")).host, tasks.ReasonRegistryDown},
		"refused": {"127.0.0.1:1", tasks.ReasonRegistryDown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resolver := newResolver(t, buildkit.RegistryOptions{Timeout: 2 * time.Second})
			_, err := resolver.Resolve(t.Context(), tc.host+"/app", "v1", tasks.Credentials{Username: "u", Password: "p"})
			if failure := tasks.AsFailure(err); err == nil || failure.Reason != tc.want || !failure.Row().Retryable() {
				t.Errorf("Resolve() = %v, want %s", err, tc.want)
			}
		})
	}
}

func TestResolveReturnsTheCauseWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, answer(http.StatusInternalServerError, "UNKNOWN"))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(tasks.ErrTimeout)
	_, err := newResolver(t, buildkit.RegistryOptions{}).Resolve(ctx, registry.host+"/app", "v1", noCredentials)
	if !errors.Is(err, tasks.ErrTimeout) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

func TestResolveNames(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	// The addresses are refused, so what comes back is what the name alone says.
	const host = "127.0.0.1:1"
	resolver := newResolver(t, buildkit.RegistryOptions{})
	for in, want := range map[[2]string]tasks.Image{
		{host + "/app", ""}:                      {Name: host + "/app", Tag: "latest"},
		{host + "/app:v2", "latest"}:             {Name: host + "/app", Tag: "v2"},
		{host + "/app:v2", "v2"}:                 {Name: host + "/app", Tag: "v2"},
		{host + "/app", digest}:                  {Name: host + "/app", Digest: digest},
		{host + "/app", "v3@" + digest}:          {Name: host + "/app", Tag: "v3", Digest: digest},
		{host + "/app@" + digest, "latest"}:      {Name: host + "/app", Tag: "latest", Digest: digest},
		{host + "/app:v1@" + digest, "latest"}:   {Name: host + "/app", Tag: "v1", Digest: digest},
		{"localhost:1/team/sub/app", "1.0-rc_1"}: {Name: "localhost:1/team/sub/app", Tag: "1.0-rc_1"},
	} {
		got, err := resolver.Resolve(t.Context(), in[0], in[1], noCredentials)
		got.Unresolved = ""
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", in, err, diff)
		}
	}
	for _, in := range [][2]string{
		{"", "v1"},
		{"UPPER", "v1"},
		{"app", "bad tag"},
		{"app", "-x"},
		{"app name", "v1"},
		{"app:v1", "v2"},
		{"app", "sha256:short"},
		{"https://registry/app", "v1"},
		{"app\n", "v1"},
		{"${app}", "v1"},
		{"app", strings.Repeat("x", 200)},
	} {
		_, err := resolver.Resolve(t.Context(), in[0], in[1], noCredentials)
		checkFailure(t, err, tasks.ReasonImageInvalid)
	}
}

func TestNamesAreShownAsDockerShowsThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"nginx": "nginx", "docker.io/library/nginx": "nginx", "docker.io/acme/app": "acme/app",
		"acme/app": "acme/app", "ghcr.io/acme/app": "ghcr.io/acme/app", "registry:5000/app": "registry:5000/app",
	} {
		if got := buildkit.ShownName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestPlainHTTPIsForListedRegistriesAndThisMachine(t *testing.T) {
	t.Parallel()
	registry := newRegistry(t, nil)
	unlisted := strings.Replace(registry.host, "127.0.0.1", "0.0.0.0", 1)
	for host, allowed := range map[string]bool{
		registry.host: true,
		strings.Replace(registry.host, "127.0.0.1", "localhost", 1): true,
		unlisted: false,
	} {
		err := buildkit.GuardedGet(t.Context(), "http://"+host+"/v2/", nil)
		if (err == nil) != allowed {
			t.Errorf("%s: got %v, want allowed %v", host, err, allowed)
		}
	}
	if err := buildkit.GuardedGet(t.Context(), "http://"+unlisted+"/v2/", []string{unlisted}); err != nil {
		t.Errorf("a listed host: %v", err)
	}
}

func TestCredentialsGoToNobodyElse(t *testing.T) {
	t.Parallel()
	other := newRegistry(t, nil)
	redirecting := newRegistry(t, func(_ *testRegistry, next http.Handler) http.Handler {
		return basicAuth(nil, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.URL.Path, "/manifests/") {
				http.Redirect(w, req, other.url+req.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			next.ServeHTTP(w, req)
		}))
	})
	_, err := newResolver(t, buildkit.RegistryOptions{}).Resolve(t.Context(), redirecting.host+"/app", "v1", goodCredentials)
	checkFailure(t, err, tasks.ReasonImageNotFound)
	if got := other.authorizations(); len(got) > 0 {
		t.Errorf("the other host got %q", got)
	}
	if len(redirecting.authorizations()) == 0 {
		t.Error("the registry itself got no credentials")
	}
}

func TestRegistryPing(t *testing.T) {
	t.Parallel()
	resolver := newResolver(t, buildkit.RegistryOptions{Timeout: time.Second})
	for _, there := range []*testRegistry{newRegistry(t, nil), newRegistry(t, basicAuth)} {
		if err := resolver.Ping(t.Context(), there.host); err != nil {
			t.Error(err)
		}
	}
	for _, away := range []string{"127.0.0.1:1", newRegistry(t, answer(http.StatusBadGateway, "")).host, "bad host"} {
		checkFailure(t, resolver.Ping(t.Context(), away), tasks.ReasonRegistryDown, "registry")
	}
}
