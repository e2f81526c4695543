package git_test

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dispatchd/dispatchd/internal/git/gittest"
)

// sshWorld is a server over SSH, a key that it lets in to acme/api and
// acme/lib, and a file of known hosts that holds its key.
type sshWorld struct {
	*gittest.SSH
	private, hosts string
}

func newSSH(t *testing.T, server *gittest.Server) *sshWorld {
	t.Helper()
	s, err := server.StartSSH(t.Context(), t.TempDir())
	if err != nil {
		t.Skipf("needs sshd and ssh: %v", err)
	}
	t.Cleanup(s.Close)
	w := &sshWorld{SSH: s}
	private, public := newKey(t, "")
	if err := s.AllowKey(public, "acme/api", "acme/lib"); err != nil {
		t.Fatal(err)
	}
	w.private = private
	w.hosts = writeHosts(t, s.HostKey)
	return w
}

func newKey(t *testing.T, passphrase string) (private, public string) {
	t.Helper()
	private, public, err := gittest.NewKey(t.Context(), filepath.Join(t.TempDir(), "key"), passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

func writeHosts(t *testing.T, line string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// fingerprints maps the host and the kind of each key to its SHA-256.
func fingerprints(t *testing.T, hosts string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(hosts) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			t.Fatalf("line %q of the known hosts", line)
		}
		key, err := base64.StdEncoding.DecodeString(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(key)
		found[fields[0]+" "+fields[1]] = base64.RawStdEncoding.EncodeToString(sum[:])
	}
	return found
}
