package tasks

import (
	"errors"
	"net/url"
	"strings"
	"syscall"
)

// DockerHub is the registry of image names that name none.
const DockerHub = "docker.io"

// SourceLocalUpload is the sourceType of an uploaded archive.
const SourceLocalUpload = "local_upload"

// RegistryOf returns the registry host of an image's name, by docker's rule:
// the first part is a host where it holds a dot, a colon or a capital, or is
// localhost.
func RegistryOf(image string) string {
	host, _, found := strings.Cut(image, "/")
	if found && isImageHost(host) {
		return host
	}
	return DockerHub
}

// registryHost returns host[:port][/path] of a registry that may be given as a URL.
func registryHost(registry string) string {
	if u, err := url.Parse(registry); err == nil && u.Host != "" {
		return u.Host + u.Path
	}
	return registry
}

// credentialsFor returns what authenticates at the image's registry: the
// task's own where it names that registry, else the operator's where they are
// for that very host. An operator's credentials never follow a name that a
// task chose to another host.
func (h *Handler) credentialsFor(r *run, image string) Credentials {
	host := RegistryOf(image)
	if own, ok := taskCredentials(r.task.Deploy, host); ok {
		return own
	}
	if host == h.policy.RegistryHost {
		return h.policy.RegistryCredentials
	}
	return Credentials{}
}

func taskCredentials(d *Deploy, host string) (Credentials, bool) {
	b := d.Build
	if b.RegistryUsername == "" && !b.RegistryPassword.Set() {
		return Credentials{}, false
	}
	named := DockerHub
	if b.RegistryURL != "" {
		named, _, _ = strings.Cut(registryHost(b.RegistryURL), "/")
	}
	if named != host {
		return Credentials{}, false
	}
	return Credentials{Username: b.RegistryUsername, Password: b.RegistryPassword}, true
}

// diskReason tells a full disk from any other error of a file.
func diskReason(err error) Reason {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return ReasonDiskFull
	}
	return ReasonInternal
}
