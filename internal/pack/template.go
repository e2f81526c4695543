package pack

import (
	"errors"
	"fmt"
	"strings"
	"text/template/parse"
)

// execute renders each job template of the pack; output of white space alone
// is dropped.
func (p *pack) execute(values map[string]any) ([]file, error) {
	view := &view{pack: p, values: values}
	var outputs []file
	for _, f := range p.templates {
		if !f.job() {
			continue
		}
		text, err := p.set.execute(f.path, view)
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(text) != "" {
			outputs = append(outputs, file{path: f.path, text: text})
		}
	}
	return outputs, nil
}

// parseTemplates makes one set of all templates. Two files that define the same
// name are an error: which of them wins would be chance.
func (p *pack) parseTemplates() error {
	p.set = newTemplates(functions())
	definedIn := map[string]string{}
	for _, f := range p.templates {
		trees, err := p.set.parse(f.path, f.text, "[[", "]]")
		if err != nil {
			return withoutNoise(err)
		}
		for name, tree := range trees {
			if name != f.path && parse.IsEmptyTree(tree.Root) {
				continue
			}
			if other, twice := definedIn[name]; twice {
				return fmt.Errorf("%s: template %q is defined in %s already", f.path, name, other)
			}
			definedIn[name] = f.path
			p.set.trees[name] = tree
		}
	}
	return nil
}

// withoutNoise drops the word that the parser puts before file:line.
func withoutNoise(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "template: "))
}
