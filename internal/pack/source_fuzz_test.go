package pack_test

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/dispatchd/dispatchd/internal/pack"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// FuzzRegistrySource asks for a pack from anywhere: what is fetched is an
// address of the operator's, at a ref that the operator allows.
func FuzzRegistrySource(f *testing.F) {
	for _, seed := range [][2]string{
		{"github.com/acme/packs", "v1"},
		{"git::https://github.com:443/acme/packs.git", "latest"},
		{"https://github.com/acme/packs?ref=evil", ""},
		{"https://github.com@evil.test/acme/packs", "main"},
		{"http://pinned.test/acme/packs", "v2"},
		{"file:///acme/packs", ""},
		{"pinned.test/acme/packs#v2", "v2"},
	} {
		f.Add(seed[0], seed[1])
	}
	registries, err := pack.ParseRegistries([]string{"github.com/acme/packs", "https://pinned.test/acme/packs#v1"})
	if err != nil {
		f.Fatal(err)
	}
	reached := errors.New("reached")
	f.Fuzz(func(t *testing.T, source, ref string) {
		fetch := func(_ context.Context, from pack.Origin, _ string, _ tasks.Reporter) (string, error) {
			address, err := url.Parse(from.URL)
			if err != nil || address.Path != "/acme/packs" || address.Scheme != "https" {
				t.Errorf("%q reaches %q", source, from.URL)
			}
			if address.Host != "github.com" && (address.Host != "pinned.test" || from.Ref != "v1") {
				t.Errorf("%q at %q reaches %q at %q", source, ref, from.URL, from.Ref)
			}
			return "", reached
		}
		_, err := pack.New(nil, pack.Options{Registries: registries, Fetch: fetch}).Render(t.Context(), tasks.RenderRequest{
			Deploy: tasks.ProjectDeploy{Pack: "p", RegistrySource: source, RegistryRef: ref}, Dir: t.TempDir() + "/pack", Report: &report{},
		})
		if !errors.Is(err, reached) {
			wantFailureReason(t, err, tasks.ReasonUnsupported)
		}
	})
}

func wantFailureReason(t *testing.T, err error, reason tasks.Reason) {
	t.Helper()
	if failure := tasks.AsFailure(err); failure == nil || failure.Reason != reason {
		t.Errorf("error is %v, want %s", err, reason)
	}
}
