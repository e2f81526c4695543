package pack_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files of this package")

func TestRenderGoldens(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/render/*/vars.hcl")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range cases {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vars, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			req := request(string(vars))
			req.VaultByRole = name == "vault-by-role"
			if name == "consul" {
				req.ServiceProvider = "consul"
				req.ForcePull = true
			}
			got, err := cloudstation().Render(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join(filepath.Dir(file), "job.nomad.hcl"), got)
			readByNomad(t, got)
		})
	}
}

func compare(t *testing.T, golden string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got), run with -update:\n%s", golden, diff)
	}
}
