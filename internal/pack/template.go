package pack

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
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
		var out strings.Builder
		if err := p.set.ExecuteTemplate(&out, f.path, view); err != nil {
			return nil, withoutNoise(err)
		}
		if strings.TrimSpace(out.String()) != "" {
			outputs = append(outputs, file{path: f.path, text: out.String()})
		}
	}
	return outputs, nil
}

// parseTemplates makes one set of all templates. Two files that define the same
// name are an error: which of them wins would be chance.
func (p *pack) parseTemplates() error {
	callable := functions()
	p.set = template.New("pack").Option("missingkey=error").Funcs(callable)
	definedIn := map[string]string{}
	for _, f := range p.templates {
		one, err := template.New(f.path).Delims("[[", "]]").Funcs(callable).Parse(f.text)
		if err != nil {
			return withoutNoise(err)
		}
		for _, t := range one.Templates() {
			if t.Tree == nil || (t.Name() != f.path && parse.IsEmptyTree(t.Root)) {
				continue
			}
			if other, twice := definedIn[t.Name()]; twice {
				return fmt.Errorf("%s: template %q is defined in %s already", f.path, t.Name(), other)
			}
			definedIn[t.Name()] = f.path
			if _, err := p.set.AddParseTree(t.Name(), t.Tree); err != nil {
				return fmt.Errorf("%s: %w", f.path, err)
			}
		}
	}
	return nil
}

// withoutNoise drops the word that text/template puts before file:line.
func withoutNoise(err error) error {
	var refused *refusal
	if errors.As(err, &refused) {
		return err
	}
	return errors.New(strings.TrimPrefix(err.Error(), "template: "))
}
