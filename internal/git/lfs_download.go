package git

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

const (
	lfsType = "application/vnd.git-lfs+json"
	// lfsBatch is how many objects one request asks for.
	lfsBatch = 100
	// maxBatchAnswer bounds one answer of the server.
	maxBatchAnswer = 4 << 20
	maxRedirects   = 5
)

var oidPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// download fetches the objects of one checkout.
type download struct {
	client *Client
	server lfsServer
	at     checkout
	heard  atomic.Int64
}

// named is the target for errors: its host is the LFS server's.
func (d *download) named() target {
	t := d.at.target
	t.label = t.title() + ": LFS"
	t.address, t.token, t.keys, t.deployKey = d.server.url, "", nil, nil
	return t
}

// all fetches each object once and writes it into every place that it belongs to.
func (d *download) all(ctx context.Context, pointers []pointer) error {
	defer d.client.store.CloseIdleConnections()
	root, err := os.OpenRoot(d.at.dir)
	if err != nil {
		return d.at.internal(err)
	}
	defer func() { _ = root.Close() }()
	places := map[string][]pointer{}
	var unique []pointer
	for _, p := range pointers {
		if places[p.oid] == nil {
			unique = append(unique, p)
		}
		if first := append(places[p.oid], p)[0]; first.size != p.size {
			return d.at.fail(tasks.ReasonGitRejected, "LFS: the pointers "+printable(first.path, 120)+" and "+printable(p.path, 120)+" give one object two sizes", nil)
		}
		places[p.oid] = append(places[p.oid], p)
	}
	for some := range slices.Chunk(unique, lfsBatch) {
		actions, err := d.batch(ctx, some)
		if err != nil {
			return err
		}
		for _, p := range some {
			if err := d.object(ctx, root, p, actions[p.oid]); err != nil {
				return err
			}
			if err := copies(ctx, root, p, places[p.oid][1:]); err != nil {
				return d.at.internal(err)
			}
		}
	}
	return nil
}

// The batch API's words.
type (
	batchObject struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	}
	batchRequest struct {
		Operation string        `json:"operation"`
		Transfers []string      `json:"transfers"`
		Objects   []batchObject `json:"objects"`
		HashAlgo  string        `json:"hash_algo"`
	}
	batchAction struct {
		Href   string            `json:"href"`
		Header map[string]string `json:"header"`
	}
	batchAnswer struct {
		Objects []struct {
			OID     string                 `json:"oid"`
			Actions map[string]batchAction `json:"actions"`
			Error   *struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			} `json:"error"`
		} `json:"objects"`
	}
)

// batch asks the server where some objects are.
func (d *download) batch(ctx context.Context, some []pointer) (map[string]batchAction, error) {
	ask := batchRequest{Operation: "download", Transfers: []string{"basic"}, HashAlgo: "sha256"}
	for _, p := range some {
		ask.Objects = append(ask.Objects, batchObject{p.oid, p.size})
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, d.at.internal(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.server.url.JoinPath("objects/batch").String(), bytes.NewReader(body))
	if err != nil {
		return nil, d.at.internal(err)
	}
	setHeaders(request, d.server.header)
	request.Header.Set("Accept", lfsType)
	request.Header.Set("Content-Type", lfsType)
	response, err := d.client.store.Do(request)
	if err != nil {
		return nil, d.unreachable(d.server.url.Host, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, d.at.lfsAnswered(response.StatusCode, d.server.url.Host, d.words(response.StatusCode))
	}
	var answer batchAnswer
	if err := json.NewDecoder(io.LimitReader(d.hear(response.Body), maxBatchAnswer)).Decode(&answer); err != nil {
		return nil, d.at.fail(tasks.ReasonGitUnavailable, "LFS: "+d.server.url.Host+" does not answer as an LFS server does", err)
	}
	return d.actions(answer)
}

// words adds to a refusal what was sent.
func (d *download) words(status int) string {
	if status != http.StatusUnauthorized && status != http.StatusForbidden && status != http.StatusNotFound {
		return ""
	}
	if len(d.server.header) == 0 {
		return "; it got no credential"
	}
	return ""
}

// actions picks the downloads out of an answer.
func (d *download) actions(answer batchAnswer) (map[string]batchAction, error) {
	actions := map[string]batchAction{}
	for _, o := range answer.Objects {
		if o.Error != nil {
			return nil, d.at.lfsAnswered(o.Error.Code, d.server.url.Host, " for object "+printable(o.OID, 64))
		}
		actions[o.OID] = o.Actions["download"]
	}
	return actions, nil
}

// object fetches one object into its pointer's place.
func (d *download) object(ctx context.Context, root *os.Root, p pointer, action batchAction) error {
	if action.Href == "" {
		return d.at.fail(tasks.ReasonGitNotFound, "LFS: "+d.server.url.Host+" does not have the file "+printable(p.path, 120), nil)
	}
	href, err := parseHref(action.Href, "https", d.server.url.Scheme)
	if err != nil {
		return d.at.fail(tasks.ReasonGitRejected, "LFS: "+d.server.url.Host+" names an address that is not used", err)
	}
	header := action.Header
	if !hasHeader(header, "Authorization") && sameOrigin(href, d.server.url) {
		header = d.server.header
	}
	response, err := d.get(ctx, href, header)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	return d.write(root, p, d.hear(response.Body))
}

// get follows redirects; headers go to the host that they were given for and
// never to another.
func (d *download) get(ctx context.Context, from *url.URL, header map[string]string) (*http.Response, error) {
	for range maxRedirects + 1 {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
		if err != nil {
			return nil, d.at.internal(err)
		}
		setHeaders(request, header)
		response, err := d.client.store.Do(request)
		if err != nil {
			return nil, d.unreachable(from.Host, err)
		}
		if response.StatusCode == http.StatusOK {
			return response, nil
		}
		_ = response.Body.Close()
		to, moved := redirect(response, from)
		if !moved {
			return nil, d.at.lfsAnswered(response.StatusCode, from.Host, "")
		}
		if to.Scheme != "https" && to.Scheme != d.server.url.Scheme || !hostPattern.MatchString(to.Host) || to.User != nil {
			return nil, d.at.fail(tasks.ReasonGitRejected, "LFS: "+from.Host+" redirects to "+origin(to)+", which is not followed", nil)
		}
		if !sameOrigin(to, from) {
			header = nil
		}
		from = to
	}
	return nil, d.at.fail(tasks.ReasonGitRejected, fmt.Sprintf("LFS: more than %d redirects, the last to %s", maxRedirects, origin(from)), nil)
}

// redirect is where an answer sends us.
func redirect(response *http.Response, from *url.URL) (*url.URL, bool) {
	location := response.Header.Get("Location")
	if response.StatusCode/100 != 3 || location == "" {
		return nil, false
	}
	to, err := from.Parse(location)
	return to, err == nil
}

// write puts the content into the pointer's place, and makes sure that it is
// the content that the pointer names.
func (d *download) write(root *os.Root, p pointer, content io.Reader) error {
	file, err := root.OpenFile(filepath.FromSlash(p.path), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return d.at.internal(err)
	}
	sum := sha256.New()
	disk := &fileWriter{file: file}
	n, err := io.Copy(io.MultiWriter(disk, sum), io.LimitReader(content, p.size+1))
	disk.err = errors.Join(disk.err, file.Close())
	switch {
	case disk.err != nil:
		return d.at.internal(disk.err)
	case err != nil || n < p.size:
		return d.at.fail(tasks.ReasonGitUnavailable, "LFS: the connection broke off at "+printable(p.path, 120), orDefault(err, io.ErrUnexpectedEOF))
	case n > p.size || hex.EncodeToString(sum.Sum(nil)) != p.oid:
		return d.at.fail(tasks.ReasonGitRejected, "LFS: what came for "+printable(p.path, 120)+" is not what its pointer names", nil)
	}
	return nil
}

// fileWriter tells an error of the disk from one of the network.
type fileWriter struct {
	file *os.File
	err  error
}

func (w *fileWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.err = errors.Join(w.err, err)
	return n, err
}

// copies writes an object into its other places.
func copies(ctx context.Context, root *os.Root, from pointer, to []pointer) error {
	for _, p := range to {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		in, err := root.Open(filepath.FromSlash(from.path))
		if err != nil {
			return err
		}
		out, err := root.OpenFile(filepath.FromSlash(p.path), os.O_WRONLY|os.O_TRUNC, 0)
		if err == nil {
			_, err = io.Copy(out, in)
			err = errors.Join(err, out.Close())
		}
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
	}
	return nil
}

// unreachable is the failure of a request that got no answer.
func (d *download) unreachable(host string, err error) error {
	// The address of an object may be a secret; what went wrong is not.
	var told *url.Error
	if errors.As(err, &told) {
		err = told.Err
	}
	return d.at.fail(tasks.ReasonGitUnavailable, "LFS: "+printable(host, 200)+" does not answer", err)
}

// hear counts what comes, for the watch.
func (d *download) hear(r io.Reader) io.Reader {
	return io.TeeReader(r, writerFunc(func(p []byte) (int, error) {
		d.heard.Add(int64(len(p)))
		return len(p), nil
	}))
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func setHeaders(request *http.Request, header map[string]string) {
	for name, value := range header {
		request.Header.Set(name, value)
	}
	request.Header.Set("User-Agent", "git-lfs/dispatchd")
}

func hasHeader(header map[string]string, name string) bool {
	for key := range header {
		if strings.EqualFold(key, name) {
			return true
		}
	}
	return false
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) }
