// Package vault reads the secrets that a build may see, from HashiCorp Vault or
// what speaks its HTTP API: AppRole login, KV version 1 and 2, and the token
// revoked at the end.
//
// A Client holds no session. Each Read logs in, reads and revokes by itself, so
// that no token outlives the stage that needed it. Which path a task means and
// which version lies there is decided in location.go, what an answer of Vault
// means in answer.go. Nothing here logs; what the build log hears names paths
// and keys, never a value, and no error holds a token or a secret id.
//
// vaulttest is the server that the tests ask in Vault's place.
package vault
