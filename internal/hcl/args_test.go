package hcl_test

import (
	"encoding/json"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// TestArgs: exports replace what an image starts by itself, so its own command
// follows them where the task has none.
func TestArgs(t *testing.T) {
	t.Parallel()
	linked := []tasks.LinkedSecret{{Secret: "A", Template: "x"}, {Secret: "B", Template: "y"}}
	command := []string{"/bin/bash", "-l", "-c", "npm start -- it's $PORT"}
	const exec = `exec '/bin/bash' '-l' '-c' 'npm start -- it'\''s $PORT'`
	for name, test := range map[string]struct {
		builder string
		linked  []tasks.LinkedSecret
		start   string
		command []string
		want    string
	}{
		"nothing":                                {tasks.BuilderDocker, nil, "", command, ""},
		"a start command":                        {tasks.BuilderDocker, nil, "run me", command, "run me"},
		"exports and a start command":            {tasks.BuilderDocker, linked, "run me", command, "export A=x;export B=y;run me"},
		"exports alone":                          {tasks.BuilderDocker, linked, "", command, "export A=x;export B=y;" + exec},
		"exports of an unknown image":            {tasks.BuilderDocker, linked, "", nil, "export A=x;export B=y;"},
		"nixpacks has its start command":         {tasks.BuilderNixpacks, nil, "run me", command, ""},
		"nixpacks with exports goes on with it":  {tasks.BuilderNixpacks, linked, "run me", command, "export A=x;export B=y;" + exec},
		"railpack with exports goes on with it":  {tasks.BuilderRailpack, linked, "", command, "export A=x;export B=y;" + exec},
		"an image of somebody else with exports": {tasks.BuilderNoop, linked, "", command, "export A=x;export B=y;" + exec},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := minimal()
			s.plan.Builder, s.image.Command = test.builder, test.command
			s.plan.Deploy.VaultLinkedSecrets, s.plan.Deploy.Build.StartCommand = test.linked, test.start
			want := ""
			if test.want != "" {
				text, _ := json.Marshal([]string{test.want})
				want = string(text)
			}
			if got := read(t, variables(t, s.plan, s.image))["args"]; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}
