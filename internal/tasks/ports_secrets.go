package tasks

import "context"

// SecretQuery asks for the secrets that a build may see.
type SecretQuery struct {
	// Address is the task's Vault; empty takes the environment's.
	Address string
	// RoleID and SecretID log in by AppRole; where both are empty, the
	// environment's token reads at the environment's address alone.
	RoleID   string
	SecretID Secret
	// Project is whose secrets a path is about that names no mount (VaultPath).
	Project string
	// Paths are read in this order; where two give one name, the later holds, as
	// it does in the environment of the running job.
	Paths []SecretPath
}

// SecretPath is one secret and how its keys are called.
type SecretPath struct {
	// Path is as the task wrote it, with or without the "kv/data/" in front.
	Path string
	// Prefix is put before each key.
	Prefix string
	// KV is true where the path is in KV version 2 and false where it is in
	// version 1; nil where the task does not say.
	KV *Bool
	// Optional is true where the task did not name the path: that nothing lies
	// there is no failure.
	Optional bool
}

// SecretStore reads secrets. Errors are *Failure with a secrets_… reason whose
// message names the path, and the policy where one is missing. What it writes
// into the log names paths and keys, never a value. A task without a role for
// whose address there is no token gets no secrets and no error.
type SecretStore interface {
	Read(ctx context.Context, query SecretQuery, rep Reporter) (map[string]Secret, error)
}
