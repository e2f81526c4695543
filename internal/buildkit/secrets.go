package buildkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxSecret is the most that the daemon takes of one secret.
const maxSecret = 500 << 10

// sessionSecrets gives a build's secrets to the daemon, one by one, when a step
// that mounts it begins. They are in no part of what the daemon keeps.
type sessionSecrets struct {
	secrets.UnimplementedSecretsServer

	values map[string]string
}

var _ session.Attachable = (*sessionSecrets)(nil)

// Register adds the service to the session's server.
func (s *sessionSecrets) Register(server *grpc.Server) { secrets.RegisterSecretsServer(server, s) }

// GetSecret returns the secret with the id.
func (s *sessionSecrets) GetSecret(_ context.Context, req *secrets.GetSecretRequest) (*secrets.GetSecretResponse, error) {
	value, ok := s.values[req.GetID()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "the build has no secret %s", req.GetID())
	}
	return &secrets.GetSecretResponse{Data: []byte(value)}, nil
}

// newSessionSecrets takes the build's secrets and, where they have no such
// name, a plan's variables, which its frontend mounts in the same way.
func newSessionSecrets(of map[string]tasks.Secret, variables map[string]string) (*sessionSecrets, error) {
	values := maps.Clone(variables)
	if values == nil {
		values = map[string]string{}
	}
	for name, value := range of {
		values[name] = value.Reveal()
	}
	for name, value := range values {
		if len(value) > maxSecret {
			message := fmt.Sprintf("secret %s has %d bytes, at most %d can be given to a build", name, len(value), maxSecret)
			return nil, tasks.Fail(tasks.ReasonConfigInvalid, message, nil)
		}
	}
	return &sessionSecrets{values: values}, nil
}

// hash changes when a value does. The app's name in it keeps two apps with the
// same values from having the same hash.
func (s *sessionSecrets) hash(app string) string {
	sum := sha256.New()
	for _, text := range append([]string{app}, slices.Sorted(maps.Keys(s.values))...) {
		_, _ = fmt.Fprintf(sum, "%d %s %d %s ", len(text), text, len(s.values[text]), s.values[text])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// discreet is a Reporter that hides the build's secrets, whoever listens: a
// step may print what it was given.
type discreet struct {
	tasks.Reporter

	redactor    *redact.Redactor
	out, errOut io.Writer
	// hiding are the two where there is anything to hide.
	hiding []*redact.Writer
}

func newDiscreet(rep tasks.Reporter, req tasks.BuildRequest) *discreet {
	texts := []string{req.Credentials.Password.Reveal(), req.Credentials.Token.Reveal()}
	for _, secret := range req.Secrets {
		texts = append(texts, secret.Reveal())
	}
	texts = slices.DeleteFunc(texts, func(text string) bool { return text == "" })
	d := &discreet{Reporter: rep, redactor: redact.New(texts...), out: rep.Stdout(), errOut: rep.Stderr()}
	if len(texts) > 0 {
		out, errOut := d.redactor.Writer(d.out), d.redactor.Writer(d.errOut)
		d.out, d.errOut, d.hiding = out, errOut, []*redact.Writer{out, errOut}
	}
	return d
}

// Stage passes on what was held back before it announces the stage.
func (d *discreet) Stage(s tasks.Stage) {
	d.flush()
	d.Reporter.Stage(s)
}

// Stdout hides secrets in what it passes on.
func (d *discreet) Stdout() io.Writer { return d.out }

// Stderr hides secrets in what it passes on.
func (d *discreet) Stderr() io.Writer { return d.errOut }

// flush passes on what was held back. The log is best effort.
func (d *discreet) flush() {
	for _, w := range d.hiding {
		_ = w.Flush()
	}
}

// hide takes the secrets out of a failure's texts.
func (d *discreet) hide(err error) error {
	var failure *tasks.Failure
	if !errors.As(err, &failure) {
		return err
	}
	hidden := *failure
	hidden.Message = d.redactor.String(failure.Message)
	if failure.Err != nil {
		hidden.Err = shyError{text: d.redactor.String(failure.Err.Error()), err: failure.Err}
	}
	return &hidden
}

// shyError is an error whose text shows no secret.
type shyError struct {
	text string
	err  error
}

// Error returns the text.
func (e shyError) Error() string { return e.text }

// Unwrap returns the error as it was.
func (e shyError) Unwrap() error { return e.err }
