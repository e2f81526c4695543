package hcl

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Document is a cloudstation.hcl that a person wrote, as it was read.
type Document struct {
	// File is the name that problems have.
	File    string
	Project tasks.Project
	// Problems are everything that is wrong with the file, in its order. Where
	// there are any, Project may be incomplete.
	Problems tasks.FileProblems

	places map[string]hcl.Pos
}

// ReadProject reads a cloudstation.hcl like ParseProject, but says everything
// that is wrong with it, and judges the values too.
func (Generator) ReadProject(file string, source []byte) Document {
	d := newDecoder()
	doc := Document{File: file, Project: d.file(file, source), places: d.places}
	d.sort()
	for _, p := range d.problems {
		doc.Problems = append(doc.Problems, tasks.FileProblem{File: file, Line: p.at.Line, Column: p.at.Column, Text: p.text})
	}
	if len(d.problems) > 0 {
		return doc
	}
	for _, p := range doc.Project.Problems() {
		doc.Problems = append(doc.Problems, doc.Problem(p.Path, p.Path+" "+p.Text))
	}
	doc.Problems.Sort()
	return doc
}

// Problem is one about the value at a path such as "build.dockerfile"; a path
// that the file does not hold makes it one about the file.
func (doc Document) Problem(path, text string) tasks.FileProblem {
	at := doc.places[path]
	return tasks.FileProblem{File: doc.File, Line: at.Line, Column: at.Column, Text: text}
}
