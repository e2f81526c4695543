package tasks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// FileProblem is one thing that is wrong with a file that a person wrote.
type FileProblem struct {
	File string `json:"file"`
	// Line and Column count from 1; 0 where the problem is the file as a whole.
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Text   string `json:"message"`
}

// String returns file:line:column: text, as editors and compilers write it.
func (p FileProblem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// FileProblems is everything that is wrong with a project's files.
type FileProblems []FileProblem

// Error joins the problems to one line.
func (p FileProblems) Error() string {
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

// Sort puts the problems of each file in the order of its lines. The files
// stay in the order in which they came.
func (p FileProblems) Sort() {
	place := map[string]int{}
	for _, problem := range p {
		if _, known := place[problem.File]; !known {
			place[problem.File] = len(place)
		}
	}
	slices.SortStableFunc(p, func(a, b FileProblem) int {
		return cmp.Or(cmp.Compare(place[a.File], place[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
