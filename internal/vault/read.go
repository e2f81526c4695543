package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// readAll reads place after place into one set of names.
func (s *session) readAll(ctx context.Context, places []location, rep tasks.Reporter) (map[string]tasks.Secret, error) {
	all := map[string]tasks.Secret{}
	for _, place := range places {
		path, data, err := s.find(ctx, place)
		if err != nil {
			if place.optional && tasks.AsFailure(err).Reason == tasks.ReasonSecretsNotFound {
				say(rep, "nothing lies at %s; the build goes on without", place.paths[0])
				continue
			}
			return nil, err
		}
		say(rep, "read %d from %s", s.take(all, place.prefix, data, rep), path)
	}
	return all, nil
}

// say writes one line; a build log never fails a task.
func say(rep tasks.Reporter, format string, args ...any) {
	_, _ = fmt.Fprintf(rep.Stdout(), "secrets: "+format+"\n", args...)
}

// take adds a secret's keys and returns how many can be names of variables.
func (s *session) take(all map[string]tasks.Secret, prefix string, data map[string]json.RawMessage, rep tasks.Reporter) int {
	taken := 0
	keys := make([]string, 0, len(data))
	for key := range data {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !tasks.ValidSecretName(key) {
			say(rep, "the key %q is no name for a variable and is left out", key)
			continue
		}
		all[prefix+key] = textOf(data[key])
		taken++
	}
	return taken
}

// textOf returns a text as it is and any other value as JSON.
func textOf(value json.RawMessage) tasks.Secret {
	var text string
	if len(value) > 0 && value[0] == '"' && json.Unmarshal(value, &text) == nil {
		return tasks.Secret(text)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return tasks.Secret(value)
	}
	return tasks.Secret(compact.String())
}

// find asks for the secret at each of its places. That nothing lies at one that
// we may see says more than that another is denied.
func (s *session) find(ctx context.Context, place location) (string, map[string]json.RawMessage, error) {
	var denied, absent error
	for _, path := range place.paths {
		data, refused, err := s.read(ctx, path, place.version)
		switch {
		case err != nil:
			return "", nil, err
		case refused == nil:
			return path, data, nil
		case refused.Reason == tasks.ReasonSecretsDenied && denied == nil:
			denied = refused
		case refused.Reason == tasks.ReasonSecretsNotFound && absent == nil:
			absent = refused
		}
		if s.limit > 0 && s.used >= s.limit {
			break
		}
	}
	switch {
	case absent != nil:
		return "", nil, absent
	case denied != nil:
		return "", nil, denied
	default:
		return "", nil, s.absent(place.paths[0], "nothing lies there")
	}
}

// read reads one path. It is refused where nothing lies there or we may not see
// it; refused without a reason where the path is not how this engine is asked.
func (s *session) read(ctx context.Context, path, version string) (data map[string]json.RawMessage, refused *tasks.Failure, err error) {
	if s.limit > 0 && s.used >= s.limit {
		return nil, nil, s.usedUp(path)
	}
	r := request{what: "read " + path, method: http.MethodGet, path: path}
	if version != "" && strings.Contains(path, "/data/") {
		r.query = url.Values{"version": {version}}
	}
	a, err := s.patiently(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	switch a.status {
	case http.StatusOK:
		return s.secretIn(path, a)
	case http.StatusForbidden:
		return nil, s.denied(path, a), nil
	case http.StatusNotFound:
		return nil, s.missing(path, a), nil
	default:
		return nil, nil, s.fail(tasks.ReasonSecretsBroken, r.what, fmt.Sprintf("status %d%s", a.status, s.quote(a.Errors)), nil)
	}
}

// secretIn takes the secret out of an answer. KV v2 wraps it and says so by the
// metadata beside it.
func (s *session) secretIn(path string, a answer) (map[string]json.RawMessage, *tasks.Failure, error) {
	var data map[string]json.RawMessage
	if json.Unmarshal(a.Data, &data) != nil {
		return nil, nil, s.fail(tasks.ReasonSecretsBroken, "read "+path, "the answer holds no secret", nil)
	}
	if versioned(data) {
		var inner map[string]json.RawMessage
		if json.Unmarshal(data["data"], &inner) != nil {
			return nil, nil, s.fail(tasks.ReasonSecretsBroken, "read "+path, "the answer holds no secret", nil)
		}
		data = inner
	}
	if data == nil {
		return nil, s.absent(path, "nothing lies there"), nil
	}
	return data, nil, nil
}

func versioned(data map[string]json.RawMessage) bool {
	var metadata struct {
		Version int    `json:"version"`
		Created string `json:"created_time"`
	}
	wrapped := bytes.HasPrefix(data["data"], []byte("{")) || string(data["data"]) == "null"
	return wrapped && json.Unmarshal(data["metadata"], &metadata) == nil && metadata.Version > 0 && metadata.Created != ""
}

// missing explains a 404.
func (s *session) missing(path string, a answer) *tasks.Failure {
	for _, warning := range a.Warnings {
		if strings.Contains(warning, "versioned K/V") {
			return &tasks.Failure{}
		}
	}
	var data map[string]json.RawMessage
	if json.Unmarshal(a.Data, &data) == nil && versioned(data) {
		return s.absent(path, "this version was deleted")
	}
	return s.absent(path, "nothing lies there")
}

func (s *session) absent(path, why string) *tasks.Failure {
	return s.fail(tasks.ReasonSecretsNotFound, "read "+path, why, nil)
}

// denied names the policy that would allow the read.
func (s *session) denied(path string, a answer) *tasks.Failure {
	who := "the token has expired, or"
	if s.byRole {
		who = "the role"
	}
	why := fmt.Sprintf("permission denied: %s needs a policy with path %q { capabilities = [\"read\"] }", who, path)
	return s.fail(tasks.ReasonSecretsDenied, "read "+path, why, fmt.Errorf("status %d%s", a.status, s.quote(a.Errors)))
}

func (s *session) usedUp(path string) *tasks.Failure {
	why := fmt.Sprintf("the role's tokens are good for %d requests, and these secrets take more: raise its token_num_uses", s.limit)
	return s.fail(tasks.ReasonSecretsDenied, "read "+path, why, nil)
}
