//go:build e2e

package buildkit_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/planner"
	"github.com/dispatchd/dispatchd/internal/tasks"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// sumOf is what sha256sum says of a text on its input.
func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:]) + "  -\n"
}

// plantedSecrets makes 200 secrets of the kinds that people have: tokens, keys
// of several lines, JSON, what must be escaped in an address, and other alphabets.
func plantedSecrets(t testing.TB) map[string]tasks.Secret {
	t.Helper()
	planted := map[string]tasks.Secret{}
	for i := range 200 {
		raw := make([]byte, 24)
		if _, err := rand.Read(raw); err != nil {
			t.Fatal(err)
		}
		text := hex.EncodeToString(raw)
		switch i % 6 {
		case 1:
			text = base64.StdEncoding.EncodeToString(raw)
		case 2:
			text = "-----BEGIN KEY-----\n" + text[:24] + "\n" + text[24:] + "\n-----END KEY " + text[:12] + "-----\n"
		case 3:
			text = `{"user":"u<` + text[:8] + `>","password":"p\"` + text + `"}`
		case 4:
			text = "p@ss/" + text + "?&=%+ #'\"$`\\!"
		case 5:
			text = "pä$$wörd🔑" + text
		}
		planted[fmt.Sprintf("S_%03d", i)] = tasks.Secret(text)
	}
	return planted
}

// encodings are the ways in which a secret may have been kept.
var encodings = map[string]func(string) string{
	"raw":        func(s string) string { return s },
	"base64":     func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 url": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"hex":        func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":        func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"query":      url.QueryEscape,
	"path":       url.PathEscape,
	"JSON": func(s string) string {
		text, _ := json.Marshal(s)
		return string(text[1 : len(text)-1])
	},
}

// found names the planted secrets that stand in a text, and how.
func found(in []byte, planted map[string]tasks.Secret) []string {
	var names []string
	for name, secret := range planted {
		for how, encode := range encodings {
			if bytes.Contains(in, []byte(encode(secret.Reveal()))) {
				names = append(names, name+" "+how)
			}
		}
		for line := range strings.Lines(secret.Reveal()) {
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, "-----BEGIN") && line != strings.TrimSpace(secret.Reveal()) && bytes.Contains(in, []byte(line)) {
				names = append(names, name+" line")
			}
		}
	}
	slices.Sort(names)
	return names
}

// partsOf is everything that a registry has of an image: manifest, config, and
// each layer as it is stored and as it is unpacked.
func partsOf(t testing.TB, image v1.Image) map[string][]byte {
	t.Helper()
	manifest, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]byte{"manifest": manifest, "config": config}
	layers, err := image.Layers()
	if err != nil || len(layers) == 0 {
		t.Fatalf("%d layers: %v", len(layers), err)
	}
	for i, layer := range layers {
		for kind, open := range map[string]func() (io.ReadCloser, error){"stored": layer.Compressed, "unpacked": layer.Uncompressed} {
			reader, err := open()
			if err != nil {
				t.Fatal(err)
			}
			if parts[fmt.Sprintf("layer %d %s", i, kind)], err = io.ReadAll(reader); err != nil {
				t.Fatal(err)
			}
			_ = reader.Close()
		}
	}
	return parts
}

// TestSecretsLeaveNoTrace gives 200 secrets to a build of each builder and
// looks for them in everything that the build leaves.
func TestSecretsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	planted := plantedSecrets(t)
	names := slices.Sorted(maps.Keys(planted))
	const sum = `for n in %s; do eval "v=\$$n"; printf %%s "$v" | sha256sum; done >/sums; for n in %s; do eval "v=\$$n"; echo "secret $v"; done`
	list := strings.Join(names, " ")
	line := fmt.Sprintf(sum, list, list)
	registry := newRegistry(t, nil)
	for builder, options := range map[string]planner.Options{
		tasks.BuilderDocker:   {},
		tasks.BuilderNixpacks: {Nixpacks: nixpacks(t, line)},
		tasks.BuilderRailpack: {Railpack: railpack(t, line), RailpackFrontend: frontendImage(t, registry)},
	} {
		t.Run(builder, func(t *testing.T) {
			t.Parallel()
			req := plannedRequest(t, registry, builder)
			req.Name += "-" + builder
			req.Dir = writeTree(t, withShell(t, map[string]string{"Dockerfile": secretDockerfile(names, line)}))
			req.Secrets, req.BuildArgs = planted, map[string]string{"NONCE": nonce(), "S_001": "an argument that must lose"}
			rep := newRecorder()
			image, err := planning(t, options).Build(t.Context(), req, rep)
			if err != nil {
				t.Fatalf("%v\n%.3000s", err, rep.Log())
			}
			pulled := pull(t, image)
			checkSums(t, filesOf(t, pulled)["sums"], names, planted)
			parts := partsOf(t, pulled)
			for part, text := range parts {
				if hits := found(text, planted); len(hits) > 0 {
					t.Errorf("%s of the image holds %v", part, hits)
				}
			}
			if hits := found([]byte(rep.Log()), planted); len(hits) > 0 || strings.Count(rep.Log(), "secret ***") < 150 {
				t.Errorf("the log holds %v, and %d masks", hits, strings.Count(rep.Log(), "secret ***"))
			}
			checkRegistryHasNoMore(t, registry, len(parts))
		})
	}
}

// secretDockerfile mounts every secret as a variable, and one as a file. Two of
// their names it wants as arguments, too, and would keep those.
func secretDockerfile(names []string, line string) string {
	var mounts strings.Builder
	for _, name := range names {
		fmt.Fprintf(&mounts, " --mount=type=secret,id=%s,env=%s", name, name)
	}
	return "FROM scratch\nCOPY --chmod=755 busybox /bin/sh\nCOPY --chmod=755 busybox /bin/sha256sum\nARG NONCE S_000 S_001\nENV S_000=$S_000 S_001=$S_001\n" +
		"RUN" + mounts.String() + " " + line + "\n" +
		"RUN --mount=type=secret,id=S_002 sha256sum </run/secrets/S_002 >/filesum\n"
}

// checkSums is the positive control: the steps really had every secret.
func checkSums(t testing.TB, sums string, names []string, planted map[string]tasks.Secret) {
	t.Helper()
	var want strings.Builder
	for _, name := range names {
		want.WriteString(sumOf(planted[name].Reveal()))
	}
	if sums != want.String() {
		t.Errorf("the steps had other secrets: %d bytes of sums, want %d", len(sums), want.Len())
	}
}

// checkRegistryHasNoMore looks at what was pushed beside the image: nothing.
func checkRegistryHasNoMore(t testing.TB, registry *testRegistry, parts int) {
	t.Helper()
	registry.mu.Lock()
	defer registry.mu.Unlock()
	for _, req := range registry.seen {
		if req.Method == "PUT" && strings.Contains(req.URL.Path, "/manifests/") && !strings.HasSuffix(req.URL.Path, "/v1") && !strings.Contains(req.URL.Path, "/railpack-frontend/") {
			t.Errorf("something else was pushed: %s (the image has %d parts)", req.URL.Path, parts)
		}
	}
}

// TestTheSearchFindsWhatIsThere is the other control: a secret that a step
// writes into the image is found, whatever it is written as.
func TestTheSearchFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	planted := plantedSecrets(t)
	for how, encode := range encodings {
		registry := newRegistry(t, nil)
		req := request(t, registry, map[string]string{"Dockerfile": "FROM scratch\nCOPY leak /leak\n", "leak": "x" + encode(planted["S_004"].Reveal()) + "y"})
		image, _ := mustBuild(t, req)
		hits := 0
		for _, text := range partsOf(t, pull(t, image, asTestUser())) {
			hits += len(found(text, planted))
		}
		if hits == 0 {
			t.Errorf("%s: a planted secret was not found", how)
		}
	}
}
