package buildkit_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func TestBuildArguments(t *testing.T) {
	t.Parallel()
	attrs, log := buildkit.FrontendAttrs(tasks.BuildRequest{
		Builder: tasks.BuilderDocker, Name: "127.0.0.1:5000/app", Tag: "v1", Dockerfile: "docker/Dockerfile",
		BuildArgs: map[string]string{
			"VERSION": "1=2\n3", "BUILDKIT_SYNTAX": "evil/x", "buildkit_inline_cache": "1",
			"BUILDKIT_CACHE_MOUNT_NS": "other-app", "HTTP_PROXY": "http://proxy",
			"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1", "TOKEN": "not the secret",
		},
		StaticBuildEnv: map[string]string{"VERSION": "0", "MODE": "production", "OTHER": "x"},
		Secrets:        map[string]tasks.Secret{"TOKEN": "s3cret-value", "OTHER": "s3cret-value", "my-file.key": "s3cret-value"},
	})
	wantLog := "build arguments left out, because BUILDKIT_… steers the builder: BUILDKIT_CACHE_MOUNT_NS, BUILDKIT_SYNTAX, buildkit_inline_cache\n" +
		"build arguments left out, because the build has secrets with their names: OTHER, TOKEN\n"
	if diff := cmp.Diff(wantLog, log); diff != "" {
		t.Error(diff)
	}
	namespace := attrs["build-arg:BUILDKIT_CACHE_MOUNT_NS"]
	if len(namespace) != 16 {
		t.Errorf("got cache namespace %q, want one made from the image's name", namespace)
	}
	delete(attrs, "build-arg:BUILDKIT_CACHE_MOUNT_NS")
	want := map[string]string{
		"filename": "docker/Dockerfile", "cmdline": "dockerfile.v0",
		"build-arg:VERSION": "1=2\n3", "build-arg:HTTP_PROXY": "http://proxy", "build-arg:MODE": "production",
	}
	if diff := cmp.Diff(want, attrs); diff != "" {
		t.Error(diff)
	}
}

// nixpacksDockerfile has what nixpacks writes, and what it might.
const nixpacksDockerfile = `FROM ghcr.io/railwayapp/nixpacks:ubuntu-1745885067

ENTRYPOINT ["/bin/bash", "-l", "-c"]
WORKDIR /app/


COPY .nixpacks/nixpkgs-abc.nix .nixpacks/nixpkgs-abc.nix
RUN nix-env -if .nixpacks/nixpkgs-abc.nix && nix-collect-garbage -d
COPY .nixpacks/assets /assets/
ARG CI NODE_ENV
ENV CI=$CI NODE_ENV=$NODE_ENV

# install phase
COPY . /app/.
RUN --mount=type=cache,id=app-/root/npm,target=/root/.npm npm ci
  run echo one \
  && echo RUN two
RUN <<END
RUN is no instruction in here
COPY .nixpacks/x y
END
# start
COPY --from=0 .nixpacks/keep /keep
COPY . /app
CMD ["npm run start"]
`

func TestPlannedDockerfilesGetSecretsInEveryRun(t *testing.T) {
	t.Parallel()
	got, err := buildkit.RewriteDockerfile([]byte(nixpacksDockerfile), []string{"A", "B_2"}, ".nixpacks")
	if err != nil {
		t.Fatal(err)
	}
	const mounts = " --mount=type=secret,id=A,env=A --mount=type=secret,id=B_2,env=B_2"
	want := strings.NewReplacer(
		"\nRUN nix", "\nRUN"+mounts+" nix", "\nRUN --mount=type=cache", "\nRUN"+mounts+" --mount=type=cache",
		"\n  run echo", "\n  run"+mounts+" echo", "\nRUN <<END", "\nRUN"+mounts+" <<END",
		"\nCOPY .nixpacks/nixpkgs", "\nCOPY --from=dispatchd-plan .nixpacks/nixpkgs",
		"\nCOPY .nixpacks/assets", "\nCOPY --from=dispatchd-plan .nixpacks/assets",
	).Replace(nixpacksDockerfile)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestUnclearHereDocumentsAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"FROM a\nRUN x <<E\ny\n":              "the here-document E of line 2 has no end",
		"RUN x \"<<E\nE":                      "the RUN of line 1 has << in a place that is not understood",
		"RUN echo $((1<<2))":                  "the RUN of line 1 has << in a place that is not understood",
		"RUN x ${A:-b <<E\n}\nE":              "the RUN of line 1 has << in a place that is not understood",
		"FROM a\n\nONBUILD RUN <<E\nRUN\nE\n": "the ONBUILD of line 3 has << in a place that is not understood",
	} {
		_, err := buildkit.RewriteDockerfile([]byte(text), []string{"A"}, "")
		if err == nil || err.Error() != want {
			t.Errorf("%q: got error %v, want %s", text, err, want)
		}
	}
}

func FuzzRewriteDockerfile(f *testing.F) {
	f.Add(nixpacksDockerfile)
	f.Add("RUN a \\\n # no\n\n b \\\\\nRUN \\\nc")
	f.Add("COPY <<-'E' <<\"F\" /x\nRUN 1\n\tE\nRUN 2\nF\nrun echo \"a <<G\" b\\ <<H\nRUN 3")
	f.Add("RUN\t[\"a\"]\nONBUILD RUN x")
	const mount = "--mount=type=secret,id=A,env=A"
	plain := strings.NewReplacer(" "+mount, "", " --from=dispatchd-plan", "")
	f.Add("RUN [\"a\", \"<<E\"]\nRUN a \"<<\" '<< E' 3<<E ${X}\nE\nRUN \v b")
	f.Fuzz(func(t *testing.T, text string) {
		// nixpacks writes no directive; one that changes the escape sign is not read.
		if _, err := parser.Parse(strings.NewReader(text)); err != nil || strings.Contains(text, "escape") {
			return
		}
		got, err := buildkit.RewriteDockerfile([]byte(text), []string{"A"}, ".nixpacks")
		if err != nil {
			return
		}
		// What was added is all that has changed, and every RUN has it.
		if plain.Replace(string(got)) != plain.Replace(strings.TrimPrefix(text, "\ufeff")) {
			t.Errorf("got %q of %q", got, text)
		}
		parsed, err := parser.Parse(bytes.NewReader(got))
		if err != nil {
			t.Fatalf("%v: %q of %q", err, got, text)
		}
		for _, node := range parsed.AST.Children {
			if strings.EqualFold(node.Value, "run") && !slices.Contains(node.Flags, mount) {
				t.Errorf("the instruction of line %d has no secret: %q of %q", node.StartLine, got, text)
			}
		}
	})
}
