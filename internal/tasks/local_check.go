package tasks

import "strings"

// Problems reports what is wrong with the values of a project that a person
// wrote, by the path of the attribute ("build.name", "deploy.nomad_addr"). What
// the parser has refused already is not looked at again.
func (p Project) Problems() []Problem {
	var c projectCheck
	c.text("deploy.deployment_name", p.Deploy.DeploymentName, jobIDProblem)
	c.text("build.name", p.Build.Name, imageNameProblem)
	c.text("build.tag", p.Build.Tag, imageTagProblem)
	c.text("build.context", p.Build.Context, sourcePathProblem)
	c.text("build.dockerfile", p.Build.Dockerfile, sourcePathProblem)
	c.address("build.vault_address", p.Build.VaultAddress)
	if p.Registry != nil {
		c.text("registry.image", p.Registry.Image, imageNameProblem)
		c.text("registry.tag", p.Registry.Tag, imageTagProblem)
	}
	c.address("deploy.nomad_addr", p.Deploy.NomadAddress)
	return c
}

// sourcePathProblem judges a path whose leading slash means the project's
// directory, as it does to the builder.
func sourcePathProblem(path string) (string, bool) {
	return pathProblem(strings.TrimLeft(path, "/"))
}

// projectCheck collects the problems of one project.
type projectCheck []Problem

func (c *projectCheck) text(path, value string, check textCheck) {
	problem, show := check(value)
	switch {
	case value == "":
		*c = append(*c, Problem{Path: path, Text: "is empty"})
	case problem != "" && show:
		*c = append(*c, Problem{Path: path, Text: quoted(value).String() + " " + problem})
	case problem != "":
		*c = append(*c, Problem{Path: path, Text: problem})
	}
}

// address judges one that may be left out.
func (c *projectCheck) address(path, value string) {
	if value == "" {
		return
	}
	if problem := urlProblem(value); problem != "" {
		*c = append(*c, Problem{Path: path, Text: problem})
	}
}

// ImageNameFor returns an image's name that is near to a text: lower case, with
// - in place of what a name may not hold; empty where nothing is left. It is a
// job's id and a service's name too.
func ImageNameFor(text string) string {
	name := make([]byte, 0, len(text))
	for _, r := range text {
		switch {
		case r >= 'A' && r <= 'Z':
			name = append(name, byte(r-'A'+'a'))
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			name = append(name, byte(r))
		case len(name) > 0 && name[len(name)-1] != '-':
			name = append(name, '-')
		}
	}
	for len(name) > 0 && (name[len(name)-1] == '-' || len(name) > maxLocalName) {
		name = name[:len(name)-1]
	}
	return string(name)
}

// maxLocalName leaves room in a service's name of 63 characters for its port.
const maxLocalName = 50
