package upload

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Why an upload was ended by us.
var (
	errSlow   = errors.New("it took longer than one upload may take")
	errSilent = errors.New("nothing came for too long")
)

// upload is one task's, for messages.
type upload struct {
	title string
	host  string
	paths []string
}

// title names an upload by its id; the rest of it is secret.
func title(id string) string {
	if id == "" {
		return "upload"
	}
	return "upload " + printable(id)
}

// printable returns the text without control characters, cut to what a message can hold.
func printable(text string) string {
	const most = 120
	kept := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return '?'
	}, text[:min(len(text), 4*most)])
	if runes := []rune(kept); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return kept
}

func (u upload) fail(reason tasks.Reason, message string, err error) *tasks.Failure {
	return tasks.Fail(reason, u.title+": "+message, err)
}

// problem is what is wrong with an archive.
type problem struct {
	reason tasks.Reason
	text   string
}

func (p *problem) Error() string { return p.text }

func invalid(format string, args ...any) error {
	return &problem{tasks.ReasonSourceInvalid, fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) error {
	return &problem{tasks.ReasonSourceTooLarge, fmt.Sprintf(format, args...)}
}

// explain makes a Failure of an error of the extraction.
func (u upload) explain(ctx context.Context, err error) error {
	var p *problem
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), errSlow):
		return u.fail(tasks.ReasonSourceTooLarge, "its archive takes too long to unpack", errSlow)
	case errors.As(err, &p):
		return u.fail(p.reason, p.text, nil)
	case isOurs(err):
		return u.broken(err)
	}
	return u.fail(tasks.ReasonSourceInvalid, "its archive is damaged or cut off", err)
}

// isOurs reports whether the error is of the worker's own file system.
func isOurs(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	return errors.As(err, &path) || errors.As(err, &link)
}

// broken is a failure of the worker's own file system.
func (u upload) broken(err error) *tasks.Failure {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return u.fail(tasks.ReasonDiskFull, "the worker's disk is full", err)
	}
	return u.fail(tasks.ReasonInternal, "the work directory cannot be used", err)
}

func (u upload) downloadTooLarge(most int64) *tasks.Failure {
	return u.fail(tasks.ReasonSourceTooLarge, "its archive is larger than "+byteSize(most), nil)
}

// unreachable is the failure for an exchange that did not come to its end.
// The client's own errors hold the address, so only their core is kept.
func (u upload) unreachable(ctx context.Context, err error) *tasks.Failure {
	var no *refused
	if errors.As(err, &no) {
		return u.fail(tasks.ReasonSourceRejected, no.why, nil)
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errSilent):
		return u.fail(tasks.ReasonSourceDown, u.host+" stopped answering", cause)
	case errors.Is(cause, errSlow):
		return u.fail(tasks.ReasonSourceDown, u.host+" sends it too slowly", cause)
	}
	var resolving *net.DNSError
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &resolving):
		return u.fail(tasks.ReasonSourceDown, "the name "+u.host+" cannot be resolved", resolving)
	case errors.As(err, &certificate):
		return u.fail(tasks.ReasonSourceDown, "no trusted TLS connection to "+u.host, certificate)
	case errors.As(err, &op):
		return u.fail(tasks.ReasonSourceDown, u.host+" cannot be reached", op)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return u.fail(tasks.ReasonSourceDown, "the connection to "+u.host+" broke off", io.ErrUnexpectedEOF)
	}
	return u.fail(tasks.ReasonSourceDown, "no proper answer from "+u.host, nil)
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
