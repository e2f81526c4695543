package hcl

import (
	"bytes"
	"fmt"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// starterHead and starterTail stand around the values of a first vars.hcl.
const (
	starterHead = `# The variables of the deploy pack. What does not stand here is derived from
# cloudstation.hcl and from the image; job_name and image always are.

`
	starterPorts = `
# The ports of the app. Without this they are those that the image exposes%s.
`
	starterTail = `
# restart_attempts = 3

# update = {
#   min_healthy_time = "10s"
#   auto_revert      = true
# }

# config_files = [
#   { path = "etc/app.conf", content = "aGVsbG8K" } # base64
# ]
`
	starterNetwork = `# network = [
#   { port = 8080, type = "http", health_check = { type = "http", path = "/" } }
# ]
`
)

// Starter returns the text of a first vars.hcl, for a person to change. Ports
// are written where they are given; they win over those of the image then.
func (Generator) Starter(builder string, ports []tasks.Port) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(starterHead)
	out.Write(body{attributes: []attribute{
		{"count", number(defaultReplicas)},
		{"resources", object{{"cpu", number(defaultCPU)}, {"memory", number(defaultMemory)}}},
	}}.bytes())
	fmt.Fprintf(&out, starterPorts, usualPort(builder))
	if len(ports) > 0 {
		out.Write(body{attributes: []attribute{{"network", listOf(ports, foundPort)}}}.bytes())
	} else {
		out.WriteString(starterNetwork)
	}
	out.WriteString(starterTail)
	if _, problems := (Generator{}).ReadVariables(tasks.VariableFile{Name: variablesFile, Text: out.Bytes()}); len(problems) > 0 {
		return nil, invalid(problems)
	}
	return out.Bytes(), nil
}

// usualPort says which port an image that exposes none gets.
func usualPort(builder string) string {
	ports := exposed(source{builder: builder})
	if len(ports) == 0 {
		return ""
	}
	return fmt.Sprintf(", or %d where it exposes none", ports[0].Number)
}
