package git

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one line of git's configuration, given in the environment.
type setting struct{ key, value string }

// inheritable are the variables of the worker that git may see: where its
// programs are, which certificates it trusts and through which proxy it goes.
var inheritable = []string{
	"PATH", "GIT_EXEC_PATH",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
	"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
}

// tolerated are defects of old commits that real repositories have and that
// harm nobody; every other defect that git knows ends the clone.
var tolerated = []string{
	"badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "missingEmail",
	"missingNameBeforeEmail", "missingSpaceBeforeDate", "missingSpaceBeforeEmail",
	"multipleAuthors", "zeroPaddedDate",
}

// inherit picks the variables that git may see out of an environment.
func inherit(environ []string) []string {
	var kept []string
	certificates, named := "", false
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !slices.Contains(inheritable, name) {
			continue
		}
		kept = append(kept, pair)
		if name == "SSL_CERT_FILE" {
			certificates = value
		}
		named = named || name == "GIT_SSL_CAINFO"
	}
	// The worker trusts SSL_CERT_FILE; git's HTTP library may not read it.
	if certificates != "" && !named {
		kept = append(kept, "GIT_SSL_CAINFO="+certificates)
	}
	return kept
}

// settings are all of the configuration that git runs with, but the token.
func (c *Client) settings(t target) []setting {
	list := []setting{
		{"protocol.allow", "never"},
		{"protocol." + t.base().Scheme + ".allow", "always"},
		// git sends an extra header to the host of a redirect too, from its
		// second request on. A move on the same host is followed by ask.
		{"http.followRedirects", "false"},
		{"http.lowSpeedLimit", "1000"},
		{"http.lowSpeedTime", strconv.Itoa(max(1, int(c.stall/time.Second)))},
		{"credential.helper", ""},
		{"transfer.credentialsInUrl", "die"},
		{"transfer.bundleURI", "false"},
		{"transfer.fsckObjects", "true"},
		{"submodule.recurse", "false"},
		{"core.hooksPath", "/dev/null"},
		{"core.fsmonitor", "false"},
		{"core.attributesFile", "/dev/null"},
		// Larger files are streamed, not held in memory.
		{"core.bigFileThreshold", "32m"},
		// The clone is thrown away; what a power cut leaves of it is nobody's loss.
		{"core.fsync", "none"},
		{"gc.auto", "0"},
		{"advice.detachedHead", "false"},
		{"log.showSignature", "false"},
		{"i18n.logOutputEncoding", "UTF-8"},
	}
	for _, defect := range tolerated {
		list = append(list, setting{"fetch.fsck." + defect, "ignore"})
	}
	return list
}

// environ is git's whole environment for a target; more comes on top of the settings.
func (c *Client) environ(t target, home string, more ...setting) []string {
	settings := append(c.settings(t), more...)
	env := append(slices.Clone(c.inherited),
		"HOME="+home,
		"LANG=C",
		// No .git above the work directory is looked at.
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(home),
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_ALLOW_PROTOCOL="+t.base().Scheme,
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ASKPASS=",
		"GIT_LFS_SKIP_SMUDGE=1",
		fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)),
	)
	env = append(env, c.sshEnviron(t)...)
	for i, s := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s.key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s.value))
	}
	return env
}
