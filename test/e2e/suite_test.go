//go:build e2e

// Package e2e_test runs dispatchd's real binary on real parts: Nomad, Docker,
// BuildKit, a registry, git over HTTP and NATS, all on loopback.
//
// One bed serves the whole package. Each test has a world of its own on it: a
// subject prefix, the backend's streams under it, and workers that nobody else
// shares. When a world closes, every task that it has sent is counted: one
// terminal record, one outcome, one end of the log, and lines without a hole.
package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/embednats"
	"github.com/dispatchd/dispatchd/test/testbed"
)

// suite is what all tests share.
type suite struct {
	bed *testbed.Bed
	// env lets a dispatchd find the bed's parts.
	env   []string
	nats  *embednats.Server
	nomad *api.Client
	// binary is the dispatchd under test.
	binary string
	// base is an image with a shell; hello is the sample's static program.
	base  string
	hello []byte
}

var shared suite

// parallel is how many tests run at once: most of their time is waiting.
const parallel = "6"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if !isSet("test.parallel") {
		_ = flag.Set("test.parallel", parallel)
	}
	dir, err := os.MkdirTemp("", "dispatchd-e2e-")
	if err != nil {
		return broken(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	defer func() { _ = shared.close() }()
	if err := shared.open(ctx, dir); err != nil {
		return broken(err)
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		return broken(err)
	}
	return code
}

func broken(err error) int {
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// nomadOptions make a Nomad like a platform's: access control, a node with a
// class, and a Vault in its configuration, without which Nomad refuses each job
// that has a vault block. Nothing answers there: such a job is planned alone.
var nomadOptions = testbed.NomadOptions{
	ACL: true, NodeClass: "fr,nvme",
	Extra: `vault {
  enabled = true
  address = "http://127.0.0.1:1"
  token   = "nobody"
}`,
}

// open starts everything. Access control is on, so that every request to Nomad
// shows whether it carries its token.
func (s *suite) open(ctx context.Context, dir string) (err error) {
	if s.binary, err = binary(ctx, dir); err != nil {
		return err
	}
	s.bed, err = testbed.Start(ctx, testbed.Options{Log: os.Stderr, Nomad: nomadOptions})
	if err != nil {
		return err
	}
	if s.nats, err = embednats.Start(embednats.Options{StoreDir: filepath.Join(dir, "nats")}); err != nil {
		return err
	}
	s.nomad, err = api.NewClient(&api.Config{Address: s.bed.Nomad.Addr(), SecretID: s.bed.Nomad.Token()})
	if err != nil {
		return err
	}
	if err := s.allowMemoryMax(); err != nil {
		return err
	}
	s.env = append(s.bed.Env(), "DISPATCHD_REGISTRY="+s.bed.Registry.Addr()+"/apps")
	if s.base, err = s.bed.PushBase(ctx); err != nil {
		return err
	}
	files, err := testbed.SampleRepository(ctx, testbed.Sample{})
	s.hello = []byte(files["hello"])
	return err
}

// allowMemoryMax lets jobs use more memory than they reserve, as platforms do:
// else every registration carries Nomad's warning.
func (s *suite) allowMemoryMax() error {
	answer, _, err := s.nomad.Operator().SchedulerGetConfiguration(nil)
	if err != nil {
		return fmt.Errorf("read the scheduler's configuration: %w", err)
	}
	config := answer.SchedulerConfig
	config.MemoryOversubscriptionEnabled = true
	if _, _, err := s.nomad.Operator().SchedulerSetConfiguration(config, nil); err != nil {
		return fmt.Errorf("set the scheduler's configuration: %w", err)
	}
	return nil
}

// close ends everything; a second call does nothing.
func (s *suite) close() error {
	var err error
	if s.nats != nil {
		s.nats.Shutdown()
	}
	if s.nomad != nil {
		s.nomad.Close()
	}
	if s.bed != nil {
		err = s.bed.Close()
	}
	*s = suite{}
	return err
}

// binary returns the program under test: that of DISPATCHD_E2E_BINARY, or one
// that is built now.
func binary(ctx context.Context, dir string) (string, error) {
	if path := os.Getenv("DISPATCHD_E2E_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(dir, "dispatchd")
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "grpcnotrace,nethttpomithttp2", "-o", path, "../../cmd/dispatchd")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("build dispatchd: %w", err), errors.New(string(out)))
	}
	return path, nil
}
