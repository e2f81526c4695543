package buildkit

import (
	"fmt"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/distribution/reference"
)

// defaultTag is what a task's tag is when nobody has named one.
const defaultTag = "latest"

// imageRef is the parsed name of an image.
type imageRef struct {
	named reference.Named
	// tag is empty where the image is named by its digest alone.
	tag    string
	digest string
}

// parseImage reads an image's name and tag as tasks bring them: either may
// carry a digest, and the name may carry the tag.
func parseImage(name, tag string) (imageRef, error) {
	shown := strings.TrimSuffix(name+":"+tag, ":")
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return imageRef{}, tasks.Fail(tasks.ReasonImageInvalid, fmt.Sprintf("image name %q is not valid", name), err)
	}
	ref := imageRef{named: reference.TrimNamed(named), tag: tag}
	if digested, ok := named.(reference.Digested); ok {
		ref.digest = digested.Digest().String()
	}
	if tagged, ok := named.(reference.Tagged); ok {
		if tag != "" && tag != defaultTag && tag != tagged.Tag() {
			message := fmt.Sprintf("image name %q already has a tag, and the tag %q is another one", name, tag)
			return imageRef{}, tasks.Fail(tasks.ReasonImageInvalid, message, nil)
		}
		ref.tag = tagged.Tag()
	}
	if err := ref.splitTag(); err != nil {
		return imageRef{}, tasks.Fail(tasks.ReasonImageInvalid, fmt.Sprintf("image %q: the tag is not valid", shown), err)
	}
	return ref, nil
}

// splitTag checks the tag and moves a digest that stands in its place.
func (r *imageRef) splitTag() error {
	tag, digest, _ := strings.Cut(r.tag, "@")
	if digest == "" && strings.Contains(tag, ":") {
		tag, digest = "", tag
	}
	if digest != "" {
		parsed, err := reference.Parse(r.named.Name() + "@" + digest)
		if err != nil {
			return err
		}
		r.digest = parsed.(reference.Digested).Digest().String()
	}
	r.tag = tag
	if tag == "" {
		if r.digest == "" {
			r.tag = defaultTag
		}
		return nil
	}
	_, err := reference.WithTag(r.named, tag)
	return err
}

// host is the registry's host, with its port where the name has one.
func (r imageRef) host() string { return reference.Domain(r.named) }

// name is the repository as docker shows it: nginx, acme/app, host:5000/app.
func (r imageRef) name() string { return reference.FamiliarName(r.named) }

// String is the whole reference as docker shows it.
func (r imageRef) String() string {
	if r.digest != "" {
		return r.name() + "@" + r.digest
	}
	return r.name() + ":" + r.tag
}

// image is what is known about the reference without asking anybody.
func (r imageRef) image() tasks.Image {
	return tasks.Image{Name: r.name(), Tag: r.tag, Digest: r.digest}
}
