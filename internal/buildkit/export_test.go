package buildkit

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/dispatchd/dispatchd/internal/buildkit/control"
	"github.com/dispatchd/dispatchd/internal/tasks"
	"github.com/moby/buildkit/session/auth"
)

// PrintProgress feeds a printer that holds ends for so long that only the
// updates themselves decide what is printed.
func PrintProgress(rep tasks.Reporter, push bool, updates []*control.Update) {
	p := newPrinter(rep, push)
	p.hold = time.Hour
	channel := make(chan *control.Update, len(updates))
	for _, update := range updates {
		channel <- update
	}
	close(channel)
	p.consume(channel)
}

// ClassifyBuild classifies an error after the updates of its build.
func ClassifyBuild(err error, name string, creds tasks.Credentials, updates []*control.Update) *tasks.Failure {
	ref, parseErr := parseImage(name, "v1")
	if parseErr != nil {
		panic(parseErr)
	}
	p := newPrinter(discard{}, false)
	for _, update := range updates {
		p.print(update)
	}
	return classifyBuild(err, buildFacts{ref: ref, creds: creds, printer: p})
}

// IsConnectionLost is isConnectionLost.
func IsConnectionLost(err error) bool { return isConnectionLost(err) }

// FindSource returns the Dockerfile that a request means.
func FindSource(req tasks.BuildRequest) (dockerfile string, err error) {
	tree, err := openSource(req)
	if err != nil {
		return "", err
	}
	defer tree.close()
	return tree.dockerfile, nil
}

// FrontendAttrs returns what a request asks of the Dockerfile's frontend, and
// what the log says about it.
func FrontendAttrs(req tasks.BuildRequest) (attrs map[string]string, log string) {
	ref, err := parseImage(req.Name, req.Tag)
	if err != nil {
		panic(err)
	}
	var said strings.Builder
	req = sift(req, &said)
	attrs = inputs{source: &sourceTree{dockerfile: req.Dockerfile}}.dockerfileAttrs(req, ref)
	return attrs, said.String()
}

// RewriteDockerfile is rewriteDockerfile.
func RewriteDockerfile(text []byte, secrets []string, assets string) ([]byte, error) {
	return rewriteDockerfile(text, secrets, assets)
}

// AuthServer returns what answers the daemon's questions for credentials.
func AuthServer(domain string, creds tasks.Credentials) (auth.AuthServer, error) {
	return newSessionAuth(domain, creds)
}

// WalkContext lists the files that a build would send, with their modes.
func WalkContext(ctx context.Context, req tasks.BuildRequest) (map[string]fs.FileMode, error) {
	tree, err := openSource(req)
	if err != nil {
		return nil, err
	}
	defer tree.close()
	mounts, err := tree.mounts()
	if err != nil {
		return nil, err
	}
	modes := map[string]fs.FileMode{}
	err = mounts["context"].Walk(ctx, "", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			modes[name] = info.Mode()
		}
		return err
	})
	return modes, err
}

// ShownName returns an image's name as docker shows it.
func ShownName(name string) string {
	ref, err := parseImage(name, "v1")
	if err != nil {
		panic(err)
	}
	return ref.name()
}

// GuardedGet sends a GET the way the registry client does.
func GuardedGet(ctx context.Context, url string, insecure []string) error {
	r := NewRegistry(RegistryOptions{InsecureRegistries: insecure})
	defer r.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := r.guarded().RoundTrip(req)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// discard is a tasks.Reporter that nobody reads.
type discard struct{}

func (discard) Stage(tasks.Stage) {}
func (discard) Stdout() io.Writer { return io.Discard }
func (discard) Stderr() io.Writer { return io.Discard }
