package git

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// lfsFile is where a repository may name its LFS server.
const lfsFile = ".lfsconfig"

// lfsServer is where the objects of one repository are asked for. Its header
// is sent to that host alone.
type lfsServer struct {
	url    *url.URL
	header map[string]string
}

// lfsServer finds the server: the one beside the repository, or the one that
// the repository names on the same host. With a deploy key the host says over
// SSH where it is.
func (j *job) lfsServer(ctx context.Context, at checkout) (lfsServer, error) {
	named, err := j.namedServer(ctx, at)
	if err != nil {
		return lfsServer{}, err
	}
	if at.keys != nil {
		return j.serverOverSSH(ctx, at)
	}
	server := lfsServer{url: named, header: map[string]string{}}
	if named == nil {
		base := at.url()
		if !strings.HasSuffix(base, ".git") {
			base += ".git"
		}
		if server.url, err = url.Parse(base + "/info/lfs"); err != nil {
			return lfsServer{}, at.internal(err)
		}
	}
	if at.token.Set() {
		server.header["Authorization"] = at.basic()
	}
	return server, nil
}

// namedServer reads .lfsconfig. A server on another host would get no
// credential and is not asked at all.
func (j *job) namedServer(ctx context.Context, at checkout) (*url.URL, error) {
	if info, err := os.Lstat(filepath.Join(at.dir, lfsFile)); err != nil || !info.Mode().IsRegular() {
		return nil, nil //nolint:nilerr // a repository without the file
	}
	text, err := j.local(ctx, at, "", "config", "--null", "--list", "--no-includes", "--blob="+at.commit+":"+lfsFile)
	if err != nil {
		return nil, at.fail(tasks.ReasonGitRejected, "LFS: .lfsconfig cannot be read", err)
	}
	address := ""
	for entry := range strings.SplitSeq(text, "\x00") {
		if key, value, _ := strings.Cut(entry, "\n"); key == "lfs.url" || key == "remote.origin.lfsurl" && address == "" {
			address = value
		}
	}
	if address == "" {
		return nil, nil
	}
	u, err := parseAddress(address)
	if err != nil {
		return nil, at.rejected("LFS: the server that .lfsconfig names: " + err.Error())
	}
	if !at.owns(u) {
		return nil, at.rejected(fmt.Sprintf("LFS: .lfsconfig names the server at %s, which is another host than the repository's, gets no credential and is not asked", printable(u.Host, 200)))
	}
	if u.Scheme == "ssh" {
		return nil, nil
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}, nil
}

// owns reports whether an address is on the host that the target is fetched from.
func (t target) owns(u *url.URL) bool {
	if t.address != nil {
		return u.Scheme == t.address.Scheme && u.Host == t.address.Host
	}
	_, same := t.provider.holds(u)
	return same || u.Scheme == t.provider.base.Scheme && u.Host == t.provider.base.Host
}

// authenticated is what git-lfs-authenticate says.
type authenticated struct {
	Href   string            `json:"href"`
	Header map[string]string `json:"header"`
}

// serverOverSSH asks the host, which knows the deploy key, for the address of
// its LFS server and a header that opens it.
func (j *job) serverOverSSH(ctx context.Context, at checkout) (lfsServer, error) {
	base, argv := at.provider.ssh, j.client.sshCommand(at.target)
	if base.Port() != "" {
		argv = append(argv, "-p", base.Port())
	}
	// The path is of characters that need no quotes.
	remote := "git-lfs-authenticate " + strings.TrimPrefix(base.Path+"/"+at.repository, "/") + ".git download"
	argv = append(argv, "--", base.User.Username()+"@"+base.Hostname(), remote)
	answer, out := &bounded{most: 64 << 10}, newOutput(j.rep.Stderr())
	err := j.watched(ctx, out.heard.Load, func(ctx context.Context) error {
		return j.client.run(ctx, program{
			name: argv[0], args: argv[1:], env: []string{"LANG=C", "HOME=" + j.home}, dir: j.home, stdout: answer, stderr: out,
		})
	})
	out.flush()
	if failure := j.ended(at.target, err); failure != nil {
		return lfsServer{}, failure
	}
	var said authenticated
	if err == nil {
		err = json.Unmarshal([]byte(answer.text.String()), &said)
	}
	if err != nil {
		return lfsServer{}, at.noLFSOverSSH(out.own, err)
	}
	u, err := parseHref(said.Href, "https", at.provider.base.Scheme)
	if err != nil {
		return lfsServer{}, at.fail(tasks.ReasonGitUnavailable, "LFS: $host names a server over SSH that cannot be used", err)
	}
	return lfsServer{url: u, header: said.Header}, nil
}

// noLFSOverSSH is the failure of git-lfs-authenticate: one of the connection,
// or a host that does not know the command.
func (t target) noLFSOverSSH(own []string, err error) error {
	for _, r := range sshRules {
		for _, line := range own {
			if r.words.MatchString(line) {
				return t.fail(r.reason, "LFS: "+orDefault(r.message, t.unseen(r.reason)), &gitError{words: line})
			}
		}
	}
	return t.fail(tasks.ReasonGitRejected, "LFS: $host does not say over SSH where its LFS server is; use a token instead of a deploy key", lastWords(own, err))
}

// parseHref reads an address that a trusted server gave.
func parseHref(text string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the address is not a URL")
	case !slices.Contains(schemes, u.Scheme):
		return nil, fmt.Errorf("the address begins with %q, allowed are %s", printable(u.Scheme, 20), strings.Join(schemes, ", "))
	case !hostPattern.MatchString(u.Host) || u.User != nil:
		return nil, fmt.Errorf("the address has no valid host, or a user")
	}
	return u, nil
}

// lfsAnswered is the failure for an HTTP status of an LFS server.
func (t target) lfsAnswered(status int, where, what string) error {
	message := fmt.Sprintf("LFS: %s answered with status %d%s", printable(where, 200), status, what)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return t.fail(tasks.ReasonGitAuth, message, nil)
	case status == http.StatusNotFound || status == http.StatusGone:
		return t.fail(tasks.ReasonGitNotFound, message, nil)
	case status == http.StatusTooManyRequests:
		return t.fail(tasks.ReasonGitRateLimited, "LFS: "+printable(where, 200)+" limits our requests", nil)
	case status/100 == 3 || status == http.StatusUnprocessableEntity || status == http.StatusNotImplemented:
		return t.fail(tasks.ReasonGitRejected, message, nil)
	}
	return t.fail(tasks.ReasonGitUnavailable, message, nil)
}
