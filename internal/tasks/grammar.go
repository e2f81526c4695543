package tasks

import (
	"regexp"
	"strings"
	"unicode"
)

// Lengths that the systems behind us allow.
const (
	maxJobID      = 128
	maxImageName  = 255
	maxBranch     = 244
	maxRepository = 255
)

// The parts of an image reference, after the grammar of the OCI distribution.
var (
	imageHost = regexp.MustCompile(`^(localhost|([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(\.([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(:[0-9]{1,5})?$`)
	imagePart = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
	imageTag  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// jobIDProblem: Nomad takes any text without spaces. We also refuse what reads
// as an option on a command line.
func jobIDProblem(id string) (string, bool) {
	switch {
	case len(id) > maxJobID:
		return "must have 128 bytes at most", true
	case strings.ContainsFunc(id, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return "must not hold spaces or control characters", true
	case strings.HasPrefix(id, "-"):
		return `must not begin with "-"`, true
	}
	return "", true
}

// imageNameProblem judges [host[:port]/]part{/part} without tag and digest.
func imageNameProblem(name string) (string, bool) {
	if carriesAddress(name) {
		return "must be an image's name without scheme, user, tag and digest", false
	}
	if len(name) > maxImageName {
		return "must have 255 bytes at most", true
	}
	parts := strings.Split(name, "/")
	if len(parts) > 1 && isImageHost(parts[0]) {
		if !imageHost.MatchString(parts[0]) {
			return "must begin with a registry's host", true
		}
		parts = parts[1:]
	}
	for _, part := range parts {
		if !imagePart.MatchString(part) {
			return "must be an image's name in lower case without tag and digest", true
		}
	}
	return "", true
}

// isImageHost reports whether the first part of a name is a registry and not a
// namespace of the default one.
func isImageHost(part string) bool {
	return part == "localhost" || strings.ContainsAny(part, ".:") || strings.ToLower(part) != part
}

func imageTagProblem(tag string) (string, bool) {
	if !imageTag.MatchString(tag) {
		return "must be an image's tag", true
	}
	return "", true
}

// repositoryProblem judges owner/name, with subgroups at GitLab alone.
func repositoryProblem(provider string) textCheck {
	return func(repository string) (string, bool) {
		if carriesAddress(repository) {
			return "expected owner/name, not an address", false
		}
		parts := strings.Split(repository, "/")
		if len(parts) < 2 || len(parts) > 2 && provider != "gitlab" || len(repository) > maxRepository {
			return "expected owner/name", true
		}
		for _, part := range parts {
			if !isRepositoryPart(part) {
				return "expected owner/name of letters, digits, dots, - and _", true
			}
		}
		if strings.HasSuffix(repository, ".git") {
			return "expected owner/name without .git", true
		}
		return "", true
	}
}

func isRepositoryPart(part string) bool {
	return strings.Trim(part, ".") != "" && part[0] != '-' && madeOf(part, tokenChars+".")
}

// branchProblem judges a branch or tag by git's rules for the names of refs,
// and refuses what reads as an option.
func branchProblem(branch string) (string, bool) {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r) }
	switch {
	case len(branch) > maxBranch:
		return "must have 244 bytes at most", true
	case strings.HasPrefix(branch, "-"):
		return `must not begin with "-"`, true
	case strings.ContainsFunc(branch, bad):
		return `must not hold spaces, control characters or any of ~^:?*[\`, true
	case branch == "@" || strings.Contains(branch, "@{") || strings.Contains(branch, "..") || strings.HasSuffix(branch, "."):
		return "must be a branch or tag that git allows", true
	}
	for part := range strings.SplitSeq(branch, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return "must be a branch or tag that git allows", true
		}
	}
	return "", true
}

// pathProblem judges a path inside the source tree. Symbolic links are for
// those who open it.
func pathProblem(path string) (string, bool) {
	switch {
	case strings.HasPrefix(path, "/"):
		return "must be relative to the repository's root", true
	case strings.Contains(path, `\`) || strings.ContainsFunc(path, unicode.IsControl):
		return "must not hold backslashes or control characters", true
	}
	return mountProblem(path)
}

// mountProblem judges a path inside the app's file system.
func mountProblem(path string) (string, bool) {
	if strings.ContainsRune(path, 0) {
		return "must not hold a NUL", true
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return `must not hold ".."`, true
		}
	}
	return "", true
}
