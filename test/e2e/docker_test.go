//go:build e2e

package e2e_test

import (
	"archive/tar"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/test/testbed"
)

// containerOf finds the container of an allocation's one task.
func containerOf(t *testing.T, alloc string) testbed.Container {
	t.Helper()
	list, err := shared.bed.Docker.Containers(brief(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		for _, name := range c.Names {
			if strings.HasSuffix(name, alloc) {
				return c
			}
		}
	}
	t.Fatalf("allocation %s has no container among %d", alloc, len(list))
	return testbed.Container{}
}

// askDocker asks the bed's Docker about a container; the caller closes the body.
func askDocker(t *testing.T, container, path string) *http.Response {
	t.Helper()
	socket := strings.TrimPrefix(shared.bed.Docker.Addr(), "unix://")
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(brief(t), http.MethodGet, "http://docker/containers/"+container+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// inspected is what Docker was asked to run.
type inspected struct {
	Config     struct{ Labels map[string]string }
	HostConfig struct {
		CPUShares         int64 `json:"CpuShares"`
		Memory            int64
		MemoryReservation int64
	}
}

func inspect(t *testing.T, container string) (c inspected) {
	t.Helper()
	res := askDocker(t, container, "/json")
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

// readContainerFile reads a file as the app sees it.
func readContainerFile(t *testing.T, container, path string) string {
	t.Helper()
	res := askDocker(t, container, "/archive?path="+url.QueryEscape(path))
	defer func() { _ = res.Body.Close() }()
	archive := tar.NewReader(res.Body)
	if _, err := archive.Next(); err != nil {
		t.Fatalf("read %s of the container: %s: %v", path, res.Status, err)
	}
	text, err := io.ReadAll(archive)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
