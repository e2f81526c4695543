package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dispatchd/dispatchd/internal/config"
)

// The tests that set variables are not parallel: envconfig reads the process's
// environment.

// load clears the known variables, sets these, and loads.
func load(t *testing.T, env map[string]string) (config.Config, error) {
	t.Helper()
	for _, s := range config.Settings(config.Config{}) {
		t.Setenv(s.Name, env[s.Name])
	}
	for name := range env {
		if !slices.ContainsFunc(config.Settings(config.Config{}), func(s config.Setting) bool { return s.Name == name }) {
			t.Fatalf("%s is no setting", name)
		}
	}
	return config.Load()
}

func TestLoadDefaults(t *testing.T) {
	c, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(c.Worker.ID, "-") {
		t.Errorf("worker id %q has no random part", c.Worker.ID)
	}
	want := config.Config{
		NATS:     config.NATS{ConnectTimeout: 10 * time.Second, SubjectRoot: "dispatch", StreamReplicas: 1},
		Worker:   config.Worker{ID: c.Worker.ID, Slots: 4, TaskTimeout: 15 * time.Minute, DrainTimeout: 25 * time.Second, WorkDir: filepath.Join(os.TempDir(), "dispatchd")},
		HTTPAddr: "127.0.0.1:9190",
		Log:      config.Log{Level: "info", Format: "json"},
		Git:      config.Git{GitHubURL: "https://github.com", GitLabURL: "https://gitlab.com", BitbucketURL: "https://bitbucket.org", MaxBytes: 2 << 30},
		Upload:   config.Upload{MaxDownload: 512 << 20, MaxBytes: 2 << 30, MaxFiles: 50_000, Timeout: 5 * time.Minute},
		BuildKit: config.BuildKit{Host: "unix:///run/buildkit/buildkitd.sock", Nixpacks: "nixpacks", Railpack: "railpack"},
		Traces:   config.Traces{Protocol: "http/protobuf", Timeout: "10000", Sampler: "parentbased_always_on"},
	}
	if diff := cmp.Diff(want, c, cmpopts.IgnoreUnexported(config.Config{})); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if again, _ := config.Load(); again.Worker.ID == c.Worker.ID {
		t.Errorf("two workers have the id %q", c.Worker.ID)
	}
}

func TestLoadReadsTheEnvironment(t *testing.T) {
	c, err := load(t, map[string]string{
		"NATS_SERVERS": "nats://a:4222, b:4222,", "NATS_CLIENT_PRIVATE_KEY": " SUSEED\n", "NATS_STREAM_PREFIX": "prod.eu",
		"DISPATCHD_SLOTS": "8", "DISPATCHD_TASK_TIMEOUT": "90s", "DISPATCHD_GIT_MAX_BYTES": "512MiB", "NOMAD_TOKEN": "nomad-token",
		"REGISTRY_USERNAME": "me", "REGISTRY_PASSWORD": "pw", "NOMAD_META_TASK": "deploy-image", "NOMAD_META_PARAMS": "{}",
		"DISPATCHD_WORKER_ID": "w-1", "DISPATCHD_INSECURE_REGISTRIES": "10.0.0.1:5000, reg.example:80", "DISPATCHD_WORK_DIR": "/srv/work",
		"DISPATCHD_LOG_LEVEL": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{
		strings.Join(c.NATS.Servers, " "), c.NATS.PrivateKey.Reveal(), c.NATS.SubjectPrefix(), c.Worker.Slots, c.Worker.TaskTimeout, c.Git.MaxBytes,
		c.Nomad.Token.Reveal(), c.Registry.Username, c.Registry.Password.Reveal(), c.RunOnce.MetaTask, c.RunOnce.MetaParams.Reveal(),
		c.Worker.ID, c.Registry.Insecure, c.Worker.WorkDir, c.Log.Level,
	}
	want := []any{
		"nats://a:4222 nats://b:4222", "SUSEED", "prod.eu.", 8, 90 * time.Second, config.Bytes(512 << 20),
		"nomad-token", "me", "pw", "deploy-image", "{}", "w-1",
		[]string{"10.0.0.1:5000", "reg.example:80"},
		"/srv/work", "info",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestLoadReportsEveryProblem(t *testing.T) {
	_, err := load(t, map[string]string{
		"NATS_STREAM_PREFIX": "a.", "DISPATCHD_SUBJECT_ROOT": "x.*", "DISPATCHD_STREAM_REPLICAS": "2", "DISPATCHD_NATS_CONNECT_TIMEOUT": "10",
		"DISPATCHD_NATS_CERT": "/c.pem", "DISPATCHD_NATS_CREDS": "/n.creds", "NATS_CLIENT_PRIVATE_KEY": "SUSECRETSEED",
		"DISPATCHD_WORKER_ID": "a.b", "DISPATCHD_SLOTS": "many", "DISPATCHD_TASK_TIMEOUT": "0s", "DISPATCHD_DRAIN_TIMEOUT": "-1s", "DISPATCHD_WORK_DIR": "work",
		"DISPATCHD_HTTP_ADDR": "9190", "DISPATCHD_LOG_LEVEL": "loud", "DISPATCHD_LOG_FORMAT": "xml", "DISPATCHD_GITHUB_URL": "ssh://git@host",
		"DISPATCHD_GITHUB_SSH_URL": "git@host:x", "DISPATCHD_GITLAB_SSH_URL": "ssh://u:p@host", "DISPATCHD_BITBUCKET_SSH_URL": "https://host", "DISPATCHD_GIT_KNOWN_HOSTS": "hosts",
		"DISPATCHD_GITLAB_URL": "https://user:gitlab-secret@host", "DISPATCHD_BITBUCKET_URL": "bitbucket.org", "DISPATCHD_GIT_MAX_BYTES": "2GB",
		"DISPATCHD_UPLOAD_HOSTS": "ok.example:8443, http://plain.example,https://user:upload-secret@files.example/path", "DISPATCHD_UPLOAD_MAX_DOWNLOAD": "0",
		"DISPATCHD_UPLOAD_MAX_BYTES": "0", "DISPATCHD_UPLOAD_MAX_FILES": "-1", "DISPATCHD_UPLOAD_TIMEOUT": "0s",
		"DISPATCHD_PACK_REGISTRIES": "github.com/acme/packs#v1,git@github.com:acme/packs,https://user:pack-secret@git.example/acme/packs?token=query-secret",
		"DISPATCHD_REGISTRY":        "https://reg.example", "DISPATCHD_REGISTRY_HOST": "acme", "DISPATCHD_INSECURE_REGISTRIES": "ok.example:80,http://no",
		"DISPATCHD_SERVICE_PROVIDER": "zookeeper", "BUILDKIT_HOST": "buildkitd", "NOMAD_ADDR": "nomad:4646", "NOMAD_SKIP_VERIFY": "yes", "VAULT_ADDR": "vault", "BACKEND_URL": "api.example",
	})
	if err == nil {
		t.Fatal("no error")
	}
	got := err.Error()
	golden(t, filepath.Join("testdata", "problems.txt"), got+"\n")
	for _, secret := range []string{"gitlab-secret", "SUSECRETSEED", "upload-secret", "pack-secret", "query-secret"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is in the error", secret)
		}
	}
}

func TestAPasswordBeforeARegistryIsNotShown(t *testing.T) {
	for _, name := range []string{"DISPATCHD_REGISTRY", "DISPATCHD_REGISTRY_HOST", "DISPATCHD_INSECURE_REGISTRIES"} {
		_, err := load(t, map[string]string{name: "user:registry-secret@reg.example"})
		if err == nil || strings.Contains(err.Error(), "registry-secret") || !strings.Contains(err.Error(), "reg.example") {
			t.Errorf("%s: error %v, want one without the password", name, err)
		}
	}
}

func TestValidateIsSilentAboutAGoodConfig(t *testing.T) {
	c, err := load(t, map[string]string{
		"DISPATCHD_NATS_CERT": "/c.pem", "DISPATCHD_NATS_KEY": "/k.pem", "DISPATCHD_NATS_CREDS": "/n.creds", "DISPATCHD_HTTP_ADDR": ":0",
		"DISPATCHD_GITHUB_URL": "http://127.0.0.1:3000/git", "DISPATCHD_REGISTRY": "reg.example:5000/team/apps", "DISPATCHD_REGISTRY_HOST": "localhost",
		"DISPATCHD_INSECURE_REGISTRIES": "[::1]:5000", "NOMAD_ADDR": "unix:///run/nomad.sock", "BUILDKIT_HOST": "tcp://b:1234",
	})
	if err != nil {
		t.Errorf("Load: %v", err)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("Validate: %v", err)
	}
}

func TestSettingsMaskSecrets(t *testing.T) {
	secrets := map[string]string{
		"NATS_CLIENT_PRIVATE_KEY": "secret-seed", "NOMAD_TOKEN": "secret-nomad", "NOMAD_HTTP_AUTH": "user:secret-proxy", "REGISTRY_PASSWORD": "secret-registry",
		"REGISTRY_TOKEN": "secret-token", "VAULT_TOKEN": "secret-vault", "ACCESS_TOKEN": "secret-access", "NOMAD_META_PARAMS": `{"gitPass":"secret-git"}`,
		"NATS_SERVERS": "nats://user:secret-nats@a:4222,tls://secret-natstoken@b", "BACKEND_URL": "https://b.example/api?t=secret-query", "DISPATCHD_SLOTS": "7",
	}
	c, err := load(t, secrets)
	if err != nil {
		t.Fatal(err)
	}
	list := config.Settings(c)
	asJSON, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"settings": string(asJSON), "JSON": string(whole)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts[verb] = fmt.Sprintf(verb, c)
		texts[verb+" of a secret"] = fmt.Sprintf(verb, c.Nomad.Token)
	}
	for name, text := range texts {
		// The servers' URLs are plain text in the struct; only Settings masks them.
		text = strings.NewReplacer("secret-natstoken", "", "secret-nats", "", "secret-query", "").Replace(text)
		if strings.Contains(text, "secret-") || strings.Contains(text, fmt.Sprintf("%x", "secret-nomad")) {
			t.Errorf("%s shows a secret: %s", name, text)
		}
	}
	if strings.Contains(string(asJSON), "secret-n") || strings.Contains(string(asJSON), "secret-query") {
		t.Errorf("settings show a secret of a URL: %s", asJSON)
	}
	find := func(name string) config.Setting {
		return list[slices.IndexFunc(list, func(s config.Setting) bool { return s.Name == name })]
	}
	for name, want := range map[string]config.Setting{
		"NOMAD_TOKEN":            {Value: "***", Source: config.SourceEnvironment, Secret: true},
		"NATS_SERVERS":           {Value: "nats://a:4222,tls://b", Source: config.SourceEnvironment},
		"DISPATCHD_SLOTS":        {Value: "7", Default: "4", Source: config.SourceEnvironment},
		"DISPATCHD_TASK_TIMEOUT": {Value: "15m", Default: "15m", Source: config.SourceDefault},
		"DISPATCHD_NATS_CREDS":   {Source: config.SourceDefault},
	} {
		if diff := cmp.Diff(want, find(name), cmpopts.IgnoreFields(config.Setting{}, "Section", "Name", "Description")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSecretsListsWhatARedactorMustHide(t *testing.T) {
	c, err := load(t, map[string]string{
		"NOMAD_TOKEN": "nomad-token", "NOMAD_HTTP_AUTH": "user:proxy", "NATS_SERVERS": "nats://u:p%40ss@a,tok@b:1,nats://c",
		"BACKEND_URL": "https://b.example/?t=query", "NOMAD_META_PARAMS": "{}",
		"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20otlp-token",
	})
	if err != nil {
		t.Fatal(err)
	}
	got := c.Secrets()
	slices.Sort(got)
	want := []string{"Bearer otlp-token", "authorization=Bearer%20otlp-token", "nomad-token", "otlp-token", "p%40ss", "p@ss", "proxy", "query", "tok", "user:proxy"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Secrets (-want +got):\n%s", diff)
	}
}

func TestSettingsAreAllDescribed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range config.Settings(config.Config{}) {
		if s.Name == "" || s.Description == "" || strings.HasSuffix(s.Description, ".") || seen[s.Name] {
			t.Errorf("setting %+v has no name, no description, a full stop, or a twin", s)
		}
		seen[s.Name] = true
	}
	if len(seen) < 40 {
		t.Errorf("%d settings: some are not found", len(seen))
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]config.Bytes{"0": 0, "1023": 1023, "1KiB": 1024, "3 MiB": 3 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		var got config.Bytes
		if err := got.UnmarshalText([]byte(in)); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
		var again config.Bytes
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != want {
			t.Errorf("%q prints as %q, which is %d", in, got, again)
		}
	}
	for _, in := range []string{"", "x", "-1", "1GB", "9000000TiB", "9223372036854775808", "1.5GiB"} {
		var got config.Bytes
		if err := got.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q: got %d, want an error", in, got)
		}
	}
}
