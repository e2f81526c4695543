package hcl

import (
	"fmt"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The files that the two texts are meant for; errors name them.
const (
	projectFile   = "cloudstation.hcl"
	variablesFile = "vars.hcl"
)

// Generator is the tasks.Configurer. It has no state; its zero value is ready
// and safe for concurrent use.
type Generator struct{}

var _ tasks.Configurer = (*Generator)(nil)

// Project returns the text of cloudstation.hcl. ParseProject has read it
// before it is returned, so an unknown builder, an unknown deployer or an
// empty job id fails here already.
func (g Generator) Project(plan tasks.Plan) ([]byte, error) {
	tree, err := projectTree(plan)
	if err != nil {
		return nil, err
	}
	out, err := render(projectFile, tree)
	if err != nil {
		return nil, err
	}
	if _, err := g.ParseProject(out); err != nil {
		return nil, err
	}
	return out, nil
}

// Variables returns the text of vars.hcl for the image that will run.
func (g Generator) Variables(plan tasks.Plan, image tasks.Image) ([]byte, error) {
	if image.Name == "" || image.Tag == "" && image.Digest == "" {
		return nil, invalid(fmt.Errorf("write %s: the image has no name or tag", variablesFile))
	}
	s, err := newSource(plan, image)
	if err != nil {
		return nil, err
	}
	tree, err := g.overlay(variablesTree(s), plan.VariableFiles)
	if err != nil {
		return nil, err
	}
	return render(variablesFile, tree)
}

// render writes the tree, reads the text back and compares every value.
func render(file string, tree body) ([]byte, error) {
	out := tree.bytes()
	if err := verify(file, tree, out); err != nil {
		return nil, invalid(err)
	}
	return out, nil
}

// invalid makes the one kind of failure of this package. Its texts are our own
// words and name a place, never a value, so the customer may see them.
func invalid(err error) *tasks.Failure {
	return tasks.Fail(tasks.ReasonConfigInvalid, err.Error(), nil)
}
