package upload_test

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/upload"
)

// source is a small app with everything that a source may have.
func source(prefix string) []item {
	return []item{
		folder(prefix + "app/"), file(prefix+"Dockerfile", "FROM scratch\n"), program(prefix+"run.sh", "#!/bin/sh\n"),
		file(prefix+"app/main.go", "package main\n"), file(prefix+"deep/er/file", "no entry for its directories"),
		symlink(prefix+"app/link", "../Dockerfile"), symlink(prefix+"dangling", "app/nothing"), file(prefix+"empty", ""),
		file(prefix+"ünï/日本", "utf-8"), file(prefix+".git/config", "[core]"), file(prefix+"sub/.GIT", "gitdir: x"),
	}
}

func wantSource() map[string]string {
	return map[string]string{
		"Dockerfile": "FROM scratch\n", "run.sh": "x #!/bin/sh\n", "app/main.go": "package main\n", "deep/er/file": "no entry for its directories",
		"app/link": "-> ../Dockerfile", "dangling": "-> app/nothing", "empty": "", "ünï/日本": "utf-8",
	}
}

func TestEachFormatIsUnpackedByItsContent(t *testing.T) {
	t.Parallel()
	for name, archive := range map[string][]byte{
		"tar":                      tarOf(t, source("")...),
		"tar with ./":              tarOf(t, append([]item{folder("./")}, source("./")...)...),
		"tar.gz":                   gzipped(t, tarOf(t, source("")...)),
		"tar.gz in two members":    append(gzipped(t, tarOf(t, source("")...)[:700]), gzipped(t, tarOf(t, source("")...)[700:])...),
		"tar.gz with a zero tail":  append(gzipped(t, tarOf(t, source("")...)), make([]byte, 512)...),
		"zip":                      zipOf(t, source("")...),
		"tar.gz of git":            gzipped(t, tarOf(t, append([]item{{kind: tar.TypeXGlobalHeader}}, source("")...)...)),
		"zip with macOS's folders": zipOf(t, append(source(""), file("__MACOSX/._Dockerfile", "junk"))...),
		"in one directory":         gzipped(t, tarOf(t, source("project-1.0/")...)),
		"in one directory, zipped": zipOf(t, append(source("project/"), file("__MACOSX/project/._x", "junk"), file("__MACOSX/._project", "junk"))...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, log, err := unpack(t, holding(t, archive), upload.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantSource(), contents(t, dir)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			if !strings.Contains(log, "unpacked upload u-1: a ") || !strings.Contains(log, "with 8 files") || !strings.Contains(log, "left out") {
				t.Errorf("the log says %q", log)
			}
		})
	}
}

func TestTheOnlyDirectoryIsLeftOutUnlessTheTaskNamesIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		items []item
		paths []string
		want  string
	}{
		"left out":                        {[]item{file("app/Dockerfile", "x")}, []string{"", "Dockerfile"}, "Dockerfile"},
		"one level of two":                {[]item{file("a/b/Dockerfile", "x")}, nil, "b/Dockerfile"},
		"named as root directory":         {[]item{file("app/Dockerfile", "x")}, []string{"app", "Dockerfile"}, "app/Dockerfile"},
		"named with a slash":              {[]item{file("app/Dockerfile", "x")}, []string{"/app/", "Dockerfile"}, "app/Dockerfile"},
		"named as the Dockerfile's":       {[]item{file("app/Dockerfile", "x")}, []string{"", "./app/Dockerfile"}, "app/Dockerfile"},
		"a path inside of it":             {[]item{file("app/web/Dockerfile", "x")}, []string{"web", "Dockerfile"}, "web/Dockerfile"},
		"a file beside it":                {[]item{file("app/Dockerfile", "x"), file("README", "")}, nil, "app/Dockerfile"},
		"an empty directory beside it":    {[]item{file("app/Dockerfile", "x"), folder("docs")}, nil, "app/Dockerfile"},
		"a link beside it":                {[]item{file("app/Dockerfile", "x"), symlink("latest", "app")}, nil, "app/Dockerfile"},
		"what is left out does not count": {[]item{file("app/Dockerfile", "x"), file(".git/HEAD", "ref")}, nil, "Dockerfile"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _, err := unpack(t, holding(t, tarOf(t, c.items...)), upload.Options{}, c.paths...)
			if err != nil {
				t.Fatal(err)
			}
			if content, err := os.ReadFile(filepath.Join(dir, c.want)); err != nil || string(content) != "x" {
				t.Errorf("%s holds %q, %v; the tree is %v", c.want, content, err, contents(t, dir))
			}
		})
	}
}

func TestUploadsWithoutAnID(t *testing.T) {
	t.Parallel()
	h := holding(t, []byte("neither"))
	c := newClient(t, upload.Options{Hosts: []string{h.URL}})
	_, _, err := unpackFrom(t, c, tasks.Upload{URL: tasks.Secret(h.URL)})
	wantFailure(t, err, tasks.ReasonSourceInvalid, "upload: it is not an archive")
	_, _, err = unpackFrom(t, c, tasks.Upload{URL: tasks.Secret(h.URL), ID: "a\x1b[31m\nb"})
	wantFailure(t, err, tasks.ReasonSourceInvalid, "upload a?[31m?b: it is not an archive")
}

func TestADirectoryThatExistsIsNotTouched(t *testing.T) {
	t.Parallel()
	h := holding(t, tarOf(t, file("Dockerfile", "x")))
	c := newClient(t, upload.Options{Hosts: []string{h.URL}})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := c.Unpack(t.Context(), h.upload(), dir, &reporter{})
	wantFailure(t, err, tasks.ReasonInternal)
	if diff := cmp.Diff(map[string]string{"mine": ""}, contents(t, dir)); diff != "" {
		t.Error(diff)
	}
}
