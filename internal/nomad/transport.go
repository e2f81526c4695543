package nomad

import (
	"errors"
	"io"
	"net/http"
)

const (
	// unixHost is where Nomad's client sends what is for a unix socket.
	unixHost = "127.0.0.1:80"
	// maxAnswer is far above any answer of a real Nomad.
	maxAnswer = 32 << 20
	// maxErrorBody is what is read of the answer that goes into an error.
	maxErrorBody = 64 << 10
)

var errAnswerTooLarge = errors.New("the answer is larger than any of Nomad's")

// limitedTransport keeps an endless answer from filling the memory: the
// address may be a task's own, and Nomad's client reads error bodies whole.
type limitedTransport struct {
	next *http.Transport
}

// RoundTrip is http.RoundTripper's.
func (t *limitedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	// Nomad's client asks for gzip and unpacks it behind the limit. Where nobody
	// asks, the transport does both before it.
	req = req.Clone(req.Context())
	req.Header.Del("Accept-Encoding")
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	limit := int64(maxAnswer)
	if resp.StatusCode != http.StatusOK {
		limit = maxErrorBody
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: limit}
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (t *limitedTransport) CloseIdleConnections() { t.next.CloseIdleConnections() }

type limitedBody struct {
	io.ReadCloser
	left int64
}

// Read is io.Reader's.
func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errAnswerTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
