package hcl_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	hclv2 "github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// minimal is an image task with what is required and nothing else.
func minimal() *subject {
	return &subject{
		plan: tasks.Plan{
			Deploy:  &tasks.Deploy{JobID: "web", DeploymentID: "dep-1", ServiceID: "svc-1", ImageName: "nginx", ImageTag: "1", Deployer: tasks.DeployerNomadPack},
			Builder: tasks.BuilderNoop, ImageName: "nginx", ImageTag: "1",
		},
		image: tasks.Image{Name: "nginx", Tag: "1"},
	}
}

// absent is what a table says of a variable that must not be in the file.
const absent = ""

func ptr[T any](v T) *T { return &v }

// rules are the rules of vars.hcl: an edit of the minimal task, and what the
// variable then is, as JSON with sorted keys.
var rules = []struct {
	name     string
	edit     func(s *subject, d *tasks.Deploy)
	variable string
	want     string
}{
	{"the job's name", func(_ *subject, d *tasks.Deploy) { d.JobID = "api" }, "job_name", `"api"`},
	{"one copy", nil, "count", `1`},
	{"copies", func(_ *subject, d *tasks.Deploy) { d.ReplicaCount = ptr(tasks.Int(4)) }, "count", `4`},
	{"zero copies are one", func(_ *subject, d *tasks.Deploy) { d.ReplicaCount = ptr(tasks.Int(0)) }, "count", `1`},
	{"no secret path", nil, "secret_path", absent},
	{"a secret path", func(_ *subject, d *tasks.Deploy) { d.SecretsPath = "kv/a" }, "secret_path", `"kv/a"`},
	{"usual attempts", nil, "restart_attempts", `3`},
	{"attempts", func(_ *subject, d *tasks.Deploy) { d.RestartAttempts = ptr(tasks.Int(5)) }, "restart_attempts", `5`},
	{"zero attempts are the usual ones", func(_ *subject, d *tasks.Deploy) { d.RestartAttempts = ptr(tasks.Int(0)) }, "restart_attempts", `3`},
	{"never has no attempts", func(_ *subject, d *tasks.Deploy) { d.RestartMode, d.RestartAttempts = "never", ptr(tasks.Int(5)) }, "restart_attempts", `0`},
	{"usual mode", nil, "restart_mode", `"fail"`},
	{"mode delay", func(_ *subject, d *tasks.Deploy) { d.RestartMode = "delay" }, "restart_mode", `"delay"`},
	{"mode never is fail", func(_ *subject, d *tasks.Deploy) { d.RestartMode = "never" }, "restart_mode", `"fail"`},
	{"usual resources", nil, "resources", `{"cpu":100,"gpu":0,"memory":300,"memory_max":600}`},
	{"resources", func(_ *subject, d *tasks.Deploy) {
		d.CPU, d.RAM, d.GPU = ptr(tasks.Int(500)), ptr(tasks.Int(1024)), 2
	}, "resources", `{"cpu":500,"gpu":2,"memory":1024,"memory_max":2048}`},
	{"memory_max is at least 512", func(_ *subject, d *tasks.Deploy) { d.RAM = ptr(tasks.Int(100)) }, "resources", `{"cpu":100,"gpu":0,"memory":100,"memory_max":512}`},
	{"memory_max of 256 is 512", func(_ *subject, d *tasks.Deploy) { d.RAM = ptr(tasks.Int(256)) }, "resources", `{"cpu":100,"gpu":0,"memory":256,"memory_max":512}`},
	{"memory_max of 257 is 514", func(_ *subject, d *tasks.Deploy) { d.RAM = ptr(tasks.Int(257)) }, "resources", `{"cpu":100,"gpu":0,"memory":257,"memory_max":514}`},
	{"memory_max of the largest integer", func(_ *subject, d *tasks.Deploy) { d.RAM = ptr(tasks.Int(math.MaxInt64)) }, "resources", `{"cpu":100,"gpu":0,"memory":9223372036854775807,"memory_max":9223372036854775807}`},
	{"no gpu type", nil, "gpu_type", absent},
	{"a gpu type", func(_ *subject, d *tasks.Deploy) { d.GPU, d.GPUModel = 1, "L4" }, "gpu_type", `"L4"`},
	{"a gpu type without a gpu", func(_ *subject, d *tasks.Deploy) { d.GPUModel = "L4" }, "gpu_type", absent},
	{"no node pool", nil, "node_pool", absent},
	{"a node pool", func(_ *subject, d *tasks.Deploy) { d.NodePool = "minions" }, "node_pool", `"minions"`},
	{"no owner", nil, "user_id", `""`},
	{"the owner, not the user", func(_ *subject, d *tasks.Deploy) {
		d.OwnerID, d.UserID = tasks.Text{Raw: []byte(`"own"`)}, tasks.Text{Raw: []byte(`"usr"`)}
	}, "user_id", `"own"`},
	{"a numeric owner", func(_ *subject, d *tasks.Deploy) { d.OwnerID = tasks.Text{Raw: []byte(`7`)} }, "user_id", `"7"`},
	{"a null owner", func(_ *subject, d *tasks.Deploy) { d.OwnerID = tasks.Text{Raw: []byte(`null`)} }, "user_id", `""`},
	{"the deployment", nil, "alloc_id", `"dep-1"`},
	{"no project", nil, "project_id", `""`},
	{"a project", func(_ *subject, d *tasks.Deploy) { d.ProjectID = "prj" }, "project_id", `"prj"`},
	{"the service", nil, "service_id", `"svc-1"`},
	{"no shared path", nil, "shared_secret_path", absent},
	{"a shared path", func(_ *subject, d *tasks.Deploy) { d.SharedSecretPath = "kv/s" }, "shared_secret_path", `"kv/s"`},
	{"no KV engine", nil, "uses_kv_engine", `false`},
	{"a KV engine", func(_ *subject, d *tasks.Deploy) { d.UsesKVEngine = ptr(tasks.Bool(true)) }, "uses_kv_engine", `true`},
	{"no KV engine of the owner", nil, "owner_uses_kv_engine", `false`},
	{"a KV engine of the owner", func(_ *subject, d *tasks.Deploy) { d.OwnerUsesKVEngine = ptr(tasks.Bool(true)) }, "owner_uses_kv_engine", `true`},
	{"no regions", nil, "regions", `""`},
	{"regions", func(_ *subject, d *tasks.Deploy) { d.Regions = "fr" }, "regions", `"fr"`},
	{"regions with a gpu", func(_ *subject, d *tasks.Deploy) { d.Regions, d.GPU = "fr", 1 }, "regions", `""`},
	{"no private registry", nil, "private_registry", absent},
	{"a private registry", func(_ *subject, d *tasks.Deploy) { d.PrivateRegistry = "prj" }, "private_registry", `"prj"`},
	{"no provider of it", func(_ *subject, d *tasks.Deploy) { d.PrivateRegistry = "prj" }, "private_registry_provider", absent},
	{"a provider of it", func(_ *subject, d *tasks.Deploy) { d.PrivateRegistryProvider = "acr" }, "private_registry_provider", `"acr"`},
	{"usual user", nil, "user", `"0"`},
	{"a user", func(_ *subject, d *tasks.Deploy) { d.DockerUser = "1000" }, "user", `"1000"`},
	{"no command", nil, "command", absent},
	{"a command", func(_ *subject, d *tasks.Deploy) { d.Command = "/bin/x" }, "command", `"/bin/x"`},
	{"an image by its tag", nil, "image", `"nginx:1"`},
	{"an image by its digest", func(s *subject, _ *tasks.Deploy) { s.image.Digest = digest }, "image", `"nginx@` + digest + `"`},
	{"no volume", nil, "use_csi_volume", absent},
	{"no volume's name", nil, "volume_name", absent},
	{"no volume's places", nil, "volume_mount_destination", absent},
	{"a volume", volumes("vol_x"), "use_csi_volume", `true`},
	{"a volume's name", volumes("vol_x"), "volume_name", `"vol_x"`},
	{"a volume's first part", volumes("vol_x[0]"), "volume_name", `"vol_x"`},
	{"a volume's parts", volumes("vol_x[0]", "vol_x[12]"), "volume_name", `"vol_x"`},
	{"a name that only looks like a part", volumes("vol_x[a]"), "volume_name", `"vol_x[a]"`},
	{"a volume's places once each", volumes("vol_x[0]", "vol_x[1]"), "volume_mount_destination", `["/data","/more"]`},
	{"a volume without a name", volumes(""), "use_csi_volume", absent},
	{"no files", nil, "config_files", `[]`},
	{"files", func(_ *subject, d *tasks.Deploy) {
		d.ConfigFiles = []tasks.ConfigFile{{Path: "a", Content: "eA=="}, {Path: "b", Content: ""}}
	}, "config_files", `[{"content":"eA==","path":"a"},{"content":"","path":"b"}]`},
	{"no Consul service", nil, "consul_service_name", absent},
	{"a Consul service", func(_ *subject, d *tasks.Deploy) { d.Consul.ServiceName = "web" }, "consul_service_name", `"web"`},
	{"no linked services", func(_ *subject, d *tasks.Deploy) { d.Consul.ServiceName = "web" }, "consul_linked_services", absent},
	{"linked services", func(_ *subject, d *tasks.Deploy) {
		d.Consul.LinkedServices = []tasks.LinkedService{{VariableName: "DB", ConsulServiceName: "pg"}}
	}, "consul_linked_services", `[{"key":"DB","value":"pg"}]`},
	{"no entrypoint", nil, "entrypoint", absent},
	{"an entrypoint", func(_ *subject, d *tasks.Deploy) { d.Entrypoint = []string{"/bin/sh", ""} }, "entrypoint", `["/bin/sh",""]`},
	{"no templates", nil, "template", `[]`},
	{"templates", func(_ *subject, d *tasks.Deploy) {
		d.TemplateStringVariables = []tasks.TemplateString{{Name: "N", Pattern: "P", ServiceName: "S", ServiceSecretPath: "V", LinkedVars: []string{"A"}}, {}}
	}, "template", `[{"linked_vars":["A"],"name":"N","pattern":"P","service_name":"S","service_secret_path":"V"},` +
		`{"linked_vars":[],"name":"","pattern":"","service_name":"","service_secret_path":""}]`},
	{"no cluster domain", nil, "cluster_domain", absent},
	{"a cluster domain", func(_ *subject, d *tasks.Deploy) { d.ClusterDomain = "x.test" }, "cluster_domain", `"x.test"`},
	{"no TLS", nil, "use_tls", absent},
	{"no certificate", nil, "tls", absent},
	{"TLS", func(_ *subject, d *tasks.Deploy) { d.TLS = &tasks.TLS{} }, "use_tls", `true`},
	{"a certificate", func(_ *subject, d *tasks.Deploy) {
		d.TLS = &tasks.TLS{CertPath: "c", KeyPath: "k", CommonName: "n", PKAPath: "p", TTL: "1h"}
	}, "tls", `[{"cert_path":"c","common_name":"n","key_path":"k","pka_path":"p","ttl":"1h"}]`},
	{"no linked secrets", func(_ *subject, d *tasks.Deploy) {
		d.VaultLinkedSecrets = []tasks.LinkedSecret{{Secret: "A", Template: "b"}}
	}, "vault_linked_secrets", `[]`},
	{"linked secrets", func(_ *subject, d *tasks.Deploy) {
		d.VaultLinkedSecretPaths = []tasks.LinkedSecretPath{{Prefix: "P_", SecretPath: "kv/p"}}
	}, "vault_linked_secrets", `[{"prefix":"P_","secret_path":"kv/p"}]`},
	{"no update", nil, "update", absent},
	{"an update that says nothing", func(_ *subject, d *tasks.Deploy) { d.Update = &tasks.Update{} }, "update", absent},
	{"some of an update", func(_ *subject, d *tasks.Deploy) {
		d.Update = &tasks.Update{HealthyDeadline: "5m", AutoRevert: ptr(tasks.Bool(false)), Canary: ptr(tasks.Int(0))}
	}, "update", `{"auto_revert":false,"canary":0,"healthy_deadline":"5m"}`},
	{"an update", func(_ *subject, d *tasks.Deploy) {
		d.Update = &tasks.Update{
			MinHealthyTime: "1s", HealthyDeadline: "2s", ProgressDeadline: "3s", AutoRevert: ptr(tasks.Bool(true)),
			AutoPromote: ptr(tasks.Bool(true)), MaxParallel: ptr(tasks.Int(2)), Canary: ptr(tasks.Int(1)),
		}
	}, "update", `{"auto_promote":true,"auto_revert":true,"canary":1,"healthy_deadline":"2s","max_parallel":2,"min_healthy_time":"1s","progress_deadline":"3s"}`},
	{"no job config", nil, "job_config", absent},
	{"a batch job never overlaps", job("batch", false), "job_config", `{"cron":"","meta_required":["A"],"payload":"p","prohibit_overlap":true,"type":"batch"}`},
	{"a sysbatch job never overlaps", job("sysbatch", false), "job_config", `{"cron":"","meta_required":["A"],"payload":"p","prohibit_overlap":true,"type":"sysbatch"}`},
	{"a service may overlap", job("service", false), "job_config", `{"cron":"","meta_required":["A"],"payload":"p","prohibit_overlap":false,"type":"service"}`},
	{"a system job may overlap", job("system", false), "job_config", `{"cron":"","meta_required":["A"],"payload":"p","prohibit_overlap":false,"type":"system"}`},
	{"a job without a type is a service", job("", false), "job_config", `{"cron":"","meta_required":["A"],"payload":"p","prohibit_overlap":false,"type":"service"}`},
	{"no args", nil, "args", absent},
	{"a start command", start(tasks.BuilderNoop), "args", `["go"]`},
	{"a start command of csdocker", start(tasks.BuilderDocker), "args", `["go"]`},
	{"a start command of nixpacks", start(tasks.BuilderNixpacks), "args", absent},
	{"a start command of railpack", start(tasks.BuilderRailpack), "args", absent},
	{"exports and a start command", start(tasks.BuilderDocker, "A", "B"), "args", `["export A=$a;export B=$b;go"]`},
	{"exports and a command", withCommand(start(tasks.BuilderNixpacks, "A")), "args", `["export A=$a;/bin/serve"]`},
	{"a command beside a start command", withCommand(start(tasks.BuilderDocker)), "args", `["/bin/serve"]`},
	{"a command beside an entrypoint", withCommand(start(tasks.BuilderDocker, "A"), "/bin/bash", "-c"), "args", `["export A=$a;go"]`},
	{"a command alone", withCommand(func(*subject, *tasks.Deploy) {}), "args", absent},
	{"exports of nixpacks", start(tasks.BuilderNixpacks, "A", "B"), "args", `["export A=$a;export B=$b;"]`},
}

func volumes(ids ...string) func(*subject, *tasks.Deploy) {
	return func(_ *subject, d *tasks.Deploy) {
		for _, id := range ids {
			d.CSIVolume = append(d.CSIVolume, tasks.CSIVolume{ID: id, MountPaths: []string{"/data", "/more"}})
		}
	}
}

func job(kind string, overlap bool) func(*subject, *tasks.Deploy) {
	return func(_ *subject, d *tasks.Deploy) {
		d.JobConfig = &tasks.JobConfig{Type: kind, Payload: "p", ProhibitOverlap: ptr(tasks.Bool(overlap)), MetaRequired: []string{"A"}}
	}
}

func start(builder string, exports ...string) func(*subject, *tasks.Deploy) {
	return func(s *subject, d *tasks.Deploy) {
		s.plan.Builder, d.Build.StartCommand = builder, "go"
		for _, name := range exports {
			d.VaultLinkedSecrets = append(d.VaultLinkedSecrets, tasks.LinkedSecret{Secret: name, Template: "$" + strings.ToLower(name)})
		}
	}
}

func withCommand(change func(*subject, *tasks.Deploy), entrypoint ...string) func(*subject, *tasks.Deploy) {
	return func(s *subject, d *tasks.Deploy) {
		change(s, d)
		d.Command, d.Entrypoint = "/bin/serve", entrypoint
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	for _, c := range rules {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := minimal()
			if c.edit != nil {
				c.edit(s, s.plan.Deploy)
			}
			if got := read(t, variables(t, s.plan, s.image))[c.variable]; got != c.want {
				t.Errorf("%s = %s, want %s", c.variable, got, c.want)
			}
		})
	}
}

// read returns the variables of a file as JSON, in the way of nomad-pack: the
// file's text is the inside of one object.
func read(t *testing.T, text []byte) map[string]string {
	t.Helper()
	expr, diags := hclsyntax.ParseExpression([]byte("{\n"+string(text)+"\n}"), "vars.hcl", hclv2.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("read as one object: %v\n%s", diags, text)
	}
	pairs, diags := hclv2.ExprMap(expr)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	found := map[string]string{}
	for _, pair := range pairs {
		value, diags := pair.Value.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		text, err := ctyjson.Marshal(value, value.Type())
		if err != nil {
			t.Fatal(err)
		}
		found[hclv2.ExprAsKeyword(pair.Key)] = string(text)
	}
	return found
}

func TestVariablesAreInOrder(t *testing.T) {
	t.Parallel()
	s := everything(t)
	s.plan.Deploy.GPU = 1
	text := string(variables(t, s.plan, s.image))
	want := strings.Fields(`job_name count secret_path restart_attempts restart_mode resources gpu_type node_pool user_id alloc_id
		project_id service_id shared_secret_path uses_kv_engine owner_uses_kv_engine regions private_registry private_registry_provider
		user command image use_csi_volume volume_name volume_mount_destination config_files consul_service_name consul_linked_services
		entrypoint template cluster_domain network use_tls tls vault_linked_secrets update job_config args`)
	var got []string
	for line := range strings.Lines(text) {
		if name, _, found := strings.Cut(line, "="); found && !strings.HasPrefix(line, " ") {
			got = append(got, strings.TrimSpace(name))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// A text of 100,000 signs, each a token of its own, keeps the parser busy for
// minutes; as escapes they are all one token.
func TestVariablesOfManySigns(t *testing.T) {
	t.Parallel()
	s := minimal()
	s.plan.Deploy.Command = strings.Repeat("\"${x}\u202e%{\n$", 1000)
	text := variables(t, s.plan, s.image)
	if strings.ContainsAny(string(text), "$%") {
		t.Error("the file holds bare signs, want escapes")
	}
	if got := leaves(t, text)["/command"]; got != "text:"+s.plan.Deploy.Command {
		t.Errorf("command = %.100q…, want the text that was given", got)
	}
}

func TestVariablesRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		edit func(s *subject, d *tasks.Deploy)
		want string
	}{
		{"not NFC", func(_ *subject, d *tasks.Deploy) { d.Command = "cafe\u0301" }, "write vars.hcl: command is not in Unicode's normal form NFC"},
		{"not UTF-8", func(_ *subject, d *tasks.Deploy) { d.ProjectID = "a\xff" }, "write vars.hcl: project_id is not valid UTF-8"},
		{"deep inside", func(_ *subject, d *tasks.Deploy) {
			d.Networks = []tasks.Network{{PortNumber: 1}, {PortNumber: 2, HealthCheck: tasks.HealthCheck{Path: "/\xff"}}}
		}, "network[1].health_check.path is not valid UTF-8"},
		{"two texts that combine", func(_ *subject, d *tasks.Deploy) {
			d.VaultLinkedSecrets = []tasks.LinkedSecret{{Secret: "A", Template: "\u0338"}}
		}, "args[0] is not in Unicode's normal form NFC"},
		{"two volumes", volumes("vol_a[0]", "vol_b[0]"), "csiVolume[1] is another volume"},
		{"no image", func(s *subject, _ *tasks.Deploy) { s.image = tasks.Image{} }, "the image has no name or tag"},
		{"no tag", func(s *subject, _ *tasks.Deploy) { s.image.Tag = "" }, "the image has no name or tag"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := minimal()
			c.edit(s, s.plan.Deploy)
			text, err := hcl.Generator{}.Variables(s.plan, s.image)
			if got := failureMessage(t, err); !strings.Contains(got, c.want) {
				t.Errorf("message = %q, want it to contain %q", got, c.want)
			}
			if text != nil {
				t.Errorf("text = %q beside a failure, want none", text)
			}
		})
	}
}
