package testbed

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// PushBase makes an image of the static busybox, with a shell and its other
// applets, pushes it to the bed's registry and returns its reference with the
// tag latest. Where no hub can be reached it is what a Dockerfile starts FROM.
func (b *Bed) PushBase(ctx context.Context) (ref string, err error) {
	image, err := busyboxImage(ctx, b.Tools.BusyBox)
	if err != nil {
		return "", fmt.Errorf("make the base image: %w", err)
	}
	return b.PushImage(ctx, "base/busybox", "latest", image)
}

// PushImage pushes an image to the bed's registry and returns its reference.
func (b *Bed) PushImage(ctx context.Context, repository, tag string, image v1.Image) (ref string, err error) {
	if b.Registry == nil {
		return "", errors.New("push " + repository + ": this bed has no registry")
	}
	full := b.Registry.Addr() + "/" + repository + ":" + tag
	target, err := name.NewTag(full)
	if err != nil {
		return "", fmt.Errorf("push %s: %w", full, err)
	}
	auth := &authn.Basic{Username: b.Login.Username, Password: b.Login.Password}
	if err := remote.Write(target, image, remote.WithAuth(auth), remote.WithContext(ctx)); err != nil {
		return "", fmt.Errorf("push %s: %w", full, err)
	}
	return full, nil
}

func busyboxImage(ctx context.Context, busybox string) (v1.Image, error) {
	files, err := busyboxLayer(ctx, busybox)
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil }
	layer, err := tarball.LayerFromOpener(open)
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
	config.Config.Env = []string{"PATH=/usr/bin:/bin"}
	config.Config.Cmd = []string{"sh"}
	return mutate.ConfigFile(image, config)
}

// busyboxLayer is a tar of /bin with a link for each applet, and of what few
// programs can do without. The same busybox always gives the same bytes.
func busyboxLayer(ctx context.Context, busybox string) ([]byte, error) {
	program, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	applets, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list: %w", busybox, err)
	}
	t := &tarWriter{}
	t.w = tar.NewWriter(&t.out)
	for _, dir := range []string{"bin/", "etc/", "tmp/", "usr/", "usr/bin/"} {
		t.add(tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: dirMode(dir)}, nil)
	}
	t.add(tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"))
	t.add(tar.Header{Name: "etc/group", Mode: 0o644}, []byte("root:x:0:\nnogroup:x:65534:\n"))
	t.add(tar.Header{Name: "bin/busybox", Mode: 0o755}, program)
	for _, applet := range strings.Fields(string(applets)) {
		if applet != "busybox" {
			t.add(tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
	t.add(tar.Header{Name: "usr/bin/env", Typeflag: tar.TypeSymlink, Linkname: "/bin/busybox", Mode: 0o777}, nil)
	return t.finish()
}

func dirMode(dir string) int64 {
	if dir == "tmp/" {
		return 0o1777
	}
	return 0o755
}

// tarWriter keeps the first error, so that a list of files reads as a list.
type tarWriter struct {
	out bytes.Buffer
	w   *tar.Writer
	err error
}

func (t *tarWriter) add(h tar.Header, content []byte) {
	h.Size = int64(len(content))
	if t.err == nil {
		t.err = t.w.WriteHeader(&h)
	}
	if t.err == nil {
		_, t.err = t.w.Write(content)
	}
}

func (t *tarWriter) finish() ([]byte, error) {
	if t.err == nil {
		t.err = t.w.Close()
	}
	return t.out.Bytes(), t.err
}
