package tasks_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

func TestSecretsHoldWhatAnUploadsAddressCarries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		address string
		want    []string
	}{
		"none":              {"", nil},
		"nothing in it":     {"https://files.test/a.zip", nil},
		"a signature":       {"https://files.test/a.zip?X-Expires=3600&X-SignedHeaders=host&X-Signature=c0ffee1234", []string{"c0ffee1234"}},
		"decoded too":       {"https://files.test/a.zip?token=ab%2Fcd%2Bef", []string{"ab%2Fcd%2Bef", "ab/cd+ef"}},
		"a value alone":     {"https://files.test/a.zip?c0ffee1234", []string{"c0ffee1234"}},
		"a password":        {"https://user:pass-word@files.test/a.zip", []string{"pass-word"}},
		"a user alone":      {"https://the-token@files.test/a.zip", []string{"the-token"}},
		"no address at all": {"https://files.test/\x7f?token=c0ffee1234", []string{"https://files.test/\x7f?token=c0ffee1234"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tasks.Task{Deploy: &tasks.Deploy{SourceURL: c.address}}.Secrets()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
