package config

import (
	"regexp"
	"time"
)

// Upload is from where uploaded sources come and how much of one is taken.
type Upload struct {
	Hosts       []string      `envconfig:"DISPATCHD_UPLOAD_HOSTS" hide:"url" shown:"the host of BACKEND_URL" desc:"hosts, separated by commas, from which uploaded sources are fetched beside that of BACKEND_URL: host or host:port over https, http://host for plain http"`
	MaxDownload Bytes         `envconfig:"DISPATCHD_UPLOAD_MAX_DOWNLOAD" default:"512MiB" desc:"an uploaded archive that is larger fails"`
	MaxBytes    Bytes         `envconfig:"DISPATCHD_UPLOAD_MAX_BYTES" default:"2GiB" desc:"an uploaded archive that holds more fails"`
	MaxFiles    int           `envconfig:"DISPATCHD_UPLOAD_MAX_FILES" default:"50000" desc:"an uploaded archive with more files and directories fails"`
	Timeout     time.Duration `envconfig:"DISPATCHD_UPLOAD_TIMEOUT" default:"5m" desc:"how long one try to fetch and unpack an upload may take"`
}

// Pack is where deploy packs may come from.
type Pack struct {
	Registries []string `envconfig:"DISPATCHD_PACK_REGISTRIES" hide:"url" shown:"none: only embedded packs are rendered" desc:"git repositories, separated by commas, from which a task may take its deploy pack: github.com/owner/name or a whole URL, each with #ref behind it where only that branch, tag or commit may be taken; plain http only where it is written here"`
}

var (
	uploadHost   = regexp.MustCompile(`^(https?://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?/?$`)
	packRegistry = regexp.MustCompile(`^(https?://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[A-Za-z0-9_.~-]+)+(#[A-Za-z0-9_./-]+)?$`)
)

func (u Upload) problems() []error {
	var p problems
	for _, host := range u.Hosts {
		p.check(uploadHost.MatchString(host), "DISPATCHD_UPLOAD_HOSTS", withoutUser(host), "a list of host, host:port or http://host")
	}
	p.check(u.MaxDownload > 0, "DISPATCHD_UPLOAD_MAX_DOWNLOAD", u.MaxDownload, "more than 0")
	p.check(u.MaxBytes > 0, "DISPATCHD_UPLOAD_MAX_BYTES", u.MaxBytes, "more than 0")
	p.check(u.MaxFiles > 0, "DISPATCHD_UPLOAD_MAX_FILES", u.MaxFiles, "more than 0")
	p.check(u.Timeout > 0, "DISPATCHD_UPLOAD_TIMEOUT", u.Timeout, "more than 0s")
	return p
}

func (k Pack) problems() []error {
	var p problems
	for _, source := range k.Registries {
		p.check(packRegistry.MatchString(source), "DISPATCHD_PACK_REGISTRIES", withoutUser(source),
			"a list of host/owner/name or https://host/owner/name, each with #ref behind it or without, and no user")
	}
	return p
}
