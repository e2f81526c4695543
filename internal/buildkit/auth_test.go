package buildkit_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"github.com/dispatchd/dispatchd/internal/buildkit"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestSessionGivesCredentialsToOneRegistry(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		domain, asking string
		given          bool
	}{
		{"registry.example:5000", "registry.example:5000", true},
		{"registry.example:5000", "registry.example", false},
		{"registry.example:5000", "registry.example:5001", false},
		{"registry.example", "evil.example", false},
		{"registry.example", "registry.example.evil.example", false},
		{"docker.io", "registry-1.docker.io", true},
		{"registry.example", "registry-1.docker.io", false},
	} {
		server, err := buildkit.AuthServer(tc.domain, goodCredentials)
		if err != nil {
			t.Fatal(err)
		}
		got, err := server.Credentials(t.Context(), &auth.CredentialsRequest{Host: tc.asking})
		if err != nil {
			t.Fatal(err)
		}
		if given := got.Username == testUser && got.Secret == testPassword; given != tc.given || (got.Secret != "") != tc.given {
			t.Errorf("%s asks for %s: got %q, want given %v", tc.asking, tc.domain, got.Secret, tc.given)
		}
		if _, err := server.FetchToken(t.Context(), &auth.FetchTokenRequest{Host: tc.asking}); status.Code(err) != codes.Unimplemented {
			t.Errorf("fetch a token of a password: got %v, want Unimplemented", err)
		}
	}
}

func TestSessionGivesTheTokenToOneRegistry(t *testing.T) {
	t.Parallel()
	server, err := buildkit.AuthServer("registry.example", tasks.Credentials{Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, host := range []string{"evil.example", "registry.example:5000"} {
		_, fetch := server.FetchToken(ctx, &auth.FetchTokenRequest{Host: host})
		_, authority := server.GetTokenAuthority(ctx, &auth.GetTokenAuthorityRequest{Host: host})
		_, verify := server.VerifyTokenAuthority(ctx, &auth.VerifyTokenAuthorityRequest{Host: host})
		for _, err := range []error{fetch, authority, verify} {
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: got %v, want Unimplemented", host, err)
			}
		}
	}
	token, err := server.FetchToken(ctx, &auth.FetchTokenRequest{Host: "registry.example"})
	if err != nil || token.Token != testToken {
		t.Errorf("got %v, %v, want the token", token, err)
	}
	authority, err := server.GetTokenAuthority(ctx, &auth.GetTokenAuthorityRequest{Host: "registry.example"})
	if err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 32)
	_, _ = rand.Read(payload)
	signed, err := server.VerifyTokenAuthority(ctx, &auth.VerifyTokenAuthorityRequest{Host: "registry.example", Payload: payload})
	if err != nil {
		t.Fatal(err)
	}
	signature, message := signed.Signed[:ed25519.SignatureSize], signed.Signed[ed25519.SignatureSize:]
	if !bytes.Equal(message, payload) || !ed25519.Verify(authority.PublicKey, payload, signature) {
		t.Error("the daemon would not accept the signature")
	}
}
