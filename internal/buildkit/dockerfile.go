package buildkit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// planContext is the name by which a rewritten Dockerfile copies the planner's
// own files.
const planContext = "dispatchd-plan"

// rewriteDockerfile gives every RUN of a planned Dockerfile the secrets, each
// as an environment variable of that step alone, and has its COPY lines take
// the planner's own files from where they are instead of from the app's source.
// Nothing else changes: what is added stands behind the instruction's word, so
// that continued lines and here-documents stay as they are.
func rewriteDockerfile(text []byte, secrets []string, assets string) ([]byte, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var mounts strings.Builder
	for _, name := range secrets {
		fmt.Fprintf(&mounts, " --mount=type=secret,id=%s,env=%s", name, name)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for _, node := range parsed.AST.Children {
		added := ""
		switch {
		case strings.EqualFold(node.Value, "run"):
			added = mounts.String()
		case copiesFrom(node, assets):
			added = " --from=" + planContext
		}
		if added == "" {
			continue
		}
		if node.StartLine < 1 || node.StartLine > len(lines) {
			return nil, errors.New("an instruction stands in no line of the Dockerfile")
		}
		lines[node.StartLine-1] = addFlags(lines[node.StartLine-1], len(node.Value), added)
	}
	return []byte(strings.Join(lines, "")), nil
}

// addFlags puts the flags behind the first word of a line, which has so many bytes.
func addFlags(line string, word int, flags string) string {
	indent := len(line) - len(strings.TrimLeft(line, " \t"))
	return line[:indent+word] + flags + line[indent+word:]
}

// copiesFrom reports whether an instruction copies the planner's own files out
// of the context.
func copiesFrom(node *parser.Node, assets string) bool {
	if assets == "" || !strings.EqualFold(node.Value, "copy") || node.Next == nil {
		return false
	}
	if slices.ContainsFunc(node.Flags, func(flag string) bool { return strings.HasPrefix(flag, "--from") }) {
		return false
	}
	from := strings.TrimPrefix(node.Next.Value, "./")
	return from == assets || strings.HasPrefix(from, assets+"/")
}
