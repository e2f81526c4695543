package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// Validate reports everything that is wrong, one problem a line, each with the
// variable's name and what is allowed. That NATS_SERVERS is set is not checked:
// only the commands that connect need it, and their connection says so.
func (c Config) Validate() error { return errors.Join(c.problems()...) }

func (c Config) problems() []error {
	return slices.Concat(c.NATS.problems(), c.Worker.problems(), c.Log.problems(), c.Git.problems(),
		c.Upload.problems(), c.Pack.problems(),
		c.Registry.problems(), c.addressProblems(), []error{c.Traces.Settings().Validate()})
}

var (
	token    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	subject  = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	registry = regexp.MustCompile(`^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?$`)
	imageDir = regexp.MustCompile(`^[a-z0-9._-]+(/[a-z0-9._-]+)*$`)
)

func (n NATS) problems() []error {
	var p problems
	p.check(n.StreamPrefix == "" || subject.MatchString(n.StreamPrefix), "NATS_STREAM_PREFIX", n.StreamPrefix,
		"letters, digits, _ and -, with single dots between them")
	p.check(subject.MatchString(n.SubjectRoot), "DISPATCHD_SUBJECT_ROOT", n.SubjectRoot,
		"letters, digits, _ and -, with single dots between them")
	p.check(slices.Contains([]int{1, 3, 5}, n.StreamReplicas), "DISPATCHD_STREAM_REPLICAS", n.StreamReplicas, "1, 3 or 5")
	p.check(n.ConnectTimeout > 0, "DISPATCHD_NATS_CONNECT_TIMEOUT", n.ConnectTimeout, "more than 0s")
	p.check(n.Cert == "" || n.Key != "", "DISPATCHD_NATS_KEY", n.Key, "the key's file, since DISPATCHD_NATS_CERT is set")
	p.check(n.Key == "" || n.Cert != "", "DISPATCHD_NATS_CERT", n.Cert, "the certificate's file, since DISPATCHD_NATS_KEY is set")
	p.check(n.Creds == "" || !n.PrivateKey.Set(), "DISPATCHD_NATS_CREDS", n.Creds,
		"either this or NATS_CLIENT_PRIVATE_KEY, not both")
	return p
}

func (w Worker) problems() []error {
	var p problems
	p.check(token.MatchString(w.ID), "DISPATCHD_WORKER_ID", w.ID, "1 to 128 letters, digits, _ and -")
	p.check(w.Slots >= 1 && w.Slots <= 1000, "DISPATCHD_SLOTS", w.Slots, "1 to 1000")
	p.check(w.TaskTimeout >= time.Second, "DISPATCHD_TASK_TIMEOUT", w.TaskTimeout, "at least 1s")
	p.check(w.DrainTimeout >= 0, "DISPATCHD_DRAIN_TIMEOUT", w.DrainTimeout, "0s or more")
	for _, pattern := range w.Supersede {
		_, err := path.Match(pattern, "")
		p.check(err == nil && pattern != "", "DISPATCHD_SUPERSEDE", pattern, "names of jobs, with * for any text")
	}
	p.check(filepath.IsAbs(w.WorkDir), "DISPATCHD_WORK_DIR", w.WorkDir, "an absolute path")
	return p
}

func (l Log) problems() []error {
	var p problems
	p.check(slices.Contains([]string{"debug", "info", "warn", "error"}, l.Level), "DISPATCHD_LOG_LEVEL", l.Level,
		"debug, info, warn or error")
	p.check(slices.Contains([]string{"json", "console"}, l.Format), "DISPATCHD_LOG_FORMAT", l.Format, "json or console")
	return p
}

func (g Git) problems() []error {
	var p problems
	const want = "the base URL of a git server, http or https, without user and query"
	p.check(isBase(g.GitHubURL, "http", "https"), "DISPATCHD_GITHUB_URL", redact.URL(g.GitHubURL), want)
	p.check(isBase(g.GitLabURL, "http", "https"), "DISPATCHD_GITLAB_URL", redact.URL(g.GitLabURL), want)
	p.check(isBase(g.BitbucketURL, "http", "https"), "DISPATCHD_BITBUCKET_URL", redact.URL(g.BitbucketURL), want)
	const wantSSH = "ssh://[user@]host[:port][/path], without a password"
	p.check(g.GitHubSSHURL == "" || isSSHBase(g.GitHubSSHURL), "DISPATCHD_GITHUB_SSH_URL", redact.URL(g.GitHubSSHURL), wantSSH)
	p.check(g.GitLabSSHURL == "" || isSSHBase(g.GitLabSSHURL), "DISPATCHD_GITLAB_SSH_URL", redact.URL(g.GitLabSSHURL), wantSSH)
	p.check(g.BitbucketSSHURL == "" || isSSHBase(g.BitbucketSSHURL), "DISPATCHD_BITBUCKET_SSH_URL", redact.URL(g.BitbucketSSHURL), wantSSH)
	p.check(g.KnownHosts == "" || filepath.IsAbs(g.KnownHosts), "DISPATCHD_GIT_KNOWN_HOSTS", g.KnownHosts, "an absolute path")
	p.check(g.MaxBytes > 0, "DISPATCHD_GIT_MAX_BYTES", g.MaxBytes, "more than 0")
	return p
}

func (r Registry) problems() []error {
	var p problems
	host, dir, namespaced := strings.Cut(r.Push, "/")
	p.check(r.Push == "" || isRegistry(host) && (!namespaced || imageDir.MatchString(dir)), "DISPATCHD_REGISTRY", withoutUser(r.Push),
		"host[:port] or host[:port]/namespace, without a scheme; the host is localhost or has a dot or a port")
	p.check(r.Host == "" || isRegistry(r.Host), "DISPATCHD_REGISTRY_HOST", withoutUser(r.Host), "host or host:port, without a scheme")
	for _, host := range r.Insecure {
		p.check(isRegistry(host), "DISPATCHD_INSECURE_REGISTRIES", withoutUser(host), "a list of host or host:port, without a scheme")
	}
	return p
}

func (c Config) addressProblems() []error {
	var p problems
	p.check(isListenAddr(c.HTTPAddr), "DISPATCHD_HTTP_ADDR", c.HTTPAddr, "host:port, or :port for all addresses")
	p.check(slices.Contains([]string{"", "nomad", "consul"}, c.ServiceProvider), "DISPATCHD_SERVICE_PROVIDER",
		c.ServiceProvider, "nomad or consul")
	p.check(strings.Contains(c.BuildKit.Host, "://"), "BUILDKIT_HOST", c.BuildKit.Host, "an address such as unix:///run/buildkit/buildkitd.sock or tcp://host:1234")
	p.check(c.Nomad.Address == "" || isURL(c.Nomad.Address, "http", "https", "unix"), "NOMAD_ADDR", redact.URL(c.Nomad.Address),
		"a URL such as http://127.0.0.1:4646")
	_, err := strconv.ParseBool(c.Nomad.SkipVerify)
	p.check(c.Nomad.SkipVerify == "" || err == nil, "NOMAD_SKIP_VERIFY", c.Nomad.SkipVerify, "true or false")
	p.check(c.Vault.Address == "" || isURL(c.Vault.Address, "http", "https"), "VAULT_ADDR", redact.URL(c.Vault.Address),
		"a URL such as https://vault.example:8200")
	p.check(c.Backend.URL == "" || isURL(c.Backend.URL, "http", "https"), "BACKEND_URL", redact.URL(c.Backend.URL),
		"a URL such as https://api.example")
	return p
}

// problems collects what is wrong.
type problems []error

func (p *problems) check(ok bool, name string, value any, want string) {
	if !ok {
		*p = append(*p, badValue(name, fmt.Sprint(value), want))
	}
}

func isURL(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	return err == nil && slices.Contains(schemes, u.Scheme) && (u.Host != "" || u.Scheme == "unix" && u.Path != "")
}

// isBase is isURL for a base that paths are appended to.
func isBase(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	return isURL(s, schemes...) && err == nil && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// isSSHBase is isBase for SSH, where a user has a place but a password has not.
func isSSHBase(s string) bool {
	u, err := url.Parse(s)
	if err != nil || !isURL(s, "ssh") {
		return false
	}
	_, password := u.User.Password()
	return !password && u.RawQuery == "" && u.Fragment == ""
}

// withoutUser is a registry without the password or token that somebody may
// have put before its host or into a query.
func withoutUser(s string) string {
	place, _, _ := strings.Cut(s[strings.LastIndexByte(s, '@')+1:], "?")
	return place
}

// isRegistry reports whether s is a host as it stands in an image's name, where
// a first part without a dot or a port would be read as a directory.
func isRegistry(s string) bool {
	return registry.MatchString(s) && (strings.ContainsAny(s, ".:") || s == "localhost")
}

func isListenAddr(s string) bool {
	_, port, err := net.SplitHostPort(s)
	n, numErr := strconv.Atoi(port)
	return err == nil && numErr == nil && n >= 0 && n <= 65535
}
