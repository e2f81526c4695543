package tasks

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of what an error message shows.
const (
	maxShownValue    = 64
	maxShownProblems = 50
)

// Problem is one thing that is wrong with a task.
type Problem struct {
	// Path is the JSON path of the field (params.networks[1].portNumber); empty
	// where the problem is the body as a whole.
	Path string
	// Text says what was expected and, where that is no secret, what came.
	Text string
}

// String returns the path and the text.
func (p Problem) String() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// Problems is everything that is wrong with a task, in the order of its
// fields. It is the cause inside a Failure that Decode returns.
type Problems []Problem

// Error joins the problems to one line.
func (p Problems) Error() string {
	shown := p[:min(len(p), maxShownProblems)]
	lines := make([]string, 0, len(shown)+1)
	for _, problem := range shown {
		lines = append(lines, problem.String())
	}
	if more := len(p) - len(shown); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "; ")
}

// finding is a Problem before its values are rendered: which of them are
// secrets is known only when the whole task has been read.
type finding struct {
	path string
	// key is a map's key, the last part of the path; it is the sender's text.
	key string
	// format has a %s for each value.
	format string
	values []shown
}

// shown is a value in a message: a JSON string's text, or a bare word.
type shown struct {
	text string
	bare bool
}

// quoted is a text of the sender.
func quoted(text string) shown { return shown{text: text} }

// word is a text that stands without quotes: a number, or our own words.
func word(text string) shown { return shown{text: text, bare: true} }

// render makes the problem, with every known secret masked.
func (f finding) render(secrets []string) Problem {
	values := make([]any, len(f.values))
	for i, value := range f.values {
		value.text = maskAny(value.text, secrets)
		values[i] = value.String()
	}
	path := f.path
	if f.key != "" {
		path += "[" + quoted(maskAny(f.key, secrets)).String() + "]"
	}
	return Problem{Path: path, Text: fmt.Sprintf(f.format, values...)}
}

// String returns the value as a message shows it: clipped, and quoted unless bare.
func (s shown) String() string {
	text := clipText(s.text, maxShownValue)
	if s.bare {
		return text
	}
	return strconv.Quote(text)
}

// maskAny hides a text that holds one of the secrets. The whole text goes: what
// is left of it would tell where the secret stood.
func maskAny(text string, secrets []string) string {
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			return masked
		}
	}
	return text
}

// clipText cuts a text to limit characters and marks the cut.
func clipText(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	end := 0
	for range limit {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	return text[:end] + "…"
}
