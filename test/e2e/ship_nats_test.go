//go:build e2e

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/internal/embednats/natstest"
	"github.com/dispatchd/dispatchd/internal/queue"
)

// TestNATSPermissionsSuffice drives each role of deploy/nats/permissions.conf
// through everything that it does: the server refuses nothing.
func TestNATSPermissionsSuffice(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "p7"} {
		for _, role := range roles {
			t.Run(strings.TrimSuffix(role.name+" "+prefix, " "), func(t *testing.T) {
				t.Parallel()
				b := newBus(t, busOptions{prefix: prefix, role: role})
				role.drive(b)
				if refused := b.violations(); len(refused) > 0 {
					t.Errorf("the server refuses %v", refused)
				}
			})
		}
	}
}

// TestNATSPermissionsAreTheLeast takes one line after the other away, and sees
// the operation that needs it refused.
func TestNATSPermissionsAreTheLeast(t *testing.T) {
	t.Parallel()
	text := readFile(t, permissionsFile)
	lines := 0
	for _, role := range roles {
		for _, line := range role.lines(text) {
			lines++
			t.Run(role.name+" without "+line.subject, func(t *testing.T) {
				t.Parallel()
				b := newBus(t, busOptions{role: role, without: line})
				role.drive(b)
				if !slices.ContainsFunc(b.violations(), func(subject string) bool { return matches(line.subject, subject) }) {
					t.Errorf("nothing is refused without %q (%s)", line.subject, line.why)
				}
			})
		}
	}
	if lines < 50 {
		t.Errorf("%d lines were found: the test does not read the file", lines)
	}
}

const permissionsFile = "../../deploy/nats/permissions.conf"

// role is one of the file, and what it does.
type role struct {
	name  string
	drive func(*busUnderRights)
	// fresh servers have no stream of ours yet.
	fresh bool
}

var roles = []role{
	{name: "WORKER", drive: (*busUnderRights).work},
	{name: "SETUP", drive: (*busUnderRights).work, fresh: true},
	{name: "PUBLISHER", drive: (*busUnderRights).publishAsBackend},
	{name: "READER", drive: (*busUnderRights).read},
	{name: "SUBMITTER", drive: (*busUnderRights).submit},
	{name: "OPERATIONS", drive: (*busUnderRights).operate},
}

// permissionLine is a line of the file that allows one subject.
type permissionLine struct{ text, subject, why string }

var allowing = regexp.MustCompile(`(?m)^\s+"([^"]+)"\s*(?:#\s*(.*))?$`)

// lines are those of the role's part of the file.
func (r role) lines(text string) []permissionLine {
	_, part, _ := strings.Cut(text, "\n"+r.name+" = {")
	part, _, _ = strings.Cut(part, "\n}\n")
	var all []permissionLine
	for _, found := range allowing.FindAllStringSubmatch(part, -1) {
		all = append(all, permissionLine{found[0], found[1], found[2]})
	}
	return all
}

// without takes a line out of the role's part. An empty list would allow
// everything, so another subject takes its place.
func (r role) without(text string, line permissionLine) string {
	head, part, _ := strings.Cut(text, "\n"+r.name+" = {")
	return head + "\n" + r.name + " = {" + strings.Replace(part, line.text, `      "nothing.of.interest"`, 1)
}

// matches reports whether a subject is one that the pattern allows.
func matches(pattern, subject string) bool {
	want, got := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range want {
		if token == ">" {
			return len(got) > i
		}
		if i >= len(got) || token != "*" && token != got[i] {
			return false
		}
	}
	return len(want) == len(got)
}

// busUnderRights is a server with the file's users, and one role's seed.
type busUnderRights struct {
	t      *testing.T
	opts   busOptions
	server *embednats.Server
	seed   string
	// seeds are those of all roles.
	seeds map[string]string
	// admin may do everything; it is the test's.
	admin jetstream.JetStream

	mu        sync.Mutex
	processes []*process
	heard     strings.Builder
}

type busOptions struct {
	prefix  string
	role    role
	without permissionLine
}

func newBus(t *testing.T, opts busOptions) *busUnderRights {
	t.Helper()
	text := withPrefix(t, opts.prefix)
	if opts.without.text != "" {
		text = opts.role.without(text, opts.without)
	}
	server, seeds := serverWithRights(t, text)
	b := &busUnderRights{t: t, opts: opts, server: server, seed: seeds[opts.role.name], seeds: seeds}
	b.makeStreams()
	return b
}

// serverWithRights starts a server with a permissions file and returns the seed
// of each role. The test's own user is admin.
func serverWithRights(t *testing.T, text string) (server *embednats.Server, seeds map[string]string) {
	t.Helper()
	seeds = map[string]string{}
	for _, r := range roles {
		seed, public := newSeed(t)
		text = strings.Replace(text, "$DISPATCHD_"+r.name+"_NKEY", public, 1)
		seeds[r.name] = seed
	}
	text = strings.Replace(text, "users: [", "users: [\n    { user: admin, password: admin-of-the-test }", 1)
	file := filepath.Join(t.TempDir(), "permissions.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return natstest.RunWith(t, embednats.Options{ConfigFile: file}), seeds
}

func admin() nats.Option { return nats.UserInfo("admin", "admin-of-the-test") }

func withPrefix(t *testing.T, prefix string) string {
	t.Helper()
	text := readFile(t, permissionsFile)
	if prefix == "" {
		return text
	}
	cmd := exec.CommandContext(t.Context(), "sh", "../../deploy/nats/with-prefix.sh", prefix)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (b *busUnderRights) makeStreams() {
	b.t.Helper()
	nc, err := nats.Connect(b.server.ClientURL(), admin())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	if b.admin, err = jetstream.New(nc); err != nil {
		b.t.Fatal(err)
	}
	for name, subjects := range map[string][]string{
		"DEPLOYMENTS": {b.subject("deployment.>"), b.subject("job.destroyed")}, "BUILD_LOGS": {b.subject("build.log.>")},
	} {
		if _, err := b.admin.CreateStream(brief(b.t), jetstream.StreamConfig{Name: name, Subjects: subjects}); err != nil {
			b.t.Fatal(err)
		}
	}
	if b.opts.role.fresh {
		return
	}
	if err := queue.EnsureService(brief(b.t), nc, b.admin, queue.Topology{Prefix: b.opts.prefix, Replicas: 1}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *busUnderRights) subject(s string) string {
	if b.opts.prefix == "" {
		return s
	}
	return b.opts.prefix + "." + s
}

// start runs a dispatchd with the role's seed.
func (b *busUnderRights) start(args ...string) *process {
	b.t.Helper()
	p := startProcess(b.t, []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.t.TempDir(), "TMPDIR=" + b.t.TempDir(), "DISPATCHD_WORK_DIR=" + b.t.TempDir(),
		"NATS_SERVERS=" + b.server.ClientURL(), "NATS_CLIENT_PRIVATE_KEY=" + b.seed, "NATS_STREAM_PREFIX=" + b.opts.prefix,
		"NOMAD_ADDR=" + shared.bed.Nomad.Addr(), "NOMAD_TOKEN=" + shared.bed.Nomad.Token(),
		"DISPATCHD_HTTP_ADDR=127.0.0.1:0", "DISPATCHD_SLOTS=1", "DISPATCHD_DRAIN_TIMEOUT=0s",
	}, args...)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.processes = append(b.processes, p)
	return p
}

var refusal = regexp.MustCompile(`(?i)(?:permit us to|permissions violation for) (?:publish|subscribe|subscription) to \\*"([^"\\]+)`)

// violations are the subjects that the server has refused the role so far.
func (b *busUnderRights) violations() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.heard.String()
	for _, p := range b.processes {
		text += p.err.String()
	}
	var all []string
	for _, found := range refusal.FindAllStringSubmatch(text, -1) {
		all = append(all, found[1])
	}
	return all
}

// until waits for a condition, and reports false where the role was refused
// something before: the rest of the way is of no interest then.
func (b *busUnderRights) until(what string, holds func() bool) bool {
	b.t.Helper()
	refused := false
	eventually(b.t, patience, what, func() bool {
		refused = len(b.violations()) > 0
		return refused || holds()
	})
	return !refused
}
