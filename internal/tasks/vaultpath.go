package tasks

import (
	"regexp"
	"strings"
)

// vaultPath is two or more segments and, for KV v2, the version that is meant.
var vaultPath = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@:+=~-]*(/[A-Za-z0-9_][A-Za-z0-9_.@:+=~-]*)+(\?version=[0-9]+)?$`)

// VaultPath returns where a project's secret lies: a path of its own begins
// with kv/ or names a mount and data, any other is the project's. Builds and
// running jobs read there.
func VaultPath(project, secret string) string {
	secret = strings.TrimPrefix(secret, "/")
	if strings.HasPrefix(secret, "kv/") || strings.Contains(secret, "/data/") {
		return secret
	}
	return "kv/data/" + project + "/" + secret
}

// ValidVaultPath reports whether s can be asked of Vault as it stands: nothing
// in it leaves its mount or needs escaping. A version may follow it, as
// "?version=3".
func ValidVaultPath(s string) bool { return vaultPath.MatchString(s) }
