package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// maxSecrets is the most that all secrets of a build have together: each of
// their lines is looked for in all that is said.
const maxSecrets = 1 << 20

func sizeOf(secrets map[string]Secret) (total int) {
	for name, value := range secrets {
		total += len(name) + len(value.Reveal())
	}
	return total
}

// readSecrets fetches what the build may see. A second try asks again.
func (h *Handler) readSecrets(ctx context.Context, r *run) error {
	if h.parts.Secrets == nil && r.hidesAgain() {
		return nil
	}
	if h.parts.Secrets == nil {
		return Fail(ReasonUnsupported, "this worker reads no secrets for builds", nil)
	}
	d := r.task.Deploy
	secrets, err := h.parts.Secrets.Read(ctx, SecretQuery{
		Address: d.VaultAddress, RoleID: d.RoleID, SecretID: d.SecretID, Project: d.ProjectID, Paths: r.secretPaths(),
	}, r.rep)
	if err != nil && r.hidesAgain() {
		r.say("secrets: they could not be read again, so they are not hidden in what follows: %s", AsFailure(err).Message)
		return nil
	}
	if err != nil {
		return err
	}
	if total := sizeOf(secrets); total > maxSecrets {
		return Fail(ReasonSecretsInvalid, fmt.Sprintf("the build's secrets have %d bytes, at most %d are taken", total, maxSecrets), nil)
	}
	r.hide(secrets)
	r.secrets = secrets
	if len(secrets) > 0 {
		r.link(d.VaultLinkedSecrets)
	}
	return nil
}

// hidesAgain reports whether an earlier attempt has built the image: its secrets
// are wanted only to hide them in what the app says, and one that cannot be read
// any more (an id may be good for one login) stops nothing.
func (r *run) hidesAgain() bool {
	return r.task.Deploy != nil && r.task.Kind.FromRepository() && r.plan.Builder != BuilderNoop &&
		r.at.Redactor != nil && (r.hasImage() || r.hasJob())
}

// secretPaths are what a build's secrets are read from, in the order in which
// the running job takes them: the service's own, those it shares, the linked
// ones. Without a role, and without a token of the environment, a build has no
// way to its secrets; the running job may have one.
func (r *run) secretPaths() []SecretPath {
	d := r.task.Deploy
	if d.RoleID == "" && !d.SecretID.Set() && !r.secretsByToken {
		return nil
	}
	paths := ownSecret(d)
	if d.SharedSecretPath != "" {
		paths = append(paths, SecretPath{Path: d.SharedSecretPath, KV: d.OwnerUsesKVEngine})
	}
	for _, linked := range d.VaultLinkedSecretPaths {
		paths = append(paths, SecretPath{Path: linked.SecretPath, Prefix: linked.Prefix, KV: d.UsesKVEngine})
	}
	return paths
}

// ownSecret is the service's secret: the named one, or the one of its id where
// the task says that it has any.
func ownSecret(d *Deploy) []SecretPath {
	switch {
	case d.SecretsPath != "":
		return []SecretPath{{Path: d.SecretsPath, KV: d.UsesKVEngine}}
	case d.UsesKVEngine != nil && bool(*d.UsesKVEngine):
		return []SecretPath{{Path: d.ServiceID, KV: d.UsesKVEngine, Optional: true}}
	default:
		return nil
	}
}

// link adds the secrets that are made from others. Like in a shell, a later one
// may use an earlier one.
func (r *run) link(linked []LinkedSecret) {
	made := map[string]Secret{}
	for _, l := range linked {
		if !ValidSecretName(l.Secret) {
			r.say("secrets: %q is no name for a variable; it is left out of the build", l.Secret)
			continue
		}
		value, unknown := expandSecret(l.Template, r.secrets)
		for _, name := range unknown {
			r.say("secrets: the template of %s names %s, which the build does not have; it stays as it is", l.Secret, name)
		}
		r.secrets[l.Secret] = value
		made[l.Secret] = value
	}
	r.hide(made)
}

// hide keeps what was read out of everything that is said from now on. A value
// that is JSON is hidden in its parts too.
func (r *run) hide(secrets map[string]Secret) {
	if r.at.Redactor == nil {
		return
	}
	var texts []string
	for _, value := range secrets {
		texts = append(texts, hiddenTexts(value.Reveal())...)
	}
	slices.Sort(texts)
	r.at.Redactor.Add(slices.Compact(texts)...)
}

// hiddenTexts are what must not be seen of one value: a word of JSON is no
// secret, and hiding it would blank out half of a log.
func hiddenTexts(value string) []string {
	switch value {
	case "true", "false", "null":
		return nil
	}
	texts := []string{value}
	var parts any
	if json.Unmarshal([]byte(value), &parts) == nil {
		texts = appendStrings(texts, parts)
	}
	return texts
}

func appendStrings(texts []string, part any) []string {
	switch v := part.(type) {
	case string:
		return append(texts, v)
	case []any:
		for _, item := range v {
			texts = appendStrings(texts, item)
		}
	case map[string]any:
		for _, item := range v {
			texts = appendStrings(texts, item)
		}
	}
	return texts
}
