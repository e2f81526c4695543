package tasks_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

const (
	imageParams      = `{"jobId":"shop","deploymentId":"dep-1","serviceId":"svc-1","imageName":"nginx"}`
	repositoryParams = `{"jobId":"shop","deploymentId":"dep-1","serviceId":"svc-1","repository":"acme/shop","branch":"main"}`
	destroyParams    = `{"jobs":[{"jobId":"shop","serviceId":"svc-1"}],"reason":"delete"}`
)

// bodyOf makes the body of a task from its params as JSON.
func bodyOf(kind, params string) []byte {
	return []byte(`{"task":"` + kind + `","id":"t-1","params":` + params + `}`)
}

// withField returns the params with one more field; of a field that is given
// twice the last counts, so it may replace one.
func withField(params, field string) string {
	return strings.TrimSuffix(params, "}") + "," + field + "}"
}

func mustDecode(t *testing.T, body []byte) tasks.Task {
	t.Helper()
	task, err := tasks.Decode(tasks.Message{Body: body})
	if err != nil {
		t.Fatalf("Decode(%s): %v", body, err)
	}
	return task
}

func mustDeploy(t *testing.T, kind, params string) *tasks.Deploy {
	t.Helper()
	return mustDecode(t, bodyOf(kind, params)).Deploy
}

// refusal decodes a body that must be refused and returns what was wrong.
func refusal(t *testing.T, msg tasks.Message) (tasks.Task, *tasks.Failure) {
	t.Helper()
	task, err := tasks.Decode(msg)
	var failure *tasks.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("Decode(%.200s) = %v, want a *Failure", msg.Body, err)
	}
	return task, failure
}

func TestDecodeReadsEveryForm(t *testing.T) {
	t.Parallel()
	quoted := func(text string) string {
		out, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	params := withField(imageParams, `"command":"a>?~ÿ"`) // base64 of it needs + and /
	forms := map[string]string{
		"an object":                         params,
		"a string of JSON":                  quoted(params),
		"a string of JSON among spaces":     quoted(" \n" + params + "\n"),
		"base64":                            quoted(base64.StdEncoding.EncodeToString([]byte(params))),
		"base64 without padding":            quoted(base64.RawStdEncoding.EncodeToString([]byte(params))),
		"base64 of the URL alphabet":        quoted(base64.URLEncoding.EncodeToString([]byte(params))),
		"URL alphabet without padding":      quoted(base64.RawURLEncoding.EncodeToString([]byte(params))),
		"base64 in lines, as the tool ends": quoted(base64.StdEncoding.EncodeToString([]byte(params)) + "\n"),
	}
	want := mustDecode(t, bodyOf("deploy-image", params))
	if want.Deploy.Command != "a>?~ÿ" {
		t.Fatalf("command = %q", want.Deploy.Command)
	}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(want, mustDecode(t, bodyOf("deploy-image", form))); diff != "" {
				t.Errorf("differs from the object (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeFillsDefaults(t *testing.T) {
	t.Parallel()
	d := mustDeploy(t, "deploy-repository", repositoryParams)
	one := tasks.Int(1)
	want := &tasks.Deploy{
		JobID: "shop", DeploymentID: "dep-1", ServiceID: "svc-1", Repository: "acme/shop", Branch: "main",
		ImageName: "shop", ImageTag: "latest", ReplicaCount: &one, Deployer: tasks.DeployerNomadPack,
		RestartMode: "fail", Provider: "github", Build: tasks.Build{DockerfilePath: "Dockerfile"},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("defaults of a repository task (-want +got):\n%s", diff)
	}
	image := mustDeploy(t, "deploy-image", withField(imageParams, `"provider":"nobody","repository":7,"build":{"builder":"unheard-of","startCommand":"run"}`))
	if image.Provider != "" || image.Build.Builder != tasks.BuilderNoop || image.Build.StartCommand != "run" {
		t.Errorf("an image task reads fields of repository tasks: provider %q, build %+v", image.Provider, image.Build)
	}
}

func TestDecodeReadsFlexibleTypes(t *testing.T) {
	t.Parallel()
	d := mustDeploy(t, "deploy-image", withField(imageParams, `
		"deploymentJobId":"456","cpu":"","ram":null,"gpu":2,"replicaCount":"3","restartAttempts":0,
		"userId":7,"ownerId":"7","teamId":null,
		"usesKvEngine":"false","ownerUsesKvEngine":null,
		"networks":[{"portNumber":"8080","public":"true"},{"portNumber":53,"public":""}]`))
	if d.DeploymentJobID != 456 || *d.CPU != 0 || *d.RAM != 0 || d.GPU != 2 || *d.ReplicaCount != 3 || *d.RestartAttempts != 0 {
		t.Errorf("integers: %+v", d)
	}
	raws := []string{string(d.UserID.Raw), string(d.OwnerID.Raw), string(d.TeamID.Raw)}
	if diff := cmp.Diff([]string{`7`, `"7"`, `null`}, raws); diff != "" {
		t.Errorf("texts as they came (-want +got):\n%s", diff)
	}
	texts := []string{d.UserID.String(), d.OwnerID.String(), d.TeamID.String(), tasks.Text{}.String()}
	if diff := cmp.Diff([]string{"7", "7", "", ""}, texts); diff != "" {
		t.Errorf("texts without quotes (-want +got):\n%s", diff)
	}
	if d.UsesKVEngine == nil || *d.UsesKVEngine || d.OwnerUsesKVEngine != nil {
		t.Errorf("usesKvEngine %v, want false; ownerUsesKvEngine %v, want absent", d.UsesKVEngine, d.OwnerUsesKVEngine)
	}
	if n := d.Networks; n[0].PortNumber != 8080 || !n[0].Public || n[1].PortNumber != 53 || n[1].Public {
		t.Errorf("networks: %+v", n)
	}
	absent := mustDeploy(t, "deploy-image", imageParams)
	if absent.UserID.Raw != nil || absent.CPU != nil || absent.UsesKVEngine != nil {
		t.Errorf("absent fields hold %v %v %v", absent.UserID.Raw, absent.CPU, absent.UsesKVEngine)
	}
}

func TestDecodeKeepsTextsFromChangingWithTheBody(t *testing.T) {
	t.Parallel()
	body := bodyOf("deploy-image", withField(imageParams, `"ownerId":"mine"`))
	task := mustDecode(t, body)
	for i := range body {
		body[i] = 'x'
	}
	if got := task.Deploy.OwnerID.String(); got != "mine" {
		t.Errorf("ownerId = %q after the body was overwritten, want a copy", got)
	}
}

func TestDecodeAcceptsAliasesAndSpellings(t *testing.T) {
	t.Parallel()
	d := mustDeploy(t, "redeploy-repository", withField(repositoryParams,
		`"deploy":"nomadpack","provider":"gitlab","repository":"acme/group/sub/shop","restartMode":"never","nomadPackConfig":{"a":[1]},
		 "build":{"builder":"docker","rootDirectory":"/app","dockerfilePath":"docker/Dockerfile"}`))
	if d.Deployer != tasks.DeployerNomadPack || d.Build.Builder != tasks.BuilderDocker || d.Build.RootDirectory != "app" {
		t.Errorf("deploy %q, builder %q, root %q", d.Deployer, d.Build.Builder, d.Build.RootDirectory)
	}
	for _, upload := range []string{
		`{"jobId":"shop","deploymentId":"d","serviceId":"s","sourceType":"local_upload","sourceUrl":"https://x/y"}`,
		`{"jobId":"shop","deploymentId":"d","serviceId":"s","sourceUrl":"https://x/y"}`,
	} {
		if got := mustDeploy(t, "deploy-repository", upload).SourceType; got != "local_upload" {
			t.Errorf("sourceType = %q of %s", got, upload)
		}
	}
}

func TestDecodePassesHostileTextUnchanged(t *testing.T) {
	t.Parallel()
	const hostile = "a\"b'c\n${x} %{if} [[ .y ]] {{ key \"z\" }} <&> \\ \u2028 ÿ"
	text, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	params := withField(imageParams, strings.ReplaceAll(
		`"command":H,"entrypoint":[H,""],"docker_user":H,"cloudRegion":H,"nomadToken":H,
		 "configFiles":[{"path":H,"content":"aGk="}],"csiVolume":[{"id":H,"mountPaths":[H]}],
		 "jobConfig":{"payload":H},"build":{"buildArgs":{H:H}},"consul":{"tags":[H]}`, "H", string(text)))
	d := mustDeploy(t, "deploy-image", params)
	got := []string{
		d.Command, d.Entrypoint[0], d.DockerUser, d.CloudRegion, d.NomadToken.Reveal(), d.ConfigFiles[0].Path,
		d.CSIVolume[0].ID, d.CSIVolume[0].MountPaths[0], d.JobConfig.Payload, d.Build.BuildArgs[hostile], d.Consul.Tags[0],
	}
	for i, value := range got {
		if value != hostile {
			t.Errorf("field %d = %q, want %q", i, value, hostile)
		}
	}
}

func TestDecodeTakesTheLastOfTwo(t *testing.T) {
	t.Parallel()
	d := mustDeploy(t, "deploy-image", withField(imageParams, `"imageName":"httpd","consul":{"serviceName":"a","tags":["x"]},"consul":{"tags":["y"]}`))
	if d.ImageName != "httpd" || d.Consul.ServiceName != "" || d.Consul.Tags[0] != "y" {
		t.Errorf("image %q, consul %+v: want the last, not merged with the first", d.ImageName, d.Consul)
	}
	if d := mustDeploy(t, "deploy-image", withField(imageParams, `"JOBID":"other","command":null`)); d.JobID != "shop" || d.Command != "" {
		t.Errorf("jobId %q, command %q: names are exact and null is absent", d.JobID, d.Command)
	}
}

func TestDecodeReadsDestroys(t *testing.T) {
	t.Parallel()
	several := `{"jobs":[{"jobId":"a","serviceId":"s","nomadAddress":"http://n:4646","nomadToken":"tok"},{"jobId":"b"}],"reason":"pause_service"}`
	task := mustDecode(t, bodyOf("destroy-job-pack", several))
	want := &tasks.Destroy{Reason: "pause_service", Jobs: []tasks.DestroyJob{
		{JobID: "a", ServiceID: "s", NomadAddress: "http://n:4646", NomadToken: "tok"}, {JobID: "b"},
	}}
	if diff := cmp.Diff(want, task.Destroy); diff != "" {
		t.Errorf("destroy of two jobs (-want +got):\n%s", diff)
	}
	_, failure := refusal(t, tasks.Message{Body: bodyOf("destroy-job-pack", several), Subject: tasks.SubjectParts{ID: "t-1"}})
	if want := "params.jobs: a queued destroy names exactly one job, got 2"; !strings.Contains(failure.Message, want) {
		t.Errorf("queued: %q, want %q", failure.Message, want)
	}
}

func TestDecodeComparesSubjectAndBody(t *testing.T) {
	t.Parallel()
	hashed := tasks.TargetToken("a.b")
	right := tasks.SubjectParts{Kind: "deploy-image", Target: "shop", ID: "t-1"}
	rows := map[string]struct {
		body    []byte
		subject tasks.SubjectParts
		reason  tasks.Reason // empty: accepted
		id      string
	}{
		"they agree":                         {bodyOf("deploy-image", imageParams), right, "", "t-1"},
		"the body has no id":                 {[]byte(`{"task":"deploy-image","params":` + imageParams + `}`), right, "", "t-1"},
		"the body's id is null":              {[]byte(`{"task":"deploy-image","id":null,"params":` + imageParams + `}`), right, "", "t-1"},
		"a job that is no token":             {bodyOf("deploy-image", withField(imageParams, `"jobId":"a.b"`)), tasks.SubjectParts{Kind: "deploy-image", Target: hashed, ID: "t-1"}, "", "t-1"},
		"another kind":                       {bodyOf("deploy-image", imageParams), tasks.SubjectParts{Kind: "deploy-repository", Target: "shop", ID: "t-1"}, tasks.ReasonSubjectMismatch, "t-1"},
		"a kind that nobody knows":           {bodyOf("deploy-image", imageParams), tasks.SubjectParts{Kind: "x", Target: "shop", ID: "t-1"}, tasks.ReasonSubjectMismatch, "t-1"},
		"another target":                     {bodyOf("deploy-image", imageParams), tasks.SubjectParts{Kind: "deploy-image", Target: "cart", ID: "t-1"}, tasks.ReasonSubjectMismatch, "t-1"},
		"another id, and the subject's wins": {bodyOf("deploy-image", imageParams), tasks.SubjectParts{Kind: "deploy-image", Target: "shop", ID: "t-2"}, tasks.ReasonSubjectMismatch, "t-2"},
		"another target of a destroy":        {bodyOf("destroy-job-pack", destroyParams), tasks.SubjectParts{Kind: "destroy-job-pack", Target: "cart", ID: "t-1"}, tasks.ReasonSubjectMismatch, "t-1"},
		"the body has no task":               {[]byte(`{"id":"t-1","params":` + imageParams + `}`), right, tasks.ReasonInvalidTask, "t-1"},
		"the body's task is unknown":         {bodyOf("deploy-moon", imageParams), right, tasks.ReasonInvalidTask, "t-1"},
		"neither has an id":                  {[]byte(`{"task":"deploy-image","params":` + imageParams + `}`), tasks.SubjectParts{Kind: "deploy-image", Target: "shop"}, tasks.ReasonInvalidTask, ""},
		"a subject's id that is no token":    {[]byte(`{"task":"deploy-image","params":` + imageParams + `}`), tasks.SubjectParts{ID: "a b"}, tasks.ReasonInvalidTask, ""},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task, err := tasks.Decode(tasks.Message{Body: row.body, Subject: row.subject})
			var reason tasks.Reason
			if failure := tasks.AsFailure(err); failure != nil {
				reason = failure.Reason
			}
			if reason != row.reason || task.ID != row.id {
				t.Errorf("reason %q, id %q, want %q, %q (%v)", reason, task.ID, row.reason, row.id, err)
			}
		})
	}
}

func TestDecodeTakesTheDefaultID(t *testing.T) {
	t.Parallel()
	bare := []byte(`{"task":"deploy-image","params":` + imageParams + `}`)
	task, err := tasks.Decode(tasks.Message{Body: bare, DefaultID: "mine"})
	if err != nil || task.ID != "mine" {
		t.Errorf("id %q, %v; want the default", task.ID, err)
	}
	task, err = tasks.Decode(tasks.Message{Body: bodyOf("deploy-image", imageParams), DefaultID: "mine"})
	if err != nil || task.ID != "t-1" {
		t.Errorf("id %q, %v; want the body's", task.ID, err)
	}
}

func TestEncodeAndDecodeAgree(t *testing.T) {
	t.Parallel()
	params := withField(imageParams, `"command":"<&>","userId":1e400`)
	body, err := tasks.Encode(tasks.KindDeployImage, "t-9", json.RawMessage(params))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"task":"deploy-image","params":` + params + `,"id":"t-9"}`; string(body) != want {
		t.Errorf("Encode:\n got %s\nwant %s", body, want)
	}
	task := mustDecode(t, body)
	if want := (tasks.SubjectParts{Kind: "deploy-image", Target: "shop", ID: "t-9"}); task.Subject() != want {
		t.Errorf("Subject() = %+v, want %+v", task.Subject(), want)
	}
	if _, err := tasks.Decode(tasks.Message{Body: body, Subject: task.Subject()}); err != nil {
		t.Errorf("Decode under its own subject: %v", err)
	}
	if _, err := tasks.Encode(tasks.KindDeployImage, "t-9", json.RawMessage("{")); err == nil {
		t.Error("Encode accepts params that are no JSON")
	}
}

func TestDecodeMeta(t *testing.T) {
	t.Parallel()
	encoded := base64.StdEncoding.EncodeToString([]byte(imageParams))
	several := `{"jobs":[{"jobId":"a"},{"jobId":"b"}],"reason":"delete"}`
	rows := map[string]struct{ kind, params, id, want string }{ // want empty: accepted
		"plain JSON":                       {"deploy-image", imageParams, "t-1", ""},
		"base64":                           {"deploy-image", encoded, "t-1", ""},
		"a destroy of several jobs":        {"destroy-job-pack", several, "t-1", ""},
		"no task, whatever else is wrong":  {"", "", "", "the task is not valid: NOMAD_META_TASK is not set"},
		"unknown task before unset params": {"deploy-moon", "", "t-1", `unknown task "deploy-moon"`},
		"no params":                        {"deploy-image", " ", "t-1", "the task is not valid: NOMAD_META_PARAMS is not set"},
		"garbage":                          {"deploy-image", "{not json", "t-1", "failed to parse"},
		"base64 of garbage":                {"deploy-image", base64.StdEncoding.EncodeToString([]byte("garbage")), "t-1", "failed to parse"},
		"a string in a string":             {"deploy-image", `"` + encoded + `"`, "t-1", "failed to parse"},
		"a list":                           {"deploy-image", `[]`, "t-1", "failed to parse"},
		"missing fields":                   {"deploy-image", `{}`, "t-1", "params.jobId: missing"},
		"an id that is no token":           {"deploy-image", imageParams, "a.b", "id: must match"},
		"too large":                        {"deploy-image", strings.Repeat(" ", tasks.MaxBody) + imageParams, "t-1", "the task is too large"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task, err := tasks.DecodeMeta(row.kind, row.params, row.id)
			if row.want == "" {
				if err != nil || task.ID != row.id || string(task.Kind) != row.kind {
					t.Errorf("got %v, %v", task, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}
