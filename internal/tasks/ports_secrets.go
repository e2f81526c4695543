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
	// Paths are read in this order; a name that an earlier path has given stays.
	Paths []SecretPath
}

// SecretPath is one secret and how its keys are called.
type SecretPath struct {
	// Path is as the task wrote it, with or without the "kv/data/" in front.
	Path string
	// Prefix is put before each key.
	Prefix string
}

// SecretStore reads secrets. Errors are *Failure with a secrets_… reason whose
// message names the path, and the policy where one is missing.
type SecretStore interface {
	Read(ctx context.Context, query SecretQuery, rep Reporter) (map[string]Secret, error)
}
