package detect

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// defaultName is an app's where its directory's name gives none.
const defaultName = "app"

// mostText is how much of a Dockerfile is read.
const mostText = 1 << 20

// Found is what a directory seems to hold.
type Found struct {
	// Name fits an image, a job and a service.
	Name string
	// Language is what the app seems to be written in, and File what says so;
	// both empty where nothing does.
	Language string
	File     string
	// Dockerfile is its path beneath the directory; empty where there is none.
	Dockerfile string
	// Builder is tasks.BuilderDocker where there is a Dockerfile, else tasks.BuilderNixpacks.
	Builder string
	// Ports are those that the Dockerfile exposes, ascending.
	Ports []tasks.Port
}

// languages are the files that tell a language, the more telling first.
var languages = []struct{ pattern, language string }{
	{"go.mod", "Go"},
	{"Cargo.toml", "Rust"},
	{"mix.exs", "Elixir"},
	{"pom.xml", "Java"},
	{"build.gradle", "Java"},
	{"build.gradle.kts", "Java"},
	{"*.csproj", "C#"},
	{"composer.json", "PHP"},
	{"Gemfile", "Ruby"},
	{"requirements.txt", "Python"},
	{"pyproject.toml", "Python"},
	{"Pipfile", "Python"},
	{"deno.json", "Deno"},
	{"package.json", "Node.js"},
	{"index.html", "HTML"},
}

// Directory looks at dir. The Dockerfile is looked for at the given path
// beneath it; an empty one is Dockerfile.
func Directory(dir, dockerfile string) (Found, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return Found{}, fmt.Errorf("look at %s: %w", dir, err)
	}
	root, err := os.OpenRoot(full)
	if err != nil {
		return Found{}, fmt.Errorf("look at %s: %w", dir, err)
	}
	defer func() { _ = root.Close() }()
	found := Found{Name: tasks.ImageNameFor(filepath.Base(full)), Builder: tasks.BuilderNixpacks}
	if found.Name == "" {
		found.Name = defaultName
	}
	if found.Language, found.File, err = language(root); err != nil {
		return Found{}, fmt.Errorf("look at %s: %w", dir, err)
	}
	if dockerfile == "" {
		dockerfile = "Dockerfile"
	}
	if text, ok := readFile(root, dockerfile); ok {
		found.Dockerfile, found.Builder = filepath.ToSlash(dockerfile), tasks.BuilderDocker
		found.Ports = Exposed(text)
	}
	return found, nil
}

// language finds the first of the telling files.
func language(root *os.Root) (name, file string, err error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return "", "", err
	}
	for _, l := range languages {
		for _, entry := range entries {
			if matches, _ := path.Match(l.pattern, entry.Name()); matches && !entry.IsDir() {
				return l.language, entry.Name(), nil
			}
		}
	}
	return "", "", nil
}

// readFile reads a regular file beneath the root.
func readFile(root *os.Root, name string) (string, bool) {
	info, err := root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	file, err := root.Open(name)
	if err != nil {
		return "", false
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, mostText))
	return string(text), err == nil
}
