package git

import (
	_ "embed"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// publicHosts are the keys that github.com, gitlab.com and bitbucket.org have
// published for themselves, as a known_hosts file.
//
//go:embed known_hosts
var publicHosts string

// keyPrefix is how a task's credential begins where it is a private key.
const keyPrefix = "-----BEGIN"

// maxKnownHosts bounds the operator's file.
const maxKnownHosts = 4 << 20

func isDeployKey(token tasks.Secret) bool {
	return strings.HasPrefix(strings.TrimLeft(token.Reveal(), " \t\r\n"), keyPrefix)
}

// What may be wrong with a deploy key.
var (
	errBrokenKey    = errors.New("the deploy key is not a whole private key")
	errEncryptedKey = errors.New("the deploy key is protected by a passphrase; use one without")
)

// parseDeployKey returns the private key as ssh reads it, with the line ends
// that a form or a JSON editor may have taken away put back.
func parseDeployKey(token tasks.Secret) ([]byte, error) {
	text := strings.TrimSpace(strings.ReplaceAll(token.Reveal(), "\r\n", "\n")) + "\n"
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(strings.TrimSpace(string(rest))) != 0 || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, errBrokenKey
	}
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, errEncryptedKey
	case block.Type != "OPENSSH PRIVATE KEY":
		return []byte(text), nil
	}
	cipher, ok := opensshCipher(block.Bytes)
	if !ok {
		return nil, errBrokenKey
	}
	if cipher != "none" {
		return nil, errEncryptedKey
	}
	return []byte(text), nil
}

// opensshCipher reads the name of the cipher out of a private key in OpenSSH's
// own format: it follows the magic word, with its length before it.
func opensshCipher(key []byte) (string, bool) {
	const magic = "openssh-key-v1\x00"
	rest, ok := strings.CutPrefix(string(key), magic)
	if !ok || len(rest) < 4 {
		return "", false
	}
	n := binary.BigEndian.Uint32([]byte(rest[:4]))
	if uint64(n) > uint64(len(rest)-4) {
		return "", false
	}
	return rest[4 : 4+n], true
}

// keyring is a deploy key while a clone uses it: the key and the known hosts,
// each as a file in memory that ssh opens by the name below /proc.
type keyring struct {
	// program is the path of ssh.
	program         string
	identity, hosts *memoryFile
}

// openKeyring puts the target's key where ssh can read it. The caller closes
// the keyring once no ssh runs any more.
func (c *Client) openKeyring(t target) (*keyring, error) {
	program, err := c.findSSH(t)
	if err != nil {
		return nil, err
	}
	hosts, err := c.knownHosts()
	if err != nil {
		return nil, t.fail(tasks.ReasonInternal, "the file of DISPATCHD_GIT_KNOWN_HOSTS cannot be read on this worker", err)
	}
	k := &keyring{program: program}
	if k.identity, err = newMemoryFile("deploy-key", t.deployKey); err == nil {
		k.hosts, err = newMemoryFile("known-hosts", hosts)
	}
	if err != nil {
		k.close()
		return nil, t.fail(tasks.ReasonInternal, "the deploy key cannot be used on this worker", err)
	}
	return k, nil
}

// knownHosts are the published keys and what the operator's file adds.
func (c *Client) knownHosts() ([]byte, error) {
	all := []byte(publicHosts)
	if c.hostsFile == "" {
		return all, nil
	}
	info, err := os.Stat(c.hostsFile)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKnownHosts {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", c.hostsFile, info.Size(), maxKnownHosts)
	}
	own, err := os.ReadFile(c.hostsFile)
	return append(append(all, own...), '\n'), err
}

func (k *keyring) close() {
	if k == nil {
		return
	}
	k.identity.close()
	k.hosts.close()
}
