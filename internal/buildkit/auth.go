package buildkit

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// sessionAuth answers the daemon's questions for credentials during one build.
// It knows one registry; for every other host the daemon stays anonymous.
type sessionAuth struct {
	auth.UnimplementedAuthServer

	domain string
	creds  tasks.Credentials
	// key proves to the daemon that a later session is still this one. It is
	// set where the credentials are a bearer token: only then are tokens ours
	// to give out.
	key ed25519.PrivateKey
}

var _ session.Attachable = (*sessionAuth)(nil)

func newSessionAuth(domain string, creds tasks.Credentials) (*sessionAuth, error) {
	a := &sessionAuth{domain: domain, creds: creds}
	if !creds.Token.Set() {
		return a, nil
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the session's key: %w", err)
	}
	a.key = key
	return a, nil
}

// Register adds the service to the session's server.
func (a *sessionAuth) Register(server *grpc.Server) { auth.RegisterAuthServer(server, a) }

// Credentials gives the user and password to the one registry, and nothing to the rest.
func (a *sessionAuth) Credentials(_ context.Context, req *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	if !sameRegistry(req.GetHost(), a.domain) {
		return &auth.CredentialsResponse{}, nil
	}
	return &auth.CredentialsResponse{Username: a.creds.Username, Secret: a.creds.Password.Reveal()}, nil
}

// GetTokenAuthority says that tokens for the one registry come from here.
// Unimplemented sends the daemon to the registry's token server by itself.
func (a *sessionAuth) GetTokenAuthority(_ context.Context, req *auth.GetTokenAuthorityRequest) (*auth.GetTokenAuthorityResponse, error) {
	if err := a.mustHoldToken(req.GetHost()); err != nil {
		return nil, err
	}
	public := a.key.Public().(ed25519.PublicKey)
	return &auth.GetTokenAuthorityResponse{PublicKey: public}, nil
}

// VerifyTokenAuthority signs the daemon's challenge: the signature, then the message.
func (a *sessionAuth) VerifyTokenAuthority(_ context.Context, req *auth.VerifyTokenAuthorityRequest) (*auth.VerifyTokenAuthorityResponse, error) {
	if err := a.mustHoldToken(req.GetHost()); err != nil {
		return nil, err
	}
	signed := append(ed25519.Sign(a.key, req.GetPayload()), req.GetPayload()...)
	return &auth.VerifyTokenAuthorityResponse{Signed: signed}, nil
}

// FetchToken gives the bearer token to the one registry.
func (a *sessionAuth) FetchToken(_ context.Context, req *auth.FetchTokenRequest) (*auth.FetchTokenResponse, error) {
	if err := a.mustHoldToken(req.GetHost()); err != nil {
		return nil, err
	}
	return &auth.FetchTokenResponse{Token: a.creds.Token.Reveal()}, nil
}

func (a *sessionAuth) mustHoldToken(host string) error {
	if a.key == nil || !sameRegistry(host, a.domain) {
		return status.Errorf(codes.Unimplemented, "no token for %s", host)
	}
	return nil
}
