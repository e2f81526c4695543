//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/hashicorp/nomad/api"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
)

// TestPlantedSecretsAreFoundNowhere plants one in each place that may hold one.
// Those that open something are real: without them nothing would be cloned,
// pushed, registered or published.
func TestPlantedSecretsAreFoundNowhere(t *testing.T) {
	t.Parallel()
	seed, public := newSeed(t)
	server := natstest.RunWith(t, embednats.Options{Users: []embednats.User{{NKey: public}, {Name: "backend", Password: "backend-of-the-test"}}})
	secrets := map[string]string{
		"git token": "ghp_planted0git0token", "registry password": shared.bed.Login.Password,
		"NATS seed": seed, "NOMAD_TOKEN": shared.bed.Nomad.Token(), "nomadToken": newNomadToken(t),
		"REGISTRY_PASSWORD": "planted-registry-password", "REGISTRY_TOKEN": "planted-registry-token",
		"VAULT_TOKEN": "hvs.planted-vault-token", "ACCESS_TOKEN": "planted-access-token",
		"accessToken": "planted-task-access-token", "secretId": "planted-secret-id", "registryToken": "planted-pack-token",
	}
	source := newProvider(t)
	source.private("acme/app", secrets["git token"], running(t, "1", "env; cat /proc/mounts; echo built with secrets around"))
	w := newWorld(t, worldOptions{
		server: server.ClientURL(), login: []nats.Option{nats.UserInfo("backend", "backend-of-the-test")},
		env: []string{
			github(source), "NATS_CLIENT_PRIVATE_KEY=" + seed, "DISPATCHD_LOG_LEVEL=debug",
			"REGISTRY_USERNAME=planted-user", "REGISTRY_PASSWORD=" + secrets["REGISTRY_PASSWORD"], "REGISTRY_TOKEN=" + secrets["REGISTRY_TOKEN"],
			"DISPATCHD_REGISTRY_HOST=registry.example", "VAULT_TOKEN=" + secrets["VAULT_TOKEN"], "ACCESS_TOKEN=" + secrets["ACCESS_TOKEN"],
		},
	})
	worker := w.start()
	k := secretTask(t, secrets)
	watch := watchFor(t, secrets, w.workDir)
	s := w.send(k)
	r := w.succeeded(s, patience)
	watch.stop()
	if watch.argvs < 10 || watch.files < 5 {
		t.Errorf("%d command lines and %d files were looked at: the test saw nothing", watch.argvs, watch.files)
	}

	places := map[string]string{
		"the worker's log": worker.err.String(), "what the git server was asked": strings.Join(source.asked(), "\n"),
		"the image": imageText(t, r.Image), "the job": jobText(t, k.job()),
		"the metrics": get(t, worker.address()+"/metrics"), "the status page": get(t, worker.address()+"/"),
	}
	leaked := w.send(leakyTask(t, source, k, secrets))
	w.failed(leaked, patience, "build_failed", "build")
	wantAll(t, "the log of a build that prints secrets", w.logText(leaked), "***")
	places["the worker's log after a build that prints secrets"] = worker.err.String()
	maps.Copy(places, streamTexts(t, w))
	for place, text := range places {
		if len(text) == 0 {
			t.Errorf("%s is empty: the test sees nothing there", place)
		}
		for _, found := range find(secrets, text) {
			t.Errorf("%s holds the %s", place, found)
		}
	}
}

// secretTask deploys with a secret in every param that takes one.
func secretTask(t *testing.T, secrets map[string]string) task {
	t.Helper()
	return repository(t, "secretive", "acme/app").with(params{
		"gitPass": secrets["git token"], "nomadToken": secrets["nomadToken"], "accessToken": secrets["accessToken"],
		"secretId": secrets["secretId"], "registry": params{"registryToken": secrets["registryToken"], "useEmbedded": true},
		"build": params{
			"builder": "csdocker", "privateRegistry": true, "registryUrl": "http://" + shared.bed.Registry.Addr(), "registryNamespace": "apps",
			"registryUsername": shared.bed.Login.Username, "registryPassword": secrets["registry password"],
		},
	})
}

// leakyTask is a build that prints the secrets and then fails: they reach the
// log and the failure's sentence, hidden.
func leakyTask(t *testing.T, source *provider, k task, secrets map[string]string) task {
	t.Helper()
	var words []string
	for _, secret := range secrets {
		words = append(words, secret, base64.StdEncoding.EncodeToString([]byte(secret)))
	}
	command := "echo " + strings.Join(words, " ") + " >&2; false"
	source.private("acme/leaky", secrets["git token"], running(t, "1", command))
	return k.again().with(params{"repository": "acme/leaky"})
}

func newSeed(t *testing.T) (seed, public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	text, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return string(text), public
}

func newNomadToken(t *testing.T) string {
	t.Helper()
	token, _, err := shared.nomad.ACLTokens().Create(&api.ACLToken{Name: "e2e", Type: "management"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token.SecretID
}

// find names the secrets that a text holds, raw or encoded.
func find(secrets map[string]string, text string) []string {
	var found []string
	for label, secret := range secrets {
		basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + secret))
		forms := []string{
			secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), basic,
			strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
		}
		if slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(text, form) }) {
			found = append(found, label)
		}
	}
	return found
}

// watchman looks at command lines and at the work directory while a task runs.
type watchman struct {
	t       *testing.T
	secrets map[string]string
	cancel  context.CancelFunc
	done    sync.WaitGroup
	argvs   int
	files   int
}

func watchFor(t *testing.T, secrets map[string]string, dir string) *watchman {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watchman{t: t, secrets: secrets, cancel: cancel}
	w.done.Go(func() { w.every(ctx, w.commands()) })
	w.done.Go(func() { w.every(ctx, w.directory(dir)) })
	t.Cleanup(w.stop)
	return w
}

func (w *watchman) stop() {
	w.cancel()
	w.done.Wait()
}

func (w *watchman) every(ctx context.Context, look func()) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		look()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// commands looks at each command line once.
func (w *watchman) commands() func() {
	seen := map[string]bool{}
	return func() {
		for _, command := range commandLines() {
			if seen[command] {
				continue
			}
			seen[command] = true
			w.argvs++
			for _, secret := range find(w.secrets, command) {
				w.t.Errorf("a process has the %s in its command line: %s", secret, command)
			}
		}
	}
}

// directory looks at each state of each file once.
func (w *watchman) directory(dir string) func() {
	seen := map[string]bool{}
	return func() {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				w.file(path, entry, seen)
			}
			return nil
		})
	}
}

// file looks at one file; what is gone by now is left out.
func (w *watchman) file(path string, entry fs.DirEntry, seen map[string]bool) {
	info, err := entry.Info()
	if err != nil {
		return
	}
	state := fmt.Sprint(path, info.Size(), info.ModTime())
	if seen[state] {
		return
	}
	seen[state] = true
	w.files++
	text, _ := os.ReadFile(path)
	for _, secret := range find(w.secrets, string(text)) {
		w.t.Errorf("%s holds the %s", path, secret)
	}
}

// commandLines are those of every process, arguments separated by spaces.
func commandLines() []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var lines []string
	for _, file := range files {
		text, _ := os.ReadFile(file)
		if len(text) > 0 {
			lines = append(lines, string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})))
		}
	}
	return lines
}

func itoa(n int) string { return strconv.Itoa(n) }

// imageText is an image's manifest, its configuration with the history, and
// its layers.
func imageText(t *testing.T, reference string) string {
	t.Helper()
	ref, err := name.NewDigest(reference)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(ref, registryLogin())
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.NewBuffer(append(manifest, config...))
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(text, content); err != nil {
			t.Fatal(err)
		}
		_ = content.Close()
	}
	return text.String()
}

// jobText is everything that Nomad says of a job.
func jobText(t *testing.T, id string) string {
	t.Helper()
	var b strings.Builder
	for _, path := range []string{"", "/versions", "/allocations", "/evaluations", "/deployments", "/submission"} {
		var answer any
		if _, err := shared.nomad.Raw().Query("/v1/job/"+id+path, &answer, nil); err != nil && path != "/submission" {
			t.Fatal(err)
		}
		if err := json.NewEncoder(&b).Encode(answer); err != nil {
			t.Fatal(err)
		}
	}
	for _, alloc := range allocations(t, id) {
		b.Write(mustJSON(t, alloc))
	}
	return b.String()
}

// streamTexts are all messages with their headers, but for the queue, which
// holds what was sent.
func streamTexts(t *testing.T, w *world) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, stream := range []string{w.events(), w.logs(), w.stream("DISPATCH_EVENTS")} {
		var b strings.Builder
		for _, m := range w.all(stream) {
			fmt.Fprintln(&b, m.subject, m.body, m.header)
		}
		texts["stream "+stream] = b.String()
	}
	return texts
}
