package detect_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/detect"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// directory makes a directory of that name with empty files, or with a text
// where the name is a Dockerfile.
func directory(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	docker := tasks.BuilderDocker
	for name, test := range map[string]struct {
		files      map[string]string
		dockerfile string
		want       detect.Found
	}{
		"my-app": {
			files: map[string]string{"package.json": "{}"},
			want:  detect.Found{Name: "my-app", Language: "Node.js", File: "package.json", Builder: tasks.BuilderNixpacks},
		},
		"My App": {
			files: map[string]string{"Dockerfile": "FROM x\nEXPOSE 80", "go.mod": "", "package.json": ""},
			want: detect.Found{
				Name: "my-app", Language: "Go", File: "go.mod", Dockerfile: "Dockerfile", Builder: docker,
				Ports: []tasks.Port{{Number: 80, Protocol: "tcp"}},
			},
		},
		"elsewhere": {
			files: map[string]string{"deploy/Dockerfile.web": "FROM x", "a.csproj": ""}, dockerfile: "deploy/Dockerfile.web",
			want: detect.Found{Name: "elsewhere", Language: "C#", File: "a.csproj", Dockerfile: "deploy/Dockerfile.web", Builder: docker},
		},
		"日本":       {files: map[string]string{"readme": ""}, want: detect.Found{Name: "app", Builder: tasks.BuilderNixpacks}},
		"a-folder": {files: map[string]string{"Dockerfile/x": "", "go.mod/x": ""}, want: detect.Found{Name: "a-folder", Builder: tasks.BuilderNixpacks}},
	} {
		got, err := detect.Directory(directory(t, name, test.files), test.dockerfile)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryLanguage(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"package.json": "Node.js", "go.mod": "Go", "requirements.txt": "Python", "Gemfile": "Ruby", "Cargo.toml": "Rust", "pom.xml": "Java", "composer.json": "PHP",
	} {
		got, err := detect.Directory(directory(t, "app", map[string]string{file: ""}), "")
		if err != nil || got.Language != want {
			t.Errorf("with %s the language is %q, %v, want %s", file, got.Language, err, want)
		}
	}
}

// A Dockerfile that is a link to somewhere else is none, and one that never
// ends to be read does not hold us up.
func TestADockerfileOutsideIsNone(t *testing.T) {
	t.Parallel()
	dir := directory(t, "app", map[string]string{"x": ""})
	outside := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(outside, []byte("FROM x\nEXPOSE 80"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{outside, "/dev/zero"} {
		link := filepath.Join(dir, "Dockerfile")
		_ = os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if got, err := detect.Directory(dir, ""); err != nil || got.Dockerfile != "" {
			t.Errorf("a link to %s: %+v, %v, want no Dockerfile", target, got, err)
		}
	}
	if _, err := detect.Directory(filepath.Join(dir, "missing"), ""); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a directory that does not exist: %v", err)
	}
}

func TestExposed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"FROM x\nEXPOSE 8080":                                         "8080/tcp",
		"FROM x\nexpose 9090/udp 80 80/tcp \"443\"":                   "80/tcp 443/tcp 9090/udp",
		"FROM a\nEXPOSE 1\nFROM b\nEXPOSE 2":                          "2/tcp",
		"ARG PORT=3000\nFROM x\nEXPOSE $PORT ${OTHER:-53}/udp $NONE":  "53/udp 3000/tcp",
		"FROM x\nENV PORT 5000\nENV A=1 B=6000\nEXPOSE ${PORT} ${B}":  "5000/tcp 6000/tcp",
		"FROM x\nEXPOSE 1 \\\n  # a comment\n  2 \\\n\n  3":           "1/tcp 2/tcp 3/tcp",
		"FROM x\n# EXPOSE 1\nRUN echo EXPOSE 2":                       "",
		"FROM x\nRUN <<EOF\nEXPOSE 1\nEOF\nEXPOSE 2":                  "2/tcp",
		"FROM x\nEXPOSE 8000-8002":                                    "8000/tcp 8001/tcp 8002/tcp",
		"FROM x\nEXPOSE 0 65536 -1 http 1/sctp 5-2 99999999999999999": "",
		"":                   "",
		"EXPOSE 1-65535":     "1/tcp 2/tcp 3/tcp 4/tcp 5/tcp 6/tcp 7/tcp 8/tcp 9/tcp 10/tcp 11/tcp 12/tcp 13/tcp 14/tcp 15/tcp 16/tcp",
		"FROM x\nEXPOSE 1\\": "1/tcp",
	} {
		var got []string
		for _, port := range detect.Exposed(text) {
			got = append(got, fmt.Sprintf("%d/%s", port.Number, port.Protocol))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("Exposed(%q) = %v, want %s", text, got, want)
		}
	}
}

func FuzzExposed(f *testing.F) {
	for _, text := range []string{"FROM x\nEXPOSE 80/udp", "ENV A=$A\nEXPOSE ${A:-1}", "RUN <<EOF\nEXPOSE 1\nEOF", "EXPOSE 1-65535 \\"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, port := range detect.Exposed(text) {
			if port.Number < 1 || port.Number > 65535 || port.Protocol != "tcp" && port.Protocol != "udp" {
				t.Errorf("Exposed(%q) holds %+v", text, port)
			}
		}
	})
}
