package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ImageBuild is one build of a Dockerfile with the bed's BuildKit.
type ImageBuild struct {
	// Context is the directory that is sent; Dockerfile is a path in it.
	Context    string
	Dockerfile string
	// Target is the stage to build; empty is the last one.
	Target string
	// Args are build arguments, Contexts directories that stand in for stages.
	Args     map[string]string
	Contexts map[string]string
	// Repository is where the image goes in the bed's registry, with the tag latest.
	Repository string
	// Dest, where it is set, is the directory that gets the files instead.
	Dest string
}

// BuildImage builds with buildctl, pushes to the bed's registry and returns the
// reference, which means nothing where the files go to a directory. The error holds the end of what the build said.
func (b *Bed) BuildImage(ctx context.Context, build ImageBuild) (ref string, err error) {
	auth, err := b.writeBuildAuth()
	if err != nil {
		return "", fmt.Errorf("build %s: %w", build.Repository, err)
	}
	ref = b.Registry.Addr() + "/" + build.Repository + ":latest"
	cmd := exec.CommandContext(ctx, b.Tools.BuildCtl, build.arguments(b.BuildKit.Addr(), ref)...)
	cmd.Env = append(b.env(), "DOCKER_CONFIG="+auth)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", build.Repository, err, lastLines(out, 15))
	}
	return ref, nil
}

func (i ImageBuild) arguments(addr, ref string) []string {
	args := []string{
		"--addr", addr, "build", "--progress", "plain", "--frontend", "dockerfile.v0",
		"--local", "context=" + i.Context,
		"--local", "dockerfile=" + filepath.Dir(filepath.Join(i.Context, i.Dockerfile)),
		"--opt", "filename=" + filepath.Base(i.Dockerfile),
	}
	if i.Dest != "" {
		args = append(args, "--output", "type=local,dest="+i.Dest)
	} else {
		args = append(args, "--output", "type=image,push=true,name="+ref)
	}
	if i.Target != "" {
		args = append(args, "--opt", "target="+i.Target)
	}
	for name, value := range i.Args {
		args = append(args, "--opt", "build-arg:"+name+"="+value)
	}
	for name, dir := range i.Contexts {
		args = append(args, "--opt", "context:"+name+"=local:"+name, "--local", name+"="+dir)
	}
	return args
}

// writeBuildAuth writes the directory from which buildctl takes the registry's
// password.
func (b *Bed) writeBuildAuth() (dir string, err error) {
	dir = b.slot.path("buildctl")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	text, err := b.dockerAuth()
	if err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
}
