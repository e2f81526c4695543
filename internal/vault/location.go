package vault

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

var prefixName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// location is where one secret may lie.
type location struct {
	// paths are asked in this order; the first that holds the secret is it.
	paths []string
	// version is the version of a KV v2 secret; empty is the newest.
	version  string
	prefix   string
	optional bool
}

// locate turns a task's paths into Vault's, before anything is asked.
func locate(q tasks.SecretQuery) ([]location, error) {
	places := make([]location, 0, len(q.Paths))
	for _, p := range q.Paths {
		place, err := locateOne(q.Project, p)
		if err != nil {
			return nil, err
		}
		places = append(places, place)
	}
	return places, nil
}

func locateOne(project string, p tasks.SecretPath) (location, error) {
	path := tasks.VaultPath(project, p.Path)
	relative := path != strings.TrimPrefix(p.Path, "/")
	switch {
	case relative && project == "":
		return location{}, invalid("the secret %q is the project's, but the task names no project", p.Path)
	case !tasks.ValidVaultPath(path):
		return location{}, invalid("%q is not a path in Vault", path)
	case p.Prefix != "" && !prefixName.MatchString(p.Prefix):
		return location{}, invalid("the prefix %q of %s is not a name of letters, digits and _", p.Prefix, path)
	}
	path, version, _ := strings.Cut(path, "?version=")
	place := location{version: version, prefix: p.Prefix, optional: p.Optional, paths: bothVersions(path)}
	if old := p.KV != nil && !bool(*p.KV); old && (relative || !strings.Contains(path, "/data/")) {
		place.paths[0], place.paths[1] = place.paths[1], place.paths[0]
	}
	if p.KV != nil && !bool(*p.KV) && relative {
		// A project whose secrets are not in the shared engine may have its own.
		place.paths = append(place.paths, project+"/data/"+strings.TrimPrefix(path, "kv/data/"+project+"/"))
	}
	return place, nil
}

// bothVersions returns the path as KV v2 and as KV v1 has it.
func bothVersions(path string) []string {
	if mount, rest, found := strings.Cut(path, "/data/"); found {
		return []string{path, mount + "/" + rest}
	}
	mount, rest, _ := strings.Cut(path, "/")
	return []string{mount + "/data/" + rest, path}
}

func invalid(format string, args ...any) error {
	return tasks.Fail(tasks.ReasonSecretsInvalid, "secrets: "+fmt.Sprintf(format, args...), nil)
}
