package gittest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"
)

// SSH serves the repositories of a Server over SSH on loopback, with a real
// sshd and a configuration of its own.
type SSH struct {
	// URL is the base of the repositories: ssh://user@host:port.
	URL string
	// HostKey is the server's line for a known_hosts file.
	HostKey string

	server *Server
	dir    string
	cmd    *exec.Cmd
}

// sshScript does what a provider's own shell does: it knows which repositories
// a key may see.
const sshScript = `#!/bin/sh
set -f
allowed=" $* "
printf '%%s\n' "$SSH_ORIGINAL_COMMAND" >>'%[1]s/commands'
set -- $SSH_ORIGINAL_COMMAND
path=${2#\'}; path=${path%%\'}; name=${path#/}; name=${name%%.git}
case "$allowed" in *" $name "*) ;; *) echo 'ERROR: Repository not found.' >&2; exit 1 ;; esac
case "$1" in
git-upload-pack) exec git-upload-pack "%[2]s/$name.git" ;;
git-lfs-authenticate) exec cat '%[1]s/lfs' ;;
esac
exit 127
`

// StartSSH starts sshd with its files below dir. Close ends it.
func (s *Server) StartSSH(ctx context.Context, dir string) (*SSH, error) {
	program, err := exec.LookPath("sshd")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/sshd"); err != nil {
			return nil, fmt.Errorf("serve repositories over SSH: %w", err)
		}
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	if me.Uid == "0" {
		// sshd wants an empty directory of its own.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	_, public, err := NewKey(ctx, filepath.Join(dir, "host"), "")
	if err != nil {
		return nil, err
	}
	h := &SSH{server: s, dir: dir}
	if err := os.WriteFile(filepath.Join(dir, "shell"), fmt.Appendf(nil, sshScript, dir, s.root), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "keys"), nil, 0o600); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	h.URL, h.HostKey = "ssh://"+me.Username+"@"+port, "["+strings.Replace(port, ":", "]:", 1)+" "+public
	return h, h.start(ctx, program, port)
}

// start runs sshd and waits until it answers.
func (h *SSH) start(ctx context.Context, program, address string) error {
	var said bytes.Buffer
	h.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, "-D", "-e", "-f", "/dev/null", "-h", filepath.Join(h.dir, "host"),
		"-o", "ListenAddress="+address, "-o", "PidFile=none", "-o", "UsePAM=no", "-o", "StrictModes=no",
		"-o", "PasswordAuthentication=no", "-o", "KbdInteractiveAuthentication=no", "-o", "PermitRootLogin=yes",
		"-o", "AcceptEnv=GIT_PROTOCOL", "-o", "AuthorizedKeysFile="+filepath.Join(h.dir, "keys"))
	h.cmd.Stderr = &said
	if err := h.cmd.Start(); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var dialer net.Dialer
		if conn, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			h.Close()
			return fmt.Errorf("sshd does not answer: %w: %s", ctx.Err(), said.String())
		}
	}
}

// Close ends sshd and waits for it.
func (h *SSH) Close() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

// AllowKey lets a public key see some repositories.
func (h *SSH) AllowKey(public string, repositories ...string) error {
	file, err := os.OpenFile(filepath.Join(h.dir, "keys"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "restrict,command=\"%s/shell %s\" %s\n", h.dir, strings.Join(repositories, " "), public)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// AnswerLFS is what git-lfs-authenticate says from now on.
func (h *SSH) AnswerLFS(text string) error {
	return os.WriteFile(filepath.Join(h.dir, "lfs"), []byte(text), 0o600)
}

// Commands returns what clients have run so far, one a line.
func (h *SSH) Commands() string {
	text, _ := os.ReadFile(filepath.Join(h.dir, "commands"))
	return string(text)
}

// NewKey makes an Ed25519 key pair in a file and returns both halves.
func NewKey(ctx context.Context, file, passphrase string) (private, public string, err error) {
	cmd := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-C", "test", "-N", passphrase, "-f", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	pub, err := os.ReadFile(file + ".pub")
	return string(key), strings.TrimSpace(string(pub)), err
}

// freePort returns an address on loopback that nobody listens on.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
