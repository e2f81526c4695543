package tasks

import "context"

// readSecrets fetches what the build may see. A second try asks again.
func (h *Handler) readSecrets(ctx context.Context, r *run) error {
	if h.parts.Secrets == nil {
		return Fail(ReasonUnsupported, "this worker reads no secrets for builds", nil)
	}
	d := r.task.Deploy
	secrets, err := h.parts.Secrets.Read(ctx, SecretQuery{
		Address: d.VaultAddress, RoleID: d.RoleID, SecretID: d.SecretID, Paths: secretPaths(d),
	}, r.rep)
	r.secrets = secrets
	return err
}

// secretPaths are what a build's secrets are read from: the service's own
// first, then those it shares, then the linked ones. A task that names no
// role leaves its secrets to the running job.
func secretPaths(d *Deploy) []SecretPath {
	if d.RoleID == "" {
		return nil
	}
	var paths []SecretPath
	for _, path := range []string{d.SecretsPath, d.SharedSecretPath} {
		if path != "" {
			paths = append(paths, SecretPath{Path: path})
		}
	}
	for _, linked := range d.VaultLinkedSecretPaths {
		paths = append(paths, SecretPath{Path: linked.SecretPath, Prefix: linked.Prefix})
	}
	return paths
}
