package buildkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// maxDockerAnswer is the most that is read of what the daemon says.
const maxDockerAnswer = 1 << 20

// dockerDaemon is a Docker daemon that images are loaded into, over the two
// requests of its API that this takes.
type dockerDaemon struct {
	// address is as the operator wrote it.
	address string
	scheme  string
	target  string
}

// newDockerDaemon reads an address. One that cannot be used is told when it is
// needed: nearly every task is done without this daemon.
func newDockerDaemon(address string) *dockerDaemon {
	d := &dockerDaemon{address: address}
	parsed, err := url.Parse(address)
	if err != nil {
		return d
	}
	switch parsed.Scheme {
	case "unix":
		d.scheme, d.target = "unix", parsed.Path
	case "tcp", "http":
		d.scheme, d.target = "tcp", parsed.Host
	}
	return d
}

// load streams an archive of an image into the daemon.
func (d *dockerDaemon) load(ctx context.Context, archive io.Reader) error {
	return d.post(ctx, "load the image into", "/images/load?quiet=1", archive)
}

// tag gives an image one more tag.
func (d *dockerDaemon) tag(ctx context.Context, image, repository, tag string) error {
	query := url.Values{"repo": {repository}, "tag": {tag}}
	return d.post(ctx, "tag the image in", "/images/"+image+"/tag?"+query.Encode(), http.NoBody)
}

// post sends one request on a connection of its own. The daemon answers with
// 200 and a stream of JSON in which an error may stand.
func (d *dockerDaemon) post(ctx context.Context, what, path string, body io.Reader) error {
	if d.target == "" {
		message := fmt.Sprintf("DOCKER_HOST %s is neither unix:///path nor tcp://host:port", d.address)
		return tasks.Fail(tasks.ReasonUnsupported, message, nil)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://docker"+path, body)
	if err != nil {
		return tasks.Fail(tasks.ReasonInternal, "", err)
	}
	req.Header.Set("Content-Type", "application/x-tar")
	transport := &http.Transport{DialContext: d.dial, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(req)
	if err != nil {
		return tasks.Fail(tasks.ReasonBuilderDown, fmt.Sprintf("%s the Docker daemon at %s: it cannot be reached", what, d.address), err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxDockerAnswer))
	if said := refusal(response.StatusCode, text, err); said != nil {
		reason := tasks.ReasonBuilderDown
		if isDiskFull(said.Error()) {
			reason = tasks.ReasonDiskFull
		}
		return tasks.Fail(reason, fmt.Sprintf("%s the Docker daemon at %s: %s", what, d.address, cut(oneLine(said.Error()))), said)
	}
	return nil
}

func (d *dockerDaemon) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, d.scheme, d.target)
}

// refusal is what the daemon's answer says against it; nil where it is content.
func refusal(status int, text []byte, err error) error {
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var line struct {
			Error   string `json:"error"`
			Message string `json:"message"`
		}
		if decoder.Decode(&line) != nil {
			break
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
		if status >= http.StatusBadRequest && line.Message != "" {
			return errors.New(line.Message)
		}
	}
	if status >= http.StatusBadRequest {
		return fmt.Errorf("status %d %s", status, strings.ToLower(http.StatusText(status)))
	}
	return nil
}
