package buildkit

import (
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
	const byteOrderMark = "\ufeff"
	lines := strings.SplitAfter(strings.TrimPrefix(string(text), byteOrderMark), "\n")
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
		line := strings.TrimRight(lines[found.next], "\r\n")
		visible := strings.TrimLeftFunc(line, unicode.IsSpace)
		if visible == "" || visible[0] == '#' {
			continue // in the middle of an instruction, too
		}
		if text.Len() == 0 {
			found.at, line = found.next, visible
		}
		line, more = cutContinuation(line)
		text.WriteString(line)
	}
	whole := strings.TrimSpace(text.String())
	end := strings.IndexAny(whole, " \t\v\f\r")
	if end < 0 {
		end = len(whole)
	}
	found.word, found.rest = strings.ToUpper(whole[:end]), whole[end:]
	return found.withDocuments(lines)
}

// cutContinuation reports whether the next line goes on with a line, and cuts
// the backslash that says so. Two backslashes are an escaped one.
func cutContinuation(line string) (string, bool) {
	cut, found := strings.CutSuffix(strings.TrimRight(line, " \t"), `\`)
	if !found || strings.HasSuffix(cut, `\`) {
		return line, false
	}
	return cut, true
}

// withDocuments skips the here-documents that an instruction has.
func (i instruction) withDocuments(lines []string) (instruction, error) {
	if !slices.Contains([]string{"RUN", "COPY", "ADD", "ONBUILD"}, i.word) || !strings.Contains(i.rest, "<<") {
		return i, nil
	}
	documents, ok := documentsOf(i.rest)
	if !ok || i.word == "ONBUILD" {
		return i, fmt.Errorf("the %s of line %d has << in a place that is not understood", i.word, i.at+1)
	}
	for _, each := range documents {
		length := slices.IndexFunc(lines[min(i.next, len(lines)):], each.endsAt)
		if length < 0 {
			return i, fmt.Errorf("the here-document %s of line %d has no end", each.name, i.at+1)
		}
		i.next += length + 1
	}
	return i, nil
}

// document is a here-document: all lines up to one that has its name alone,
// with tabs before it where it is indented.
type document struct {
	name     string
	indented bool
}

func (d document) endsAt(line string) bool {
	line = strings.TrimRight(line, "\r\n")
	return line == d.name || d.indented && strings.TrimLeft(line, "\t") == d.name
}

var (
	// documentWord begins a here-document: <<EOF, <<-"EOF", 3<<EOF.
	documentWord = regexp.MustCompile(`^\d*<<(-?)(?:(\w+)|"(\w+)"|'(\w+)')$`)
	// quotedWord is all in quotes: a << in it means nothing.
	quotedWord = regexp.MustCompile(`^(?:"[^"\\]*"|'[^']*')$`)
	// plainVariable is the only form of ${ that has no grammar of its own.
	plainVariable = regexp.MustCompile(`\$\{\w+\}`)
)

// documentsOf finds the here-documents of an instruction. What may be one or
// not, by rules that only a shell and BuildKit know, is not understood: a guess
// would take the document's text for instructions.
func documentsOf(text string) (documents []document, ok bool) {
	words, closed := shellWordsOf(text)
	if !closed || strings.Contains(plainVariable.ReplaceAllString(text, ""), "${") {
		return nil, false
	}
	for _, word := range words {
		if !strings.Contains(word, "<<") || quotedWord.MatchString(word) {
			continue
		}
		found := documentWord.FindStringSubmatch(word)
		if found == nil {
			return nil, false
		}
		documents = append(documents, document{name: found[2] + found[3] + found[4], indented: found[1] != ""})
	}
	return documents, true
}

// shellWordsOf splits a text at the spaces that no quotes hold; closed is false
// where quotes have no end.
func shellWordsOf(text string) (words []string, closed bool) {
	var quote rune
	escaped := false
	words = strings.FieldsFunc(text, func(r rune) bool {
		switch {
		case escaped:
			escaped = false
			return false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
		return quote == 0 && unicode.IsSpace(r)
	})
	return words, quote == 0 && !escaped
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
