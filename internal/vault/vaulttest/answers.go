package vaulttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

func refusal(errors ...string) map[string]any {
	if errors == nil {
		errors = []string{}
	}
	return map[string]any{"errors": errors}
}

// envelope is what stands around nearly every answer.
func envelope(data, auth any) map[string]any {
	return map[string]any{
		"request_id": "00000000-0000-0000-0000-000000000000", "lease_id": "", "renewable": false, "lease_duration": 0,
		"data": data, "wrap_info": nil, "warnings": nil, "auth": auth,
	}
}

func (s *Server) health() (int, any) {
	body := map[string]any{
		"initialized": true, "sealed": s.sealed, "standby": s.sealed, "performance_standby": false,
		"replication_performance_mode": "disabled", "replication_dr_mode": "disabled",
		"server_time_utc": 0, "version": "1.14.0",
	}
	if s.sealed {
		body["replication_performance_mode"], body["replication_dr_mode"] = "unknown", "unknown"
		return http.StatusServiceUnavailable, body
	}
	body["cluster_name"], body["cluster_id"] = "vault-cluster", "00000000-0000-0000-0000-000000000000"
	return http.StatusOK, body
}

func (s *Server) login(r *http.Request) (int, any) {
	var body struct {
		RoleID   string `json:"role_id"`
		SecretID string `json:"secret_id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return http.StatusBadRequest, refusal("error parsing JSON")
	}
	role, known := s.roles[body.RoleID]
	switch {
	case !known:
		return http.StatusBadRequest, refusal("invalid role ID")
	case body.SecretID == "":
		return http.StatusBadRequest, refusal("missing secret_id")
	case body.SecretID != role.SecretID, role.SecretUses > 0 && s.logins[role.ID] >= role.SecretUses:
		return http.StatusInternalServerError, refusal("invalid secret id")
	}
	s.logins[role.ID]++
	s.next++
	name := fmt.Sprintf("hvs.token-%d-of-%s", s.next, role.ID)
	s.tokens[name] = &token{role: role}
	return http.StatusOK, envelope(nil, auth(name, role))
}

func auth(name string, role *Role) map[string]any {
	return map[string]any{
		"client_token": name, "accessor": "accessor", "policies": []string{"app", "default"},
		"token_policies": []string{"app", "default"}, "metadata": map[string]any{"role_name": "app"},
		"lease_duration": 600, "renewable": true, "entity_id": "00000000-0000-0000-0000-000000000000",
		"token_type": "service", "orphan": true, "mfa_requirement": nil, "num_uses": role.TokenUses,
	}
}

func lookup(name string, role *Role) map[string]any {
	return map[string]any{
		"accessor": "accessor", "creation_time": 0, "creation_ttl": 600, "display_name": "approle",
		"entity_id": "00000000-0000-0000-0000-000000000000", "expire_time": "2026-01-01T00:00:00Z", "explicit_max_ttl": 0,
		"id": name, "issue_time": "2026-01-01T00:00:00Z", "meta": map[string]any{"role_name": "app"},
		"num_uses": role.TokenUses, "orphan": true, "path": "auth/approle/login", "policies": []string{"app", "default"},
		"renewable": true, "ttl": 599, "type": "service",
	}
}

// preflight says which engine a path belongs to.
func (s *Server) preflight(caller *token, path string) (int, any) {
	mount, _, _ := strings.Cut(path, "/")
	version, known := s.mounts[mount]
	if !known || caller != nil && !caller.role.allows(path) {
		return http.StatusForbidden, refusal("preflight capability check returned 403, please ensure client's policies grant access to path \"" + path + "/\"")
	}
	return http.StatusOK, envelope(map[string]any{
		"accessor":           "accessor",
		"config":             map[string]any{"default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0},
		"deprecation_status": "supported", "description": "", "external_entropy_access": false, "local": false,
		"options": map[string]any{"version": fmt.Sprint(version)}, "path": mount + "/", "plugin_version": "",
		"running_plugin_version": "v0.15.0+builtin", "running_sha256": "", "seal_wrap": false, "type": "kv",
		"uuid": "00000000-0000-0000-0000-000000000000",
	}, nil)
}

// operate does what an operator asks for.
func (s *Server) operate(r *http.Request, path string) (int, any) {
	if path == "sys/seal" {
		s.sealed = true
		return http.StatusNoContent, nil
	}
	mount, isMount := strings.CutPrefix(path, "sys/mounts/")
	var body struct {
		Options struct {
			Version string `json:"version"`
		} `json:"options"`
	}
	if !isMount || json.NewDecoder(r.Body).Decode(&body) != nil {
		return http.StatusNotFound, refusal()
	}
	s.mounts[mount] = 1
	if body.Options.Version == "2" {
		s.mounts[mount] = 2
	}
	return http.StatusNoContent, nil
}

func (s *Server) read(path string) (int, any) {
	mount, rest, _ := strings.Cut(path, "/")
	version, known := s.mounts[mount]
	if !known {
		return http.StatusNotFound, refusal(fmt.Sprintf("no handler for route %q. route entry not found.", path))
	}
	if version == 1 {
		stored, found := s.secrets[path]
		if !found {
			return http.StatusNotFound, refusal()
		}
		answer := envelope(stored.data, nil)
		answer["lease_duration"] = 2764800
		return http.StatusOK, answer
	}
	name, versioned := strings.CutPrefix(rest, "data/")
	if !versioned {
		answer := envelope(nil, nil)
		answer["warnings"] = []string{"Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If using the Vault CLI, use 'vault kv get' for this operation."}
		return http.StatusNotFound, answer
	}
	stored, found := s.secrets[mount+"/"+name]
	if !found {
		return http.StatusNotFound, refusal()
	}
	return stored.versioned()
}

// versioned is a secret of KV version 2 with its metadata.
func (v secret) versioned() (int, any) {
	metadata := versionOne()
	if v.deleted {
		metadata["deletion_time"] = "2026-01-01T00:00:01Z"
		return http.StatusNotFound, envelope(map[string]any{"data": nil, "metadata": metadata}, nil)
	}
	return http.StatusOK, envelope(map[string]any{"data": v.data, "metadata": metadata}, nil)
}

func versionOne() map[string]any {
	return map[string]any{
		"created_time": "2026-01-01T00:00:00Z", "custom_metadata": nil, "deletion_time": "", "destroyed": false, "version": 1,
	}
}

func (s *Server) write(r *http.Request, path string) (int, any) {
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return http.StatusBadRequest, refusal("error parsing JSON")
	}
	mount, rest, _ := strings.Cut(path, "/")
	if s.mounts[mount] == 1 {
		s.secrets[path] = secret{data: body}
		return http.StatusNoContent, nil
	}
	data, _ := body["data"].(map[string]any)
	s.secrets[mount+"/"+strings.TrimPrefix(rest, "data/")] = secret{data: data}
	return http.StatusOK, envelope(versionOne(), nil)
}
