package pack

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
)

// pack is a pack's files, read and checked.
type pack struct {
	name      string
	metadata  metadata
	variables []variable
	// templates are the files below templates/, sorted by path; set is all of
	// them, parsed.
	templates []file
	set       *templates
	// foreign is true where the pack is not ours, and writes ${…} for Nomad's
	// client as packs usually do.
	foreign bool
}

// file is one file of a pack; its path begins with the pack's name.
type file struct {
	path string
	text string
}

// helper reports whether the file only defines what others use.
func (f file) helper() bool { return strings.Contains(f.path, "templates/_") }

// job reports whether the file's output is a job.
func (f file) job() bool { return strings.HasSuffix(f.path, ".nomad.tpl") && !f.helper() }

// metadata is metadata.hcl.
type metadata struct {
	App struct {
		URL    string `hcl:"url"`
		Author string `hcl:"author,optional"`
	} `hcl:"app,block"`
	Pack struct {
		Name        string `hcl:"name"`
		Version     string `hcl:"version"`
		Description string `hcl:"description,optional"`
		Alias       string `hcl:"alias,optional"`
		URL         string `hcl:"url,optional"`
	} `hcl:"pack,block"`
	Integration *struct {
		Identifier string   `hcl:"identifier"`
		Flags      []string `hcl:"flags,optional"`
		Name       string   `hcl:"name,optional"`
	} `hcl:"integration,block"`
	Dependencies []struct {
		Name    string `hcl:"name,label"`
		Alias   string `hcl:"alias,optional"`
		Ref     string `hcl:"ref,optional"`
		Source  string `hcl:"source,optional"`
		Enabled *bool  `hcl:"enabled,optional"`
	} `hcl:"dependency,block"`
}

// load reads the pack in the directory name. A directory that is not there is
// fs.ErrNotExist.
func load(packs fs.FS, name string) (*pack, error) {
	if !fs.ValidPath(name) || strings.Contains(name, "/") {
		return nil, fs.ErrNotExist
	}
	if _, err := fs.Stat(packs, name); err != nil {
		return nil, err
	}
	p := &pack{name: name}
	if err := p.readMetadata(packs); err != nil {
		return nil, err
	}
	if err := p.readVariables(packs); err != nil {
		return nil, err
	}
	if err := p.readTemplates(packs); err != nil {
		return nil, err
	}
	return p, p.parseTemplates()
}

func (p *pack) readMetadata(packs fs.FS) error {
	parsed, err := p.readHCL(packs, "metadata.hcl")
	if err != nil {
		return err
	}
	if diags := gohcl.DecodeBody(parsed.Body, nil, &p.metadata); diags.HasErrors() {
		return place(diags)
	}
	for _, d := range p.metadata.Dependencies {
		if d.Enabled == nil || *d.Enabled {
			return fmt.Errorf("dependency %q: packs with dependencies are not supported", d.Name)
		}
	}
	return nil
}

func (p *pack) readHCL(packs fs.FS, name string) (*hcl.File, error) {
	full := path.Join(p.name, name)
	text, err := fs.ReadFile(packs, full)
	if err != nil {
		return nil, fmt.Errorf("the pack has no %s", name)
	}
	return parseHCL(withoutBOM(text), full)
}

func (p *pack) readTemplates(packs fs.FS) error {
	err := fs.WalkDir(packs, path.Join(p.name, "templates"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".tpl") {
			return nil
		}
		text, err := fs.ReadFile(packs, name)
		p.templates = append(p.templates, file{path: name, text: string(withoutBOM(text))})
		return err
	})
	if err != nil {
		return fmt.Errorf("read the pack's templates: %w", err)
	}
	if !slices.ContainsFunc(p.templates, file.job) {
		return fmt.Errorf("the pack has no templates/*.nomad.tpl")
	}
	return nil
}

func withoutBOM(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\ufeff")) }

// place returns the first diagnostic as file:line and its text.
func place(diags hcl.Diagnostics) error {
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		text := d.Summary
		if d.Detail != "" {
			text += ": " + strings.TrimSuffix(d.Detail, ".")
		}
		if d.Subject == nil {
			return fmt.Errorf("%s", text)
		}
		return fmt.Errorf("%s:%d: %s", d.Subject.Filename, d.Subject.Start.Line, text)
	}
	return diags
}
