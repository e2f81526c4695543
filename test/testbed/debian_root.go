package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// DebianRoot is a minimal Debian of a suite with packages.
type DebianRoot struct {
	// Suite is Debian's name for a release, such as trixie.
	Suite string
	// Packages are installed beside what every Debian has.
	Packages []string
}

// debianMirror is where the packages come from.
const debianMirror = "http://deb.debian.org/debian"

// leftOut are paths that no program reads.
var leftOut = []string{"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"}

// Cached returns a directory in the cache for what is made from a key, and
// whether it is there already. Whoever makes it fills a temporary directory and
// renames that.
func Cached(opts Options, kind, key string) (dir string, found bool, err error) {
	if opts, err = opts.withDefaults(); err != nil {
		return "", false, err
	}
	sum := sha256.Sum256([]byte(key))
	dir = filepath.Join(opts.Cache, kind, hex.EncodeToString(sum[:8]))
	_, err = os.Stat(dir)
	return dir, err == nil, nil
}

// PushDebian makes an image of the root, pushes it to the bed's registry and
// returns its reference. It stands in for Debian's own image where no hub can be
// reached. The root is made once, with mmdebstrap, and kept in the cache.
func (b *Bed) PushDebian(ctx context.Context, opts Options, root DebianRoot) (ref string, err error) {
	file, err := root.ensure(ctx, opts)
	if err != nil {
		return "", fmt.Errorf("make a Debian root of %s: %w", root.Suite, err)
	}
	image, err := imageOfTar(file)
	if err != nil {
		return "", fmt.Errorf("make an image of %s: %w", file, err)
	}
	return b.PushImage(ctx, "base/debian", root.Suite, image)
}

// ensure returns the file with the root, which may be there already.
func (r DebianRoot) ensure(ctx context.Context, opts Options) (file string, err error) {
	if opts, err = opts.withDefaults(); err != nil {
		return "", err
	}
	file = r.file(opts.Cache)
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	unlock, err := lockFile(ctx, filepath.Join(opts.Cache, ".lock"), opts.Log)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	return file, r.make(ctx, file, &lineWriter{w: opts.Log})
}

// file is keyed by everything that the root depends on but the mirror's state.
func (r DebianRoot) file(cache string) string {
	sum := sha256.Sum256([]byte(strings.Join(r.arguments(""), "\x00")))
	return filepath.Join(cache, "debian", r.Suite+"-"+runtime.GOARCH+"-"+hex.EncodeToString(sum[:6])+".tar.gz")
}

// make writes under a temporary name, so that a broken root never looks good.
func (r DebianRoot) make(ctx context.Context, file string, log *lineWriter) error {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		if err := aptInstall(ctx, []string{"mmdebstrap"}, log); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(file), ".make-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	log.printf("making a Debian root of %s with %s", r.Suite, strings.Join(r.Packages, " "))
	made := filepath.Join(temp, "root.tar.gz")
	cmd := exec.CommandContext(ctx, "mmdebstrap", r.arguments(made)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mmdebstrap: %w: %s", err, lastLines(out, 5))
	}
	return os.Rename(made, file)
}

func (r DebianRoot) arguments(target string) []string {
	args := []string{
		"--variant=minbase", "--include=" + strings.Join(r.Packages, ","),
		`--aptopt=APT::Install-Recommends "false"`,
	}
	for _, path := range leftOut {
		args = append(args, "--dpkgopt=path-exclude="+path)
	}
	return append(args, r.Suite, target, debianMirror)
}

// imageOfTar is an image with the tar as its only layer.
func imageOfTar(file string) (v1.Image, error) {
	layer, err := tarball.LayerFromFile(file)
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Env = []string{"PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	return mutate.ConfigFile(image, config)
}
