package git

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// asSSH is the variable with which git's child, this program once more, is
// told to become ssh: ssh's path and options, one a line.
const asSSH = "DISPATCHD_AS_SSH"

// sshFixed are the options of every ssh. The first value of an option counts,
// so nothing that git adds later can change them. No file of the user's or the
// machine's is read, nothing is asked, nothing is started or passed on.
var sshFixed = []string{
	"-F", "none", "-T", "-a", "-x",
	"-o", "BatchMode=yes",
	"-o", "StrictHostKeyChecking=yes",
	"-o", "UpdateHostKeys=no",
	"-o", "CheckHostIP=no",
	"-o", "VerifyHostKeyDNS=no",
	"-o", "GlobalKnownHostsFile=/dev/null",
	"-o", "IdentitiesOnly=yes",
	"-o", "IdentityAgent=none",
	"-o", "PreferredAuthentications=publickey",
	"-o", "PasswordAuthentication=no",
	"-o", "KbdInteractiveAuthentication=no",
	"-o", "ForwardAgent=no",
	"-o", "ClearAllForwardings=yes",
	"-o", "PermitLocalCommand=no",
	"-o", "ProxyCommand=none",
	"-o", "ProxyJump=none",
	"-o", "ControlMaster=no",
	"-o", "ControlPath=none",
	"-o", "CanonicalizeHostname=no",
	"-o", "ServerAliveInterval=15",
	"-o", "ServerAliveCountMax=3",
	"-o", "LogLevel=INFO",
}

// BecomeSSH turns this process into ssh where git has started it for that, and
// does not return then. A program that clones with deploy keys calls it before
// anything else: git takes ssh's options from nowhere but a shell's command
// line, and a container may have no shell.
func BecomeSSH() {
	command, asked := os.LookupEnv(asSSH)
	if !asked {
		return
	}
	environ := slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, asSSH+"=") })
	argv := append(strings.Split(command, "\n"), os.Args[1:]...)
	err := syscall.Exec(argv[0], argv, environ)
	_, _ = fmt.Fprintf(os.Stderr, "ssh: cannot be started: %v\n", err)
	os.Exit(255)
}

// sshCommand is ssh and its options for a keyring.
func (c *Client) sshCommand(t target) []string {
	return slices.Concat([]string{t.keys.program}, sshFixed, []string{
		"-o", "ConnectTimeout=" + strconv.Itoa(max(1, int(c.stall/time.Second))),
		"-o", "UserKnownHostsFile=" + t.keys.hosts.path,
		"-i", t.keys.identity.path,
	})
}

// sshEnviron are the variables that let git use the deploy key.
func (c *Client) sshEnviron(t target) []string {
	if t.keys == nil {
		return nil
	}
	return []string{"GIT_SSH=" + ownProgram(), "GIT_SSH_VARIANT=ssh", asSSH + "=" + strings.Join(c.sshCommand(t), "\n")}
}

// findSSH returns the path of ssh.
func (c *Client) findSSH(t target) (string, error) {
	path, err := exec.LookPath(c.ssh)
	if err != nil {
		return "", t.fail(tasks.ReasonGitUnavailable, "this worker has no ssh program, which deploy keys need", errors.Unwrap(err))
	}
	return path, nil
}
