package service

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dispatchd/dispatchd/internal/hcl"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// DefaultProject is the file of a local project where none is named.
const DefaultProject = "cloudstation.hcl"

// defaultTag is the tag of a new project's image.
const defaultTag = "latest"

// projectHead stands at the top of a new cloudstation.hcl.
const projectHead = `# How the app is built, pushed and deployed. ` + "`dispatchd up`" + ` does all three,
# ` + "`dispatchd validate`" + ` checks this file. Secrets come from the environment.

`

// NewProject says what the files of a new local project hold.
type NewProject struct {
	// File is the path of its cloudstation.hcl.
	File string
	// Name is the app's, its image's and its job's.
	Name string
	// Builder is one of the Builder constants but BuilderDetect.
	Builder    string
	Dockerfile string
	// Registry is the host[/namespace] that the image is pushed to.
	Registry string
	// Ports are written into the variables; none leaves them to the image.
	Ports        []tasks.Port
	NomadAddress string
	// Force overwrites files that exist.
	Force bool
}

// VariablesFile is the path of the project's variables: vars.hcl, or
// NAME.vars.hcl beside a file of another name.
func (n NewProject) VariablesFile() string {
	name := "vars.hcl"
	if base := filepath.Base(n.File); base != DefaultProject {
		name = strings.TrimSuffix(base, filepath.Ext(base)) + ".vars.hcl"
	}
	return filepath.Join(filepath.Dir(n.File), name)
}

// Write writes both files, or none where one of them cannot be written, holds
// what would not be valid, or exists and Force is not set.
func (n NewProject) Write() error {
	project, variables, err := n.texts()
	if err != nil {
		return err
	}
	for _, file := range []string{n.File, n.VariablesFile()} {
		if _, err := os.Lstat(file); err == nil && !n.Force {
			return fmt.Errorf("%s exists already: --force overwrites it", file)
		}
	}
	undo, err := n.write(n.File, project)
	if err != nil {
		return err
	}
	if _, err := n.write(n.VariablesFile(), variables); err != nil {
		return errors.Join(err, undo())
	}
	return nil
}

// write writes one file and returns what puts back what was there.
func (n NewProject) write(file string, text []byte) (undo func() error, err error) {
	before, err := os.ReadFile(file)
	switch {
	case err == nil:
		undo = func() error { return os.WriteFile(file, before, 0o644) }
	case errors.Is(err, fs.ErrNotExist):
		undo = func() error { return os.Remove(file) }
	default:
		return nil, fmt.Errorf("write %s: %s", file, reasonOf(err))
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !n.Force {
		flags |= os.O_EXCL
	}
	opened, err := os.OpenFile(file, flags, 0o644)
	if err != nil {
		return nil, fmt.Errorf("write %s: %s", file, reasonOf(err))
	}
	_, err = opened.Write(text)
	if err = errors.Join(err, opened.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", file, err), undo())
	}
	return undo, nil
}

// texts generates the files as the service does, and reads them back.
func (n NewProject) texts() (project, variables []byte, err error) {
	plan := tasks.Plan{
		Builder: n.Builder, ImageName: n.image(), ImageTag: defaultTag, Push: n.Builder != tasks.BuilderNoop,
		VariableFiles: []tasks.VariableFile{{Name: filepath.Base(n.VariablesFile())}},
		Deploy: &tasks.Deploy{
			JobID: n.Name, ImageName: n.Name, ImageTag: defaultTag, Deployer: tasks.DeployerNomadPack,
			NomadAddress: n.NomadAddress, Build: tasks.Build{DockerfilePath: n.Dockerfile},
		},
	}
	generator := hcl.Generator{}
	text, err := generator.Project(plan)
	if err != nil {
		return nil, nil, err
	}
	project = bytes.Join([][]byte{[]byte(projectHead), text}, nil)
	if problems := generator.ReadProject(n.File, project).Problems; len(problems) > 0 {
		return nil, nil, fmt.Errorf("such a project would not be valid: %s", problems[0].Text)
	}
	variables, err = generator.Starter(n.Builder, n.Ports)
	return project, variables, err
}

func (n NewProject) image() string {
	if n.Registry == "" {
		return n.Name
	}
	return strings.TrimRight(n.Registry, "/") + "/" + n.Name
}
