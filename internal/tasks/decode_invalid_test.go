package tasks_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// problemsOf decodes a body that must be refused and returns its problems as lines.
func problemsOf(t *testing.T, body []byte) []string {
	t.Helper()
	_, failure := refusal(t, tasks.Message{Body: body})
	var problems tasks.Problems
	if !errors.As(failure, &problems) {
		t.Fatalf("%v holds no Problems", failure)
	}
	lines := make([]string, len(problems))
	for i, problem := range problems {
		lines[i] = problem.String()
	}
	return lines
}

func TestDecodeReportsAllMissingFieldsAtOnce(t *testing.T) {
	t.Parallel()
	rows := map[string][]string{
		`{"task":"deploy-repository","params":{}}`: {
			"id: missing", "params.jobId: missing", "params.deploymentId: missing", "params.serviceId: missing",
			"params.repository: missing", "params.branch: missing",
		},
		`{"task":"redeploy-repository","id":"i","params":{"jobId":"","deploymentId":null,"sourceType":"local_upload"}}`: {
			"params.jobId: missing", "params.deploymentId: missing", "params.serviceId: missing", "params.sourceUrl: missing",
		},
		`{"task":"deploy-image","id":"i","params":{}}`: {
			"params.jobId: missing", "params.deploymentId: missing", "params.serviceId: missing", "params.imageName: missing",
		},
		`{"task":"destroy-job-pack","id":"i","params":{"jobs":[]}}`:      {"params.jobs: missing", "params.reason: missing"},
		`{"task":"destroy-job-pack","id":"i","params":{"jobs":[{},{}]}}`: {"params.jobs[0].jobId: missing", "params.jobs[1].jobId: missing", "params.reason: missing"},
		`{}`: {"task: missing", "id: missing", "params: missing"},
	}
	for body, want := range rows {
		if diff := cmp.Diff(want, problemsOf(t, []byte(body))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestDecodeReportsAllKindsOfProblemsAtOnce(t *testing.T) {
	t.Parallel()
	body := bodyOf("deploy-repository", `{"jobId":7,"deploymentId":"a.b","userId":true,"teamId":7,"cpu":"many","ram":1.5,
		"deploy":"helm","provider":"svn","usesKvEngine":"yes","entrypoint":"sh","gitPass":12345,
		"networks":[{},{"portNumber":"abc","public":1},{"portNumber":70000},null],
		"vaultLinkedSecrets":{"a":1},"csiVolume":[{"mountPaths":["/data/../etc"]}],"tls":"yes",
		"build":{"builder":"make","buildArgs":{"PORT":8080,"A b":{}}},"branch":"-x"}`)
	want := []string{
		"params.jobId: expected a string, got 7",
		`params.serviceId: missing`,
		"params.teamId: expected a string, got 7",
		"params.userId: expected a string or a number, got true",
		`params.cpu: expected an integer, got "many"`,
		"params.ram: expected an integer, got 1.5",
		`params.deploy: expected one of nomad-pack, noop, nomadpack, got "helm"`,
		`params.usesKvEngine: expected true or false, got "yes"`,
		"params.vaultLinkedSecrets: expected a list, got an object",
		`params.networks[1].portNumber: expected an integer, got "abc"`,
		"params.networks[1].public: expected true or false, got 1",
		"params.networks[2].portNumber: expected an integer from 0 to 65535, got 70000",
		"params.networks[3]: expected an object, got null",
		"params.entrypoint: expected a list, got a string",
		"params.tls: expected an object, got a string",
		"params.gitPass: expected a string, got a number",
		`params.provider: expected one of github, gitlab, bitbucket, got "svn"`,
		`params.build.builder: expected one of csdocker, nixpacks, railpack, noop, docker, got "make"`,
		`params.build.buildArgs["A b"]: expected a string, got an object`,
		`params.build.buildArgs["PORT"]: expected a string, got a number`,
		`params.deploymentId: must match [A-Za-z0-9_-]{1,128}, got "a.b"`,
		`params.csiVolume[0].mountPaths[0]: must not hold "..", got "/data/../etc"`,
		"params.repository: missing",
		`params.branch: must not begin with "-", got "-x"`,
	}
	if diff := cmp.Diff(want, problemsOf(t, body)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDecodeJudgesFields has one row for each rule: a field of a task that is
// valid without it, and what the message must hold. An empty message is accepted.
func TestDecodeJudgesFields(t *testing.T) {
	t.Parallel()
	type row struct{ field, want string }
	long := strings.Repeat("a", 300)
	repository := []row{
		{`"jobId":"a/b.c~\"${x}"`, `imageName: must be an image's name in lower case without tag and digest (the default is the jobId)`},
		{`"jobId":"a b"`, "params.jobId: must not hold spaces"},
		{`"jobId":"a\u0000"`, "params.jobId: must not hold"},
		{`"jobId":"a\u00a0b"`, "params.jobId: must not hold"},
		{`"jobId":"-rf"`, `params.jobId: must not begin with "-"`},
		{`"jobId":"` + long + `"`, "params.jobId: must have 128 bytes"},
		{`"repository":"acme"`, "expected owner/name"},
		{`"repository":"acme/a/b"`, "expected owner/name"},
		{`"repository":"acme/.."`, "expected owner/name of"},
		{`"repository":"-a/b"`, "expected owner/name of"},
		{`"repository":"a/b c"`, "expected owner/name of"},
		{`"repository":"a/b.git"`, "without .git"},
		{`"repository":"a//b"`, "expected owner/name"},
		{`"repository":"file:///etc"`, "not an address"},
		{`"repository":"git@github.com:a/b"`, "not an address"},
		{`"repository":"a/b\n"`, "expected owner/name of"},
		{`"repository":"A.c-m_e/.github"`, ""},
		{`"provider":"bitbucket","repository":"a/b/c"`, "expected owner/name"},
		{`"provider":"gitlab","repository":"a/b/c/d"`, ""},
		{`"provider":"","sourceType":""`, ""},
		{`"sourceType":"ftp"`, "params.sourceType: expected one of local_upload"},
		{`"branch":"feature/a.b-c@d"`, ""},
		{`"branch":"ünïcode"`, ""},
		{`"branch":"a..b"`, "git allows"},
		{`"branch":"a@{1}"`, "git allows"},
		{`"branch":"@"`, "git allows"},
		{`"branch":"a.lock"`, "git allows"},
		{`"branch":"a.lock/b"`, "git allows"},
		{`"branch":"a/"`, "git allows"},
		{`"branch":"/a"`, "git allows"},
		{`"branch":"a//b"`, "git allows"},
		{`"branch":".a"`, "git allows"},
		{`"branch":"a."`, "git allows"},
		{`"branch":"a/.b"`, "git allows"},
		{`"branch":"a b"`, "params.branch: must not hold"},
		{`"branch":"a\u0000"`, "params.branch: must not hold"},
		{`"branch":"a~1"`, "params.branch: must not hold"},
		{`"branch":"a\\b"`, "params.branch: must not hold"},
		{`"branch":"HEAD:x"`, "params.branch: must not hold"},
		{`"branch":"*"`, "params.branch: must not hold"},
		{`"branch":"--upload-pack=x"`, `must not begin with "-"`},
		{`"branch":"` + long + `"`, "must have 244 bytes"},
		{`"build":{"rootDirectory":"/"}`, ""},
		{`"build":{"rootDirectory":"//a/..b/c.."}`, ""},
		{`"build":{"rootDirectory":"."}`, ""},
		{`"build":{"rootDirectory":"a/../b"}`, `rootDirectory: must not hold ".."`},
		{`"build":{"rootDirectory":"/../b"}`, `rootDirectory: must not hold ".."`},
		{`"build":{"rootDirectory":"a\\..\\b"}`, "rootDirectory: must not hold backslashes"},
		{`"build":{"rootDirectory":"a\u0000"}`, "rootDirectory: must not hold"},
		{`"build":{"dockerfilePath":"/etc/passwd"}`, "dockerfilePath: must be relative"},
		{`"build":{"dockerfilePath":"../Dockerfile"}`, `dockerfilePath: must not hold ".."`},
		{`"build":{"dockerfilePath":"a\nb"}`, "dockerfilePath: must not hold"},
		{`"build":{"dockerfilePath":"a/Dockerfile.prod"}`, ""},
	}
	image := []row{
		{`"jobId":"a/b.c~\"${x}ü"`, ""},
		{`"imageName":"registry.example.com:5000/acme/shop__a-b.c"`, ""},
		{`"imageName":"localhost/a"`, ""},
		{`"imageName":"[::1]:5000/a"`, ""},
		{`"imageName":"Nginx"`, "in lower case"},
		{`"imageName":"nginx:1"`, "without tag"},
		{`"imageName":"-nginx"`, "imageName: must"},
		{`"imageName":"a/-b"`, "imageName: must"},
		{`"imageName":"a@sha256:00"`, "tag and digest"},
		{`"imageName":"https://x/a"`, "without scheme"},
		{`"imageName":"a//b"`, "imageName: must"},
		{`"imageName":"x..y/a"`, "registry's host"},
		{`"imageName":"a..b"`, "imageName: must"},
		{`"imageName":"a\n"`, "imageName: must"},
		{`"imageName":"` + long + `"`, "must have 255"},
		{`"imageTag":"v1.2_3-x"`, ""},
		{`"imageTag":"-x"`, "imageTag: must be"},
		{`"imageTag":"a b"`, "imageTag: must be"},
		{`"imageTag":"` + long + `"`, "imageTag: must be"},
		{`"imageTag":"a\n"`, "imageTag: must be"},
		{`"replicaCount":-1`, "params.replicaCount: expected an integer from 0"},
		{`"cpu":2147483648`, "params.cpu: expected an integer from 0 to 2147483647"},
		{`"deploymentJobId":-5`, ""},
		{`"deploymentJobId":"99999999999999999999"`, "expected an integer of 64 bits"},
		{`"deploymentJobId":"+5"`, "expected an integer"},
		{`"deploymentJobId":" 5"`, "expected an integer"},
		{`"deploymentJobId":5.0`, "expected an integer"},
		{`"deploymentJobId":5e1`, "expected an integer"},
		{`"deploymentJobId":[]`, "expected an integer, got a list"},
		{`"deploymentJobId":"-"`, "expected an integer"},
		{`"consul":{"servicePort":65536}`, "params.consul.servicePort: expected"},
		{`"networks":[{"health_check":{"port":-1}}]`, "params.networks[0].health_check.port: expected"},
		{`"update":{"canary":"-1"}`, "params.update.canary: expected"},
		{`"update":{"maxParallel":"2"}`, ""},
		{`"restartMode":"always"`, "params.restartMode: expected one of fail, delay, never"},
		{`"configFiles":[{"path":"etc/a","content":"aGk="}]`, ""},
		{`"configFiles":[{"path":"a","content":"aGk"}]`, "params.configFiles[0].content: expected base64"},
		{`"configFiles":[{"path":"a/../../b","content":""}]`, `params.configFiles[0].path: must not hold ".."`},
		{`"configFiles":[{"content":""}]`, "params.configFiles[0].path: missing"},
		{`"configFiles":[{"path":"a\u0000","content":""}]`, "params.configFiles[0].path: must not hold a NUL"},
		{`"nomadAddress":"https://nomad:4646"`, ""},
		{`"nomadAddress":"nomad:4646"`, "params.nomadAddress: expected an http"},
		{`"backendUrl":"ftp://x"`, "params.backendUrl: expected an http"},
		{`"vaultAddress":"http://"`, "params.vaultAddress: expected an http"},
		{`"vaultAddress":"http://:80"`, "params.vaultAddress: expected"},
		{`"vaultAddress":"https://u:p@x"`, "params.vaultAddress: must not hold a user"},
		{`"backendUrl":"http://a b"`, "params.backendUrl: expected an http"},
		{`"entrypoint":["a",null]`, "params.entrypoint[1]: expected a string, got null"},
		{`"build":{"rootDirectory":"../x","builder":7}`, ""},
		{`"branch":"-x"`, ""},
	}
	destroy := []row{
		{`"reason":"boredom"`, "params.reason: expected one of delete, upgrade_volume, migrate_volume, suspend_account, pause_service"},
		{`"jobs":[{"jobId":"a","nomadAddress":"http://u@h"}]`, "params.jobs[0].nomadAddress: must not hold a user"},
		{`"jobs":[{"jobId":" "}]`, "params.jobs[0].jobId: must not"},
	}
	for params, rows := range map[string][]row{"deploy-repository" + repositoryParams: repository, "deploy-image" + imageParams: image, "destroy-job-pack" + destroyParams: destroy} {
		kind, rest, _ := strings.Cut(params, "{")
		for _, row := range rows {
			_, err := tasks.Decode(tasks.Message{Body: bodyOf(kind, withField("{"+rest, row.field))})
			switch {
			case row.want == "" && err != nil:
				t.Errorf("%s %.80s: %v, want it accepted", kind, row.field, err)
			case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
				t.Errorf("%s %.80s: %v, want %q", kind, row.field, err, row.want)
			}
		}
	}
}

func TestDecodeRefusesBodies(t *testing.T) {
	t.Parallel()
	deep := bodyOf("deploy-image", withField(imageParams, `"nomadPackConfig":`+strings.Repeat("[", 70)+strings.Repeat("]", 70)))
	bottomless := bodyOf("deploy-image", withField(imageParams, `"x":`+strings.Repeat("[", 500_000)+strings.Repeat("]", 500_000)))
	rows := map[string]struct {
		body   string
		want   string
		reason tasks.Reason
	}{
		"nothing":                           {"", "failed to parse the body", tasks.ReasonInvalidTask},
		"no JSON":                           {"hello", "failed to parse the body: no valid JSON at byte 1 of 5", tasks.ReasonInvalidTask},
		"two documents":                     {"{}{}", "failed to parse the body", tasks.ReasonInvalidTask},
		"a list":                            {"[1]", "failed to parse the body: expected an object, got a list", tasks.ReasonInvalidTask},
		"null":                              {"null", "failed to parse the body: expected an object, got null", tasks.ReasonInvalidTask},
		"unknown task":                      {`{"task":"deploy-moon","id":"a","params":{}}`, `task: unknown task "deploy-moon", expected one of deploy-repository`, tasks.ReasonInvalidTask},
		"a task that is a number":           {`{"task":1,"id":"a","params":{}}`, "task: expected a string, got 1", tasks.ReasonInvalidTask},
		"an id that is a number":            {`{"task":"deploy-image","id":5,"params":{}}`, "id: expected a string, got 5", tasks.ReasonInvalidTask},
		"an id that is no token":            {`{"task":"deploy-image","id":"a.>","params":{}}`, `id: must match [A-Za-z0-9_-]{1,128}, got "a.>"`, tasks.ReasonInvalidTask},
		"params that are a list":            {`{"task":"deploy-image","id":"a","params":[]}`, "params: failed to parse: expected an object, got a list", tasks.ReasonInvalidTask},
		"params that are garbage":           {`{"task":"deploy-image","id":"a","params":"!"}`, "params: failed to parse: neither JSON nor base64 of JSON", tasks.ReasonInvalidTask},
		"params that are empty":             {`{"task":"deploy-image","id":"a","params":""}`, "params: failed to parse", tasks.ReasonInvalidTask},
		"params that are base64 garbage":    {`{"task":"deploy-image","id":"a","params":"Z2FyYmFnZQ=="}`, "params: failed to parse: no valid JSON at byte 1 of 7", tasks.ReasonInvalidTask},
		"params in a string in a string":    {`{"task":"deploy-image","id":"a","params":"\"{}\""}`, "params: failed to parse: the text holds a string", tasks.ReasonInvalidTask},
		"a string in base64":                {`{"task":"deploy-image","id":"a","params":"Int9Ig=="}`, "params: failed to parse: the text holds a string", tasks.ReasonInvalidTask},
		"deep":                              {string(deep), "body: nested 72 deep, at most 64", tasks.ReasonInvalidTask},
		"bottomless":                        {string(bottomless), "failed to parse the body", tasks.ReasonInvalidTask},
		"deep inside a string":              {`{"task":"deploy-image","id":"a","params":"{\"x\":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}"}`, "params: nested 71 deep", tasks.ReasonInvalidTask},
		"brackets in a string are not deep": {string(bodyOf("deploy-image", withField(imageParams, `"cpu":"\"`+strings.Repeat("[", 70)+`"`))), "the task is not valid: params.cpu", tasks.ReasonInvalidTask},
		"no UTF-8":                          {string(bodyOf("deploy-image", withField(imageParams, "\"command\":\"\xff\""))), "body: not valid UTF-8", tasks.ReasonInvalidTask},
		"one byte too large":                {strings.Repeat(" ", tasks.MaxBody) + "{", "body: 1048577 bytes, at most 1048576", tasks.ReasonTaskTooLarge},
		"far too large":                     {strings.Repeat("[", 5*tasks.MaxBody), "body: 5242880 bytes, at most 1048576", tasks.ReasonTaskTooLarge},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, failure := refusal(t, tasks.Message{Body: []byte(row.body)})
			if failure.Reason != row.reason || !strings.Contains(failure.Message, row.want) {
				t.Errorf("%s %q, want %s %q", failure.Reason, failure.Message, row.reason, row.want)
			}
			if strings.Contains(failure.Error(), "\n") || len(failure.Error()) > 1000 {
				t.Errorf("not one short line: %q", failure.Error())
			}
		})
	}
}

func TestDecodeAcceptsTheLargestBody(t *testing.T) {
	t.Parallel()
	body := bodyOf("deploy-image", imageParams)
	if _, err := tasks.Decode(tasks.Message{Body: append(body, strings.Repeat(" ", tasks.MaxBody-len(body))...)}); err != nil {
		t.Error(err)
	}
}

func TestDecodeKeepsTheIdentityOfARefusedTask(t *testing.T) {
	t.Parallel()
	known := `{"jobId":"shop","deploymentId":"dep","serviceId":"svc","teamId":null,"userId":1,"ownerId":"o","deploymentJobId":"456","cpu":"x"`
	subject := tasks.SubjectParts{Kind: "deploy-image", ID: "s-1"}
	rows := map[string]struct {
		body       string
		subject    tasks.SubjectParts
		identified bool
	}{
		"a wrong field":                 {`{"task":"deploy-image","id":"s-1","params":` + known + `}}`, tasks.SubjectParts{}, true},
		"no task, but a subject":        {`{"params":` + known + `}}`, subject, true},
		"a contradicting subject":       {`{"task":"deploy-image","id":"other","params":` + known + `}}`, subject, true},
		"too deep":                      {`{"task":"deploy-image","id":"s-1","params":` + known + `,"x":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}}`, subject, true},
		"too large":                     {`{"task":"deploy-image","id":"s-1","params":` + known + `,"x":"` + strings.Repeat("x", tasks.MaxBody) + `"}}`, subject, true},
		"no id anywhere":                {`{"task":"deploy-image","params":` + known + `}}`, tasks.SubjectParts{}, false},
		"an id that is no token":        {`{"task":"deploy-image","id":"a.b","params":` + known + `}}`, tasks.SubjectParts{}, false},
		"no deployment id":              {`{"task":"deploy-image","id":"s-1","params":` + known + `,"deploymentId":null}}`, tasks.SubjectParts{}, false},
		"a deployment id that is none":  {`{"task":"deploy-image","id":"s-1","params":` + known + `,"deploymentId":"a.b"}}`, tasks.SubjectParts{}, false},
		"no service id":                 {`{"task":"deploy-image","id":"s-1","params":` + known + `,"serviceId":""}}`, tasks.SubjectParts{}, false},
		"unknown task":                  {`{"task":"deploy-moon","id":"s-1","params":` + known + `}}`, subject, false},
		"no JSON":                       {`{"task`, subject, false},
		"a destroy without a reason":    {`{"task":"destroy-job-pack","id":"s-1","params":{"jobs":[{"jobId":"a"}]}}`, tasks.SubjectParts{}, true},
		"a destroy that cannot be read": {`{"task":"destroy-job-pack","id":"s-1","params":"?"}`, tasks.SubjectParts{}, false},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task, _ := refusal(t, tasks.Message{Body: []byte(row.body), Subject: row.subject})
			if task.Identified() != row.identified {
				t.Errorf("Identified() = %v, want %v: %v", task.Identified(), row.identified, task)
			}
			if !row.identified || task.Deploy == nil {
				return
			}
			d := task.Deploy
			got := fmt.Sprint(task.ID, " ", d.JobID, d.DeploymentID, d.ServiceID, d.TeamID.Raw == nil, string(d.TeamID.Raw), d.UserID, d.OwnerID, d.DeploymentJobID)
			if want := `s-1 shopdepsvcfalsenull1o456`; strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
				t.Errorf("identity %s, want %s", got, want)
			}
		})
	}
}

func TestDecodeNeverShowsSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-hunter2"
	rows := map[string]string{
		"a list where the token stands":      `"gitPass":["S"]`,
		"a wrong type of token":              `"nomadToken":{"x":"S"}`,
		"the same text in another field":     `"gitPass":"S","cpu":"S","branch":"-S","imageTag":"-xS"`,
		"the same text as a key":             `"gitPass":"S","build":{"buildArgs":{"S":1}}`,
		"a secret that is read later":        `"cpu":"S","build":{"registryPassword":"S"}`,
		"an object in place of another type": `"jobId":{"gitPass":"S"},"build":"{\"registryPassword\":\"S\"}"`,
		"an address with a password":         `"nomadAddress":"ftp://u:S@h","vaultAddress":"http://u:S@h","backendUrl":"::S"`,
		"a repository with a token":          `"repository":"https://x:S@github.com/a/b"`,
		"an image with a token":              `"imageName":"x:S@registry/a"`,
		"an upload's address":                `"sourceUrl":[],"sourceType":"S","gitPass":"S"`,
		"a build argument":                   `"build":{"buildArgs":{"A":["S"]},"staticBuildEnv":"S"}`,
		"a config file":                      `"configFiles":[{"path":"a","content":"S!"},{"path":"b","content":["S"]}]`,
		"a destroy's token":                  `"jobs":[{"nomadToken":["S"]}]`,
	}
	for name, fields := range rows {
		for _, kind := range []string{"deploy-repository", "destroy-job-pack"} {
			t.Run(kind+": "+name, func(t *testing.T) {
				t.Parallel()
				body := bodyOf(kind, "{"+strings.ReplaceAll(fields, "S", secret)+"}")
				_, failure := refusal(t, tasks.Message{Body: body})
				if strings.Contains(failure.Error(), secret) {
					t.Errorf("shown: %s", failure.Error())
				}
			})
		}
	}
	for _, params := range []string{`"{\"gitPass\":\"` + secret + `\",}"`, `"` + secret + `"`, `"\"` + secret + `\""`} {
		if _, failure := refusal(t, tasks.Message{Body: bodyOf("deploy-repository", params)}); strings.Contains(failure.Error(), secret) {
			t.Errorf("params that do not parse are shown: %s", failure.Error())
		}
	}
	_, err := tasks.Decode(tasks.Message{Body: []byte(`{"task":"` + secret)})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a broken body is shown: %v", err)
	}
}

func TestDecodeMasksAndClipsWhatItShows(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 65)
	lines := problemsOf(t, bodyOf("deploy-image", withField(imageParams, `"gitPass":"","nomadToken":"tok","cpu":"a tok","ram":"`+long+`"`)))
	want := []string{
		`params.cpu: expected an integer, got "***"`,
		`params.ram: expected an integer, got "` + strings.Repeat("é", 64) + `…"`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeStopsListingProblems(t *testing.T) {
	t.Parallel()
	_, failure := refusal(t, tasks.Message{Body: bodyOf("deploy-image", withField(imageParams, `"entrypoint":[`+strings.Repeat("1,", 199)+`1]`))})
	if !strings.HasSuffix(failure.Message, "params.entrypoint[49]: expected a string, got 1; and 150 more") {
		t.Errorf("message ends %q", failure.Message[len(failure.Message)-100:])
	}
}
