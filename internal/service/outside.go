package service

import (
	"context"

	"go.uber.org/zap"

	"github.com/dispatchd/dispatchd/internal/backend"
	"github.com/dispatchd/dispatchd/internal/config"
	"github.com/dispatchd/dispatchd/internal/logging"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/dispatchd/dispatchd/internal/vault"
)

func newVault(cfg config.Config) (*vault.Client, error) {
	v := cfg.Vault
	return vault.New(vault.Options{
		Address: v.Address, Token: tasks.Secret(v.Token.Reveal()), Namespace: v.Namespace,
		CACert: v.CACert, ClientCert: v.ClientCert, ClientKey: v.ClientKey,
	})
}

// newPlatform makes the client of the platform's API. What that does not hear is
// no failure of a task, so it is the operator who is told.
func newPlatform(cfg config.Config, log *zap.Logger) *backend.Client {
	return backend.New(backend.Options{
		URL: cfg.Backend.URL, Token: tasks.Secret(cfg.Backend.AccessToken.Reveal()),
		Warn: func(ctx context.Context, err error) {
			logging.Warn(ctx, log, "tell the platform's API", zap.Error(err))
		},
	})
}
