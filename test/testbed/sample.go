package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Sample says which revision of the sample repository is wanted. The zero
// value is a healthy app that says "hello from dev".
type Sample struct {
	// Version is what the app calls itself.
	Version string
	// Crash makes the app end with this message soon after its start.
	Crash string
	// Unhealthy makes /healthz answer 500.
	Unhealthy bool
	// Base is an image with a shell, such as PushBase returns. With it the
	// Dockerfile starts FROM that image and has a RUN step; else FROM scratch.
	Base string
	// Run replaces the RUN step's command, and needs Base.
	Run string

	// Cache and Root are as in Options.
	Cache string
	Root  string
}

// SampleRepository returns the files of one revision of examples/hello, ready
// for Git.Publish: its sources, a static binary and a Dockerfile that needs no
// image from a hub. The binary is built once and kept in the cache.
func SampleRepository(ctx context.Context, s Sample) (map[string]string, error) {
	opts, err := Options{Cache: s.Cache, Root: s.Root}.withDefaults()
	if err != nil {
		return nil, err
	}
	files, err := readSample(filepath.Join(opts.Root, "examples", "hello"))
	if err != nil {
		return nil, fmt.Errorf("read the sample repository: %w", err)
	}
	binary, err := buildSample(ctx, opts, files)
	if err != nil {
		return nil, fmt.Errorf("build the sample app: %w", err)
	}
	files["hello"] = string(binary)
	files["Dockerfile"] = s.dockerfile(files["Dockerfile"])
	return files, nil
}

// readSample reads the files of the directory; it has no subdirectories.
func readSample(dir string) (map[string]string, error) {
	files := map[string]string{}
	for _, name := range []string{"Dockerfile", "README.md", "go.mod", "main.go"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		files[name] = string(text)
	}
	return files, nil
}

// buildSample builds from the files' content, so that a cached binary is
// always that of the sources beside it.
func buildSample(ctx context.Context, opts Options, files map[string]string) ([]byte, error) {
	hash := sha256.New()
	for _, name := range []string{"go.mod", "main.go"} {
		fmt.Fprintf(hash, "%s %d\n%s", name, len(files[name]), files[name])
	}
	fmt.Fprint(hash, runtime.Version(), runtime.GOARCH)
	path := filepath.Join(opts.Cache, "hello", hex.EncodeToString(hash.Sum(nil))[:16], "hello")
	if binary, err := os.ReadFile(path); err == nil {
		return binary, nil
	}
	if err := compileSample(ctx, filepath.Join(opts.Root, "examples", "hello"), path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// compileSample builds under a temporary name and renames the whole program.
func compileSample(ctx context.Context, source, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(path), ".build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	built := filepath.Join(temp, "hello")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-buildvcs=false", "-o", built, ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, lastLines(out, 5))
	}
	return os.Rename(built, path)
}

// dockerfile edits the committed Dockerfile, so that there is one of it.
func (s Sample) dockerfile(text string) string {
	if s.Version != "" {
		text = strings.Replace(text, "ARG VERSION=dev", fmt.Sprintf("ARG VERSION=%q", s.Version), 1)
	}
	if s.Base != "" {
		run := s.Run
		if run == "" {
			run = `echo "built with $(busybox | head -n 1)" > /etc/built`
		}
		text = strings.Replace(text, "FROM scratch\n", "FROM "+s.Base+"\nRUN "+run+"\n", 1)
	}
	var env string
	if s.Crash != "" {
		env += fmt.Sprintf("ENV HELLO_CRASH=%q\n", s.Crash)
	}
	if s.Unhealthy {
		env += "ENV HELLO_UNHEALTHY=1\n"
	}
	return strings.Replace(text, "EXPOSE ", env+"EXPOSE ", 1)
}
