package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// longestService is what Nomad and Consul allow for the name of a service.
const longestService = 63

var notInService = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// serviceName returns <base>-<port>. The base of a task that names no service
// is its job, whose name may hold what a service's may not: that is replaced,
// and the name is made different again by a part of its hash.
func serviceName(service, job string, port int) string {
	if service != "" {
		return fmt.Sprintf("%s-%d", service, port)
	}
	suffix := fmt.Sprintf("-%d", port)
	base := strings.Trim(notInService.ReplaceAllString(job, "-"), "-")
	if base == job && len(base)+len(suffix) <= longestService {
		return base + suffix
	}
	sum := sha256.Sum256([]byte(job))
	suffix = "-" + hex.EncodeToString(sum[:4]) + suffix
	if room := longestService - len(suffix); len(base) > room {
		base = strings.TrimRight(base[:room], "-")
	}
	return strings.TrimLeft(base+suffix, "-")
}

// inContainer says where a file that the app finds at /<path> is written: in
// the task's own directories where it lies there, else in a directory of ours
// that is mounted to its place.
func inContainer(what, file, ours string) (map[string]any, error) {
	clean := path.Clean("/" + file)
	if clean == "/" || strings.HasSuffix(file, "/") || strings.ContainsRune(file, 0) || hasParent(file) {
		return nil, refuse("%s %s is not the path of a file", what, shown(file))
	}
	relative := strings.TrimPrefix(clean, "/")
	for _, dir := range []string{"local/", "secrets/"} {
		if strings.HasPrefix(relative, dir) {
			return map[string]any{"destination": relative, "mount": ""}, nil
		}
	}
	return map[string]any{"destination": ours, "mount": clean}, nil
}

func hasParent(file string) bool {
	for _, part := range strings.Split(file, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}
