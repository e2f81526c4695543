package pack

import (
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// CheckVariables says what a pack would refuse of a file of variables that a
// person wrote: names that it does not declare, values of another type. A file
// that is no HCL is not judged, nor is one for a pack that would have to be
// fetched. The error is that of Render where there is no such pack.
func (r *Renderer) CheckVariables(d tasks.ProjectDeploy, file tasks.VariableFile) (tasks.FileProblems, error) {
	if !d.UseEmbedded {
		return nil, nil
	}
	p, err := r.open(or(d.Pack, r.defaultPack))
	if err != nil {
		return nil, err
	}
	parsed, err := parseHCL(file.Text, file.Name)
	if err != nil {
		return nil, nil //nolint:nilerr // who reads it as HCL says so
	}
	attributes, diags := parsed.Body.JustAttributes()
	if diags.HasErrors() {
		return nil, nil
	}
	var problems tasks.FileProblems
	for _, a := range byLine(attributes) {
		if _, err := p.value(a); err != nil {
			at := a.Expr.Range().Start
			if _, known := p.variable(a.Name); !known {
				at = a.NameRange.Start
			}
			problems = append(problems, tasks.FileProblem{File: file.Name, Line: at.Line, Column: at.Column, Text: err.Error()})
		}
	}
	return problems, nil
}
