package config_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/config"
)

func TestUnknownNamesTheNearestSetting(t *testing.T) {
	t.Parallel()
	got := config.Unknown([]string{
		"DISPATCHD_SLOT=3", "DISPATCHD_SLOTS=4", "DISPATCHD_TASKTIMEOUT=1m", "DISPATCHD_PINEAPPLE=1", "PATH=/bin", "NATS_SERVER=x", "DISPATCHD_HTTP_ADR=",
	})
	want := []config.UnknownVariable{
		{Name: "DISPATCHD_HTTP_ADR", Nearest: "DISPATCHD_HTTP_ADDR"},
		{Name: "DISPATCHD_PINEAPPLE"},
		{Name: "DISPATCHD_SLOT", Nearest: "DISPATCHD_SLOTS"},
		{Name: "DISPATCHD_TASKTIMEOUT", Nearest: "DISPATCHD_TASK_TIMEOUT"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Unknown (-want +got):\n%s", diff)
	}
	if got, want := got[2].String(), "DISPATCHD_SLOT is not a setting of dispatchd and is ignored; did you mean DISPATCHD_SLOTS?"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWarningsSayWhereCredentialsGo(t *testing.T) {
	t.Parallel()
	const want = "REGISTRY_USERNAME, REGISTRY_PASSWORD and REGISTRY_TOKEN are sent to docker.io alone; set DISPATCHD_REGISTRY_HOST to the registry that they are for"
	c := config.Config{Registry: config.Registry{Username: "me", Password: "pw"}}
	if got := c.Warnings(nil); !slices.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
	c.Registry.Host = "docker.io"
	if got := c.Warnings(nil); len(got) != 0 {
		t.Errorf("got %q, want none", got)
	}
}
