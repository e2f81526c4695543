package testbed

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dispatchd/dispatchd/internal/embednats"
)

// Need is a set of parts.
type Need uint

// The parts that a bed can have.
const (
	NeedDocker Need = 1 << iota
	NeedBuildKit
	// NeedNomad alone runs raw_exec jobs; with NeedDocker it runs containers.
	NeedNomad
	// NeedRegistry is the registry in this process, with faults on demand.
	NeedRegistry
	// NeedDebianRegistry is Debian's docker-registry, a second implementation
	// to check against.
	NeedDebianRegistry
	NeedGit
	NeedNATS

	// NeedAll is what a deployment from a repository needs.
	NeedAll = NeedDocker | NeedBuildKit | NeedNomad | NeedRegistry | NeedGit | NeedNATS
)

func (n Need) has(part Need) bool { return n&part != 0 }

// Options say what a bed is made of. The zero value is a complete bed in a
// temporary directory.
type Options struct {
	// Need lists the parts; zero means NeedAll.
	Need Need
	// Dir holds the bed's data and, in Dir/log, what its parts said. The logs
	// stay after Close. Empty means a temporary directory that Close removes.
	Dir string
	// Cache holds the programs that were built. Empty means $DISPATCHD_CACHE,
	// or dispatchd in the user's cache directory.
	Cache string
	// Root is the checkout, with test/tools. Empty means the one around the
	// working directory.
	Root string
	// Log takes one line for each thing that is done; nil discards them.
	Log io.Writer
	// Tools are the programs, where Ensure has run already.
	Tools *Tools

	// Nomad says how the Nomad agent differs from the default.
	Nomad NomadOptions
	// NATS says whom the NATS server lets in; its store and port are the bed's.
	NATS embednats.Options
	// Login is the user and password of the registry and the git server;
	// empty fields get "bed" and a random password.
	Login Login
}

// Login is a user and a password.
type Login struct {
	Username string
	Password string
}

// ErrNoCheckout means that the tools' modules cannot be found.
var ErrNoCheckout = errors.New("the checkout with test/tools was not found above the working directory")

func (o Options) withDefaults() (Options, error) {
	if o.Need == 0 {
		o.Need = NeedAll
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Login.Username == "" {
		o.Login.Username = "bed"
	}
	if o.Login.Password == "" {
		o.Login.Password = randomText()
	}
	var err error
	if o.Cache, err = cacheDir(o.Cache); err != nil {
		return o, err
	}
	if o.Root == "" {
		o.Root, err = findRoot()
	}
	return o, err
}

// cacheDir returns the directory that outlives checkouts and beds.
func cacheDir(asked string) (string, error) {
	if asked == "" {
		asked = os.Getenv("DISPATCHD_CACHE")
	}
	if asked == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("choose a cache directory: %w; set DISPATCHD_CACHE", err)
		}
		asked = filepath.Join(base, "dispatchd")
	}
	return filepath.Abs(asked)
}

const modulePath = "github.com/dispatchd/dispatchd"

// findRoot walks up from the working directory to this module's go.mod.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		first, _, _ := strings.Cut(string(text), "\n")
		if err == nil && strings.TrimSpace(first) == "module "+modulePath {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", ErrNoCheckout
		}
		dir = parent
	}
}
