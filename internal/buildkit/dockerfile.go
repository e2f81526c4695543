package buildkit

import (
	"bytes"
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
		if added != "" && !addFlags(lines, node, added) {
			return nil, fmt.Errorf("the %s of line %d begins in a way that is not understood", node.Value, node.StartLine)
		}
	}
	return []byte(strings.Join(lines, "")), nil
}

// addFlags puts the flags behind the instruction's word; false where that word
// begins none of its first lines that say anything.
func addFlags(lines []string, node *parser.Node, flags string) bool {
	for i := max(0, node.StartLine-1); i < min(node.EndLine, len(lines)); i++ {
		line := lines[i]
		indent := len(line) - len(strings.TrimLeft(line, " \t"))
		end := indent + len(node.Value)
		if end <= len(line) && strings.EqualFold(line[indent:end], node.Value) {
			lines[i] = line[:end] + flags + line[end:]
			return true
		}
		// An empty line, a comment or a continuation of nothing may come first.
		if first := strings.TrimSpace(line); len(first) > 1 && first[0] != '#' {
			return false
		}
	}
	return false
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
