package git

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// gitError is git's own last word, for the operator.
type gitError struct {
	words string
	// doubtful is true where git's words have more than one meaning and the
	// provider can say which.
	doubtful bool
}

func (e *gitError) Error() string { return e.words }

// rule says what one of git's lines means. A rule without a message leaves it to another function.
type rule struct {
	words    *regexp.Regexp
	reason   tasks.Reason
	message  string
	doubtful bool
}

// statusPattern finds the HTTP status that git does not explain further.
var statusPattern = regexp.MustCompile(`^(?:fatal: unable to access|error: RPC failed).* error: ([0-9]{3})`)

// rules are tried in this order against every line of git's own; the first
// that matches any line wins. They are anchored, because lines repeat names
// that a stranger chose.
var rules = []rule{
	// git opens a file and then does not say why it cannot write it.
	{regexp.MustCompile(`(: (No space left on device|Disk quota exceeded)$|^error: unable to write file )`), tasks.ReasonDiskFull, "the worker's disk is full", false},
	{regexp.MustCompile(`^fatal: Remote branch .* not found in upstream`), tasks.ReasonGitRefNotFound, "branch not found", true},
	{regexp.MustCompile(`^error: object [0-9a-f]+ is a [a-z]+, not a commit$`), tasks.ReasonGitRefNotFound, "the tag does not name a commit", false},
	{regexp.MustCompile(`^` + unadvertised), tasks.ReasonGitRefNotFound, "$host gives out branches and tags alone, not single commits", false},
	{regexp.MustCompile(`(: not our ref [0-9a-f]+$|^fatal: (reference is not a tree|remote error: upload-pack: not our ref))`), tasks.ReasonGitRefNotFound, "the commit that the repository names is not there", false},
	{regexp.MustCompile(`^fatal: repository '.*' not found$`), tasks.ReasonGitNotFound, "", false},
	{regexp.MustCompile(`^fatal: (Authentication failed for|could not read (Username|Password) for)`), tasks.ReasonGitAuth, "", false},
	{regexp.MustCompile(`^fatal: transport '.*' not allowed$`), tasks.ReasonGitRejected, "the repository's address is not allowed", false},
	{regexp.MustCompile(`^(fatal: fsck error|error: object [0-9a-f]+: )`), tasks.ReasonGitRejected, "the repository holds objects that git refuses as broken or unsafe: $words", false},
	{regexp.MustCompile(`^fatal: unable to access .*: Could not resolve`), tasks.ReasonGitUnavailable, "the name $host cannot be resolved", false},
	{regexp.MustCompile(`^fatal: unable to access .*: (Failed to connect|Couldn't connect)`), tasks.ReasonGitUnavailable, "$host does not accept connections", false},
	{regexp.MustCompile(`^fatal: unable to access .*: .*(certificate|SSL|TLS|tls_)`), tasks.ReasonGitUnavailable, "no trusted TLS connection to $host", false},
	{regexp.MustCompile(`^(fatal: unable to (access|connect)|error: RPC failed|ssh: |fetch-pack: ).*(Operation too slow|timed out)`), tasks.ReasonGitUnavailable, "$host stopped answering", false},
	{regexp.MustCompile(`^(fatal|error): .*(early EOF|hung up unexpectedly|RPC failed|unexpected disconnect|Empty reply)`), tasks.ReasonGitUnavailable, "the connection to $host broke off", false},
	{regexp.MustCompile(`^fatal: remote error: `), tasks.ReasonGitUnavailable, "$host reported an error", false},
	{regexp.MustCompile(`^(error: (invalid path|unable to create|cannot stat)|fatal: (unable to checkout|cannot create directory))`), tasks.ReasonSourceInvalid, "the repository's files cannot be written to disk", false},
}

// unadvertised is what git says of a server that gives out no single commits.
const unadvertised = "error: Server does not allow request for unadvertised object"

func isUnadvertised(err error) bool {
	var g *gitError
	return errors.As(err, &g) && strings.HasPrefix(g.words, unadvertised)
}

// mostWords is how much of git's words a message repeats.
const mostWords = 120

// classify makes git's words and its end a Failure.
func classify(t target, own []string, end error) *tasks.Failure {
	var exit *exec.ExitError
	if !errors.As(end, &exit) && len(own) == 0 {
		return t.fail(tasks.ReasonGitUnavailable, "the git program cannot be started on this worker", end)
	}
	if status, words := httpStatus(own); status != 0 {
		return t.answered(status, words)
	}
	known := rules
	if t.keys != nil {
		known = slices.Concat(sshRules, rules, sshLast)
	}
	for _, r := range known {
		for _, line := range own {
			if r.words.MatchString(line) {
				message := strings.ReplaceAll(orDefault(r.message, t.unseen(r.reason)), "$words", printable(line, mostWords))
				return t.fail(r.reason, message, &gitError{line, r.doubtful})
			}
		}
	}
	return t.fail(tasks.ReasonGitUnavailable, "git ended before it was done", lastWords(own, end))
}

// httpStatus finds the status of the answer that made git give up.
func httpStatus(own []string) (int, string) {
	for _, line := range own {
		if m := statusPattern.FindStringSubmatch(line); m != nil {
			status, _ := strconv.Atoi(m[1])
			return status, line
		}
	}
	return 0, ""
}

// answered is the failure for an HTTP status.
func (t target) answered(status int, words string) *tasks.Failure {
	err := &gitError{words, status/100 == 3}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return t.fail(tasks.ReasonGitAuth, t.unseen(tasks.ReasonGitAuth), err)
	case status == http.StatusNotFound || status == http.StatusGone:
		return t.fail(tasks.ReasonGitNotFound, t.unseen(tasks.ReasonGitNotFound), err)
	case status == http.StatusTooManyRequests:
		return t.fail(tasks.ReasonGitRateLimited, "$host limits our requests", err)
	case status/100 == 3:
		return t.fail(tasks.ReasonGitRejected, "$host redirects elsewhere, which is not followed", err)
	}
	return t.fail(tasks.ReasonGitUnavailable, fmt.Sprintf("$host answered with status %d", status), err)
}

// unseen is the message for a repository that the provider does not show.
// Providers hide a private one behind either answer.
func (t target) unseen(reason tasks.Reason) string {
	switch {
	case t.deployKey != nil && reason == tasks.ReasonGitAuth:
		return "$host refused the deploy key"
	case t.deployKey != nil:
		return "repository does not exist, or the deploy key may not see it"
	case t.address != nil:
		return "repository does not exist, or it is private"
	case !t.token.Set():
		return "repository does not exist, or it needs a token"
	case reason == tasks.ReasonGitNotFound:
		return "repository does not exist, or the token may not see it"
	}
	return "$host refused the token"
}

// lastWords is the best that is known about why git ended.
func lastWords(own []string, end error) error {
	if len(own) == 0 {
		return end
	}
	return &gitError{words: own[len(own)-1]}
}

// fail makes a Failure that names what was cloned; $host is the provider's host.
func (t target) fail(reason tasks.Reason, message string, err error) *tasks.Failure {
	if t.provider.base != nil {
		message = strings.ReplaceAll(message, "$host", t.base().Host)
	}
	return tasks.Fail(reason, t.title()+": "+message, err)
}

// title names the clone. What has not passed the policy may hold anything.
func (t target) title() string {
	if t.label != "" {
		return t.label
	}
	const most = 80
	return "clone " + printable(t.repository, most) + "@" + printable(t.branch, most)
}

func (t target) rejected(message string) error {
	return t.fail(tasks.ReasonGitRejected, message, nil)
}

func (t target) tooLarge(most int64) error {
	return t.fail(tasks.ReasonSourceTooLarge, fmt.Sprintf("the source takes more than %s", byteSize(most)), nil)
}

// internal is a failure of the worker's own file system.
func (t target) internal(err error) error {
	if isDiskFull(err) {
		return t.fail(tasks.ReasonDiskFull, "the worker's disk is full", err)
	}
	return t.fail(tasks.ReasonInternal, "the work directory cannot be used", err)
}

// internalOrNil is internal for an error, and nil for none.
func (t target) internalOrNil(err error) error {
	if err == nil {
		return nil
	}
	return t.internal(err)
}

// isDiskFull reports whether the file system has no room left.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func isDoubtful(err error) bool {
	var g *gitError
	return errors.As(err, &g) && g.doubtful
}

// byteSize writes a number of bytes in the largest unit that divides it well.
func byteSize(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size {
			return strconv.FormatFloat(float64(n*10/unit.size)/10, 'f', -1, 64) + " " + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}
