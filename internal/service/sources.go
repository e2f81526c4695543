package service

import (
	"context"
	"strings"

	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/git"
	"github.com/dispatchd/dispatchd/internal/pack"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/upload"
	"github.com/dispatchd/dispatchd/packs"
)

// newUploads makes what fetches uploaded sources.
func newUploads(cfg config.Config) (*upload.Client, error) {
	return upload.New(upload.Options{
		Hosts: cfg.Upload.Hosts, BackendURL: cfg.Backend.URL,
		MaxDownloadBytes: int64(cfg.Upload.MaxDownload), MaxBytes: int64(cfg.Upload.MaxBytes),
		MaxFiles: cfg.Upload.MaxFiles, Timeout: cfg.Upload.Timeout,
	})
}

// newRegistryRenderer makes a renderer of the packs that this worker carries and
// of those in the registries that its operator allows.
func newRegistryRenderer(cfg config.Config, cloner *git.Client) (*pack.Renderer, error) {
	registries, err := pack.ParseRegistries(cfg.Pack.Registries)
	if err != nil {
		return nil, err
	}
	fetch := func(ctx context.Context, from pack.Origin, dir string, rep tasks.Reporter) (string, error) {
		return cloner.CloneAddress(ctx, git.Address{URL: from.URL, Ref: from.Ref, Token: from.Token}, dir, rep)
	}
	return pack.New(packs.Files(), pack.Options{Registries: registries, Fetch: fetch}), nil
}

// packTokens returns the values of the variables that a task may name as the
// token of its pack registry, so that no log shows them.
func packTokens(environ []string) []string {
	var values []string
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, packTokenPrefix) {
			values = append(values, value)
		}
	}
	return values
}
