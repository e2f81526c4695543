package pack_test

import (
	"context"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// least are the variables that the pack has no defaults for.
const least = "job_name = \"web\"\nalloc_id = \"dep-1\"\nimage = \"acme/web:1\"\n"

func contextWithCause(t *testing.T) (context.Context, context.CancelCauseFunc) {
	return context.WithCancelCause(t.Context())
}

func TestPlainTaskNeedsNeitherVaultNorConsul(t *testing.T) {
	t.Parallel()
	job := render(t, least+"service_id = \"s\"\nproject_id = \"p\"\nnetwork = [{ port = 80 }]\ntemplate = [{ name = \"A\", pattern = \"b\" }]\n")
	for _, word := range []string{"vault", "secret \"", "consul", "auth"} {
		if strings.Contains(job, word) {
			t.Errorf("the job of a plain task holds %q:\n%s", word, job)
		}
	}
}

func TestJobHoldsWhatItsVariablesSay(t *testing.T) {
	t.Parallel()
	vault := "project_id = \"p\"\nservice_id = \"s\"\n"
	cases := map[string]struct {
		vars     string
		want     []string
		wantNone []string
	}{
		"sh runs args":            {`args = ["a b"]`, []string{`entrypoint = ["/bin/sh", "-c"]`, `args       = ["a b"]`}, nil},
		"an entrypoint stays":     {"args = [\"a\"]\nentrypoint = [\"/x\"]", []string{`entrypoint = ["/x"]`}, []string{"/bin/sh"}},
		"a shell has no command":  {"args = [\"export A=b;/x\"]\ncommand = \"/x\"", []string{`args       = ["export A=b;/x"]`}, []string{"command"}},
		"an entrypoint has one":   {"args = [\"a\"]\ncommand = \"/x\"\nentrypoint = [\"/e\"]", []string{`command    = "/x"`, `args       = ["a"]`}, nil},
		"no entrypoint":           {`command = "/x"`, []string{`command = "/x"`}, []string{"entrypoint"}},
		"vault by policies":       {vault + "uses_kv_engine = true", []string{`policies    = ["p"]`, `secret "kv/data/p/s"`}, nil},
		"secret path":             {vault + `secret_path = "other"`, []string{`secret "kv/data/p/other"`}, nil},
		"secret path of its own":  {vault + `secret_path = "/team/data/x"`, []string{`secret "team/data/x"`}, nil},
		"one version of a secret": {vault + `secret_path = "p/data/x?version=1"`, []string{`secret "p/data/x?version=1"`}, nil},
		"shared secret":           {vault + `shared_secret_path = "all"`, []string{`secret "kv/data/p/all"`}, []string{`kv/data/p/s"`}},
		"linked secrets":          {vault + `vault_linked_secrets = [{ prefix = "A_", secret_path = "x" }]`, []string{"A_{{ $name }}=", `secret "kv/data/p/x"`}, nil},
		"registry":                {vault + "private_registry = \"r\"\nprivate_registry_provider = \"ecr\"", []string{`secret "kv/data/r/ecr"`, `username = "$${DISPATCHD_REGISTRY_USERNAME}"`}, nil},
		"restarts fit":            {"restart_attempts = 100", []string{"attempts = 100", `interval = "1000s"`}, nil},
		"regions":                 {`regions = "fr,de"`, []string{`"$${node.class}"`, `value     = "fr,de"`}, nil},
		"no regions with a gpu":   {"regions = \"fr\"\nresources = { gpu = 1 }", []string{`device "nvidia/gpu"`}, []string{"node.class"}},
		"deadlines fit":           {`update = { progress_deadline = "1m" }`, []string{`healthy_deadline  = "48s"`, `progress_deadline = "1m"`}, nil},
		"deadlines of the task":   {`update = { healthy_deadline = "8m", progress_deadline = "9m" }`, []string{`healthy_deadline  = "8m"`}, nil},
		"no promotion, no canary": {`update = { canary = 0, auto_promote = true }`, []string{"canary            = 0"}, []string{"auto_promote"}},
		"promotion by hand":       {`update = { auto_promote = false }`, []string{"auto_promote      = false"}, nil},
		"a volume forbids canary": {"use_csi_volume = true\nvolume_name = \"v\"\nvolume_mount_destination = [\"/d\"]\nupdate = { canary = 1 }", []string{"canary            = 0", "per_alloc       = true", `destination = "/d"`}, nil},
		"a volume that is not":    {"volume_name = \"v\"\nvolume_mount_destination = [\"/d\"]", nil, []string{"volume"}},
		"no update for batch":     {`job_config = { type = "batch" }`, []string{`type = "batch"`}, []string{"update {", "reschedule {"}},
		"no update for system":    {`job_config = { type = "system" }`, []string{`type = "system"`}, []string{"update {", "reschedule {"}},
		"no check":                {`network = [{ port = 80, has_health_check = "none", health_check = { type = "http" } }]`, []string{"service {"}, []string{"check {"}},
		"no check of a udp port":  {`network = [{ port = 53, type = "udp" }]`, []string{"service {"}, []string{"check {"}},
		"grpc becomes tcp":        {`network = [{ port = 80, health_check = { type = "grpc" } }]`, []string{`type     = "tcp"`}, nil},
		"private has one tag":     {`network = [{ port = 80, domain = "d", custom_domain = "c" }]`, []string{`["blue"]`, `["green"]`}, []string{"urlprefix", "custom-"}},
		"service of a job's name": {"network = [{ port = 80 }]", []string{`name        = "web-80"`}, nil},
		"file in its own place":   {`config_files = [{ path = "/local/a.txt", content = "YQ" }]`, []string{`destination = "local/a.txt"`}, []string{"mount {"}},
		"empty file":              {`config_files = [{ path = "a", content = "" }]`, []string{`"{{ \"\" }}"`}, nil},
		"tls that is not used":    {`tls = [{ cert_path = "a", key_path = "b", common_name = "c", pka_path = "d/e" }]`, nil, []string{"vault", "template"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := render(t, least+c.vars+"\n")
			for _, want := range c.want {
				if !strings.Contains(job, want) {
					t.Errorf("the job lacks %s:\n%s", want, job)
				}
			}
			for _, word := range c.wantNone {
				if strings.Contains(job, word) {
					t.Errorf("the job holds %s:\n%s", word, job)
				}
			}
			readByNomad(t, []byte(job))
		})
	}
}

func TestJobNamesThatServicesCannotHave(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 90)
	seen := map[string]string{}
	for _, name := range []string{"my_app", "my.app", "my app", long + "1", long + "2", "-x-", "_"} {
		vars := strings.Replace(least, `"web"`, `"`+name+`"`, 1) + "network = [{ port = 65535 }]\n"
		job := render(t, vars)
		_, rest, _ := strings.Cut(job, "name        = \"")
		service, _, _ := strings.Cut(rest, `"`)
		if len(service) > 63 || strings.Trim(service, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.HasPrefix(service, "-") {
			t.Errorf("service of %q is %q", name, service)
		}
		if other, twice := seen[service]; twice {
			t.Errorf("%q and %q have the same service %q", name, other, service)
		}
		seen[service] = name
	}
}

func TestRenderRefusesWhatNomadWouldChange(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		vars string
		want []string
	}{
		"user":              {`user = "$${attr.x}"`, []string{"the user", "${attr.x}"}},
		"domain":            {`network = [{ port = 80, public = true, domain = "$${NOMAD_ALLOC_ID}" }]`, []string{"the domain's tag", "${NOMAD_ALLOC_ID}"}},
		"service":           {"network = [{ port = 80 }]\nconsul_service_name = \"$${JOB}\"", []string{"the service's name", "${JOB}"}},
		"mount":             {"use_csi_volume = true\nvolume_name = \"v\"\nvolume_mount_destination = [\"/$${env}\"]", []string{"mount path", "${env}"}},
		"duration":          {`update = { healthy_deadline = "soon" }`, []string{"healthy_deadline", `"soon"`}},
		"check's duration":  {`network = [{ port = 80, health_check = { interval = "often" } }]`, []string{"interval", `"often"`}},
		"two same ports":    {`network = [{ port = 80 }, { port = 80 }]`, []string{"port 80 is named twice"}},
		"file with parents": {`config_files = [{ path = "a/../../b", content = "" }]`, []string{"the config file", `"a/../../b"`}},
		"file without name": {`config_files = [{ path = "/", content = "" }]`, []string{"the config file"}},
		"two same files":    {`config_files = [{ path = "a", content = "" }, { path = "/a", content = "" }]`, []string{"two files", "/a"}},
		"not base64":        {`config_files = [{ path = "a", content = "%" }]`, []string{`config file "a"`, "is not base64"}},
		"secret path":       {"project_id = \"p\"\nsecret_path = \"a\\\" }}{{ key\"", []string{"the secret", "is not a path in Vault"}},
		"secret above":      {"project_id = \"p\"\nsecret_path = \"../q/x\"", []string{"is not a path in Vault"}},
		"no project":        {"uses_kv_engine = true\nservice_id = \"s\"", []string{"the project has no id"}},
		"linked service":    {`consul_linked_services = [{ key = "A", value = "x\" }}" }]`, []string{"is not the name of a service"}},
		"linked variable":   {`consul_linked_services = [{ key = "A B", value = "x" }]`, []string{`"A B"`}},
		"pattern's service": {`template = [{ name = "A", pattern = "{{ .Port }}" }]`, []string{"the linked service"}},
		"carriage return":   {"command = \"a\\r$$${x}\"", []string{"cannot carry"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := cloudstation().Render(t.Context(), request(least+c.vars+"\n"))
			wantFailure(t, err, tasks.ReasonRenderFailed, append(c.want, "render pack cloudstation")...)
		})
	}
}
