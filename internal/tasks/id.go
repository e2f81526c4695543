package tasks

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// maxToken is the longest id, deployment id and target.
const maxToken = 128

const (
	digits       = "0123456789"
	hexDigits    = digits + "abcdef"
	alphanumeric = digits + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	tokenChars   = alphanumeric + "_-"
)

// ValidID reports whether the text may be an id: [A-Za-z0-9_-]{1,128}, which is
// one token of a subject and one name of a file.
func ValidID(id string) bool {
	return id != "" && len(id) <= maxToken && madeOf(id, tokenChars)
}

// NewID returns a random id of 26 characters.
func NewID() string { return rand.Text() }

// TargetToken returns the token that stands for a job in a task's subject: the
// job id itself where it is one, else x and the first 32 hex digits of its SHA-256.
func TargetToken(jobID string) string {
	if ValidID(jobID) {
		return jobID
	}
	sum := sha256.Sum256([]byte(jobID))
	return "x" + hex.EncodeToString(sum[:16])
}

// IDFromNomadJob returns the id of a dispatched job's task: the last part of
// NOMAD_JOB_ID where that reads dispatch-<digits>-<hex>. A restarted allocation
// finds the same id again, a second dispatch another one.
func IDFromNomadJob(nomadJobID string) (string, bool) {
	last := nomadJobID[strings.LastIndexByte(nomadJobID, '/')+1:]
	parts := strings.Split(last, "-")
	if len(parts) != 3 || parts[0] != "dispatch" || !ValidID(last) {
		return "", false
	}
	if parts[1] == "" || !madeOf(parts[1], digits) || parts[2] == "" || !madeOf(parts[2], hexDigits) {
		return "", false
	}
	return last, true
}

// madeOf reports whether the text holds no character but those of the set.
func madeOf(text, set string) bool { return strings.Trim(text, set) == "" }
