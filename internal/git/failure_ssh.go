package git

import (
	"regexp"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// sshRules are tried before git's own where a deploy key is used: ssh says why
// the connection failed, and git only that it did.
var sshRules = []rule{
	{regexp.MustCompile(`^ssh: cannot be started`), tasks.ReasonGitUnavailable, "the ssh program cannot be started on this worker", false},
	{regexp.MustCompile(`^No user exists for uid`), tasks.ReasonGitUnavailable, "ssh needs a line for the worker's user in its /etc/passwd", false},
	{regexp.MustCompile(`^Host key for .* has changed and you have requested strict checking`), tasks.ReasonGitHostUntrusted, "$host shows another SSH host key than the known one; if that is right, put it into the file of DISPATCHD_GIT_KNOWN_HOSTS", false},
	{regexp.MustCompile(`^No [A-Za-z0-9-]+ host key is known for .* and you have requested strict checking`), tasks.ReasonGitHostUntrusted, "the SSH host key of $host is not known; put it into the file of DISPATCHD_GIT_KNOWN_HOSTS", false},
	{regexp.MustCompile(`^(Host key verification failed|@ +WARNING: REVOKED HOST KEY)`), tasks.ReasonGitHostUntrusted, "the SSH host key of $host is not accepted; see DISPATCHD_GIT_KNOWN_HOSTS", false},
	{regexp.MustCompile(`^(Load key ".*": |.*: Too many authentication failures)`), tasks.ReasonGitAuth, "ssh cannot use the deploy key", false},
	{regexp.MustCompile(`: Permission denied \(`), tasks.ReasonGitAuth, "", false},
	{regexp.MustCompile(`^ssh: Could not resolve hostname `), tasks.ReasonGitUnavailable, "the name $host cannot be resolved", false},
	{regexp.MustCompile(`^ssh: connect to host .*: Connection refused`), tasks.ReasonGitUnavailable, "$host does not accept connections", false},
	{regexp.MustCompile(`^ssh: connect to host .*(timed out|No route to host|Network is unreachable)`), tasks.ReasonGitUnavailable, "$host cannot be reached", false},
	{regexp.MustCompile(`^(Unable to negotiate with|no matching host key type)`), tasks.ReasonGitUnavailable, "$host and ssh have no method of encryption in common", false},
	{regexp.MustCompile(`^(kex_exchange_identification: |Connection (closed|reset) by |client_loop: |Timeout, server )`), tasks.ReasonGitUnavailable, "the connection to $host broke off", false},
	{regexp.MustCompile(`^(ERROR: Repository not found|fatal: '.*' does not appear to be a git repository|conq: repository does not exist)`), tasks.ReasonGitNotFound, "", false},
}

// sshLast stands behind git's rules: every failure over SSH ends with it, and
// alone it means that the other side does not show the repository.
var sshLast = []rule{
	{regexp.MustCompile(`^fatal: Could not read from remote repository`), tasks.ReasonGitNotFound, "", false},
}
