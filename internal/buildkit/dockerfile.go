package buildkit

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
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
	var mounts strings.Builder
	for _, name := range secrets {
		fmt.Fprintf(&mounts, " --mount=type=secret,id=%s,env=%s", name, name)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for at := 0; at < len(lines); {
		found, err := nextInstruction(lines, at)
		if err != nil {
			return nil, err
		}
		added := ""
		switch {
		case found.word == "RUN":
			added = mounts.String()
		case found.copiesFrom(assets):
			added = " --from=" + planContext
		}
		if added != "" {
			err = found.addFlags(lines, added)
		}
		if err != nil {
			return nil, err
		}
		at = found.next
	}
	return []byte(strings.Join(lines, "")), nil
}

// instruction is one instruction of a Dockerfile. This is the small part of its
// grammar that a rewrite needs; a test holds it to BuildKit's own parser, which
// would be a good part of the program's size.
type instruction struct {
	// word is RUN, COPY and so on, in capitals; it begins in the line at.
	word string
	at   int
	// rest is what follows it, without line breaks.
	rest string
	// next is the line after the last one.
	next int
}

// nextInstruction reads the instruction that begins at a line or after it; its
// word is empty where none does.
func nextInstruction(lines []string, from int) (instruction, error) {
	found := instruction{next: from}
	var text strings.Builder
	for more := true; more && found.next < len(lines); found.next++ {
		line := strings.TrimSpace(lines[found.next])
		if line == "" || line[0] == '#' {
			continue // in the middle of an instruction, too
		}
		if text.Len() == 0 {
			found.at = found.next
		}
		line, more = strings.CutSuffix(line, `\`)
		if more && strings.HasSuffix(line, `\`) {
			line, more = line+`\`, false
		}
		text.WriteString(line)
	}
	word, rest, _ := strings.Cut(strings.Replace(strings.TrimSpace(text.String()), "\t", " ", 1), " ")
	found.word, found.rest = strings.ToUpper(word), rest
	return found.withDocuments(lines)
}

// document finds the here-documents of a line: <<EOF, <<-"EOF", 3<<EOF.
var document = regexp.MustCompile(`^\d*<<(-?)["']?([^<"']+)["']?$`)

// withDocuments skips the here-documents that an instruction has.
func (i instruction) withDocuments(lines []string) (instruction, error) {
	if !slices.Contains([]string{"RUN", "COPY", "ADD"}, i.word) {
		return i, nil
	}
	for _, word := range shellWordsOf(i.rest) {
		found := document.FindStringSubmatch(word)
		if found == nil {
			continue
		}
		end := func(line string) bool {
			line = strings.TrimRight(line, "\r\n")
			return line == found[2] || found[1] != "" && strings.TrimLeft(line, "\t") == found[2]
		}
		length := slices.IndexFunc(lines[min(i.next, len(lines)):], end)
		if length < 0 {
			return i, errors.New("a here-document has no end")
		}
		i.next += length + 1
	}
	return i, nil
}

// shellWordsOf splits a line at the spaces that no quotes hold.
func shellWordsOf(line string) []string {
	var quote rune
	escaped := false
	return strings.FieldsFunc(line, func(r rune) bool {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
		return quote == 0 && !escaped && (r == ' ' || r == '\t')
	})
}

// addFlags puts the flags behind the instruction's word; an error where the
// word is not whole on its line.
func (i instruction) addFlags(lines []string, flags string) error {
	line := lines[i.at]
	begin := len(line) - len(strings.TrimLeftFunc(line, unicode.IsSpace))
	end := begin + len(i.word)
	if end > len(line) || !strings.EqualFold(line[begin:end], i.word) {
		return fmt.Errorf("the %s of line %d begins in a way that is not understood", i.word, i.at+1)
	}
	lines[i.at] = line[:end] + flags + line[end:]
	return nil
}

// copiesFrom reports whether an instruction copies the planner's own files out
// of the context.
func (i instruction) copiesFrom(assets string) bool {
	if assets == "" || i.word != "COPY" {
		return false
	}
	words := strings.Fields(i.rest)
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		if strings.HasPrefix(words[0], "--from") {
			return false
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return false
	}
	from := strings.TrimPrefix(words[0], "./")
	return from == assets || strings.HasPrefix(from, assets+"/")
}
