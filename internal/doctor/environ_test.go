package doctor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/doctor"
)

// Not parallel: it changes the environment.
func TestProgramsSeeNoSecretsOfTheEnvironment(t *testing.T) {
	t.Setenv("NOMAD_TOKEN", "of-the-worker")
	file := filepath.Join(t.TempDir(), "environ")
	spy := filepath.Join(t.TempDir(), "spy")
	if err := os.WriteFile(spy, []byte("#!/bin/sh\nenv >"+file+"\necho nixpacks 1.39.0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	doctor.Programs{Nixpacks: spy}.Check(t.Context())
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "of-the-worker") {
		t.Errorf("the program sees the token, or was not run: %v", err)
	}
}
