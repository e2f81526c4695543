package tasks

import (
	"regexp"
	"slices"
	"strings"
)

var (
	secretName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
	secretInUse = regexp.MustCompile(`\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_.]*)\})`)
)

// ValidSecretName reports whether a key of a secret can be the name of a
// variable, in a build as in the running job.
func ValidSecretName(s string) bool { return secretName.MatchString(s) }

// expandSecret fills $NAME and ${NAME} of a template from the secrets alone.
// Names that are not among them stay as they are and are returned, each once.
// A pair of double quotes around the whole is the shell's, which reads the same
// template in the running job, and is left out; nothing else of a shell is
// done.
func expandSecret(template string, secrets map[string]Secret) (value Secret, unknown []string) {
	if n := len(template); n > 1 && template[0] == '"' && template[n-1] == '"' {
		template = template[1 : n-1]
	}
	text := secretInUse.ReplaceAllStringFunc(template, func(use string) string {
		name := strings.Trim(use, "${}")
		if known, ok := secrets[name]; ok {
			return known.Reveal()
		}
		if !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
		return use
	})
	return Secret(text), unknown
}
