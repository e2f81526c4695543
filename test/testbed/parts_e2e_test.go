//go:build e2e

package testbed_test

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/nats-io/nats.go"

	"github.com/dispatchd/dispatchd/test/testbed"
)

func TestDaemonThatEndsSaysWhy(t *testing.T) {
	t.Parallel()
	opts := testbed.Options{
		Dir: t.TempDir(), Need: testbed.NeedNomad | testbed.NeedBuildKit,
		Nomad: testbed.NomadOptions{Extra: "no_such_setting = true"},
	}
	bed, err := testbed.Start(t.Context(), opts)
	if bed != nil || err == nil {
		t.Fatalf("Start = %v, %v; want an error", bed, err)
	}
	for _, want := range []string{"start nomad: it ended: exit status 1", "no_such_setting"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in the error: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "left behind") {
		t.Errorf("the failed start left something: %v", err)
	}
}

func TestDebianRegistryTakesAnImage(t *testing.T) {
	t.Parallel()
	bed := startBed(t, testbed.Options{Need: testbed.NeedDebianRegistry})
	image, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(bed.DebianRegistry.Addr() + "/some/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithContext(t.Context())); err != nil {
		t.Error(err)
	}
	closeBed(t, bed)
}

// TestNATSComesBackWithItsPort also shows that a bed can be of one part.
func TestNATSComesBackWithItsPort(t *testing.T) {
	t.Parallel()
	bed := startBed(t, testbed.Options{Need: testbed.NeedNATS})
	url := bed.NATS.ClientURL()
	bed.NATS.Shutdown()
	if conn, err := nats.Connect(url); err == nil {
		conn.Close()
		t.Error("NATS answers after its shutdown")
	}
	if err := bed.NATS.Restart(); err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	closeBed(t, bed)
}
