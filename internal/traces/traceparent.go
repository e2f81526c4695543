package traces

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// flagSampled is the one flag of a traceparent that is ours to read.
const flagSampled = 1

// TraceID is the id of a trace; all zeros is none.
type TraceID [16]byte

// String returns 32 hexadecimal digits, or nothing where there is no id.
func (t TraceID) String() string {
	if t == (TraceID{}) {
		return ""
	}
	return hex.EncodeToString(t[:])
}

// TraceIDOf makes the trace id of a task whose publisher sent none. It is the
// same for every attempt, on whichever worker.
func TraceIDOf(taskID string) TraceID {
	sum := sha256.Sum256([]byte("trace of " + taskID))
	return TraceID(sum[:16])
}

// SpanID is the id of a span; all zeros is none.
type SpanID [8]byte

func newSpanID() SpanID {
	var id SpanID
	for id == (SpanID{}) {
		_, _ = rand.Read(id[:]) // never fails
	}
	return id
}

// Traceparent is the place in a trace that a W3C header names: a trace, a span
// of it, and flags, of which the lowest says whether that span is recorded.
type Traceparent struct {
	TraceID TraceID
	SpanID  SpanID
	Flags   byte
}

// Sampled reports whether the span is recorded.
func (p Traceparent) Sampled() bool { return p.Flags&flagSampled != 0 }

// Valid reports whether it names a place at all.
func (p Traceparent) Valid() bool { return p.TraceID != (TraceID{}) && p.SpanID != (SpanID{}) }

// String returns the header's value, or nothing where the place is not valid.
func (p Traceparent) String() string {
	if !p.Valid() {
		return ""
	}
	return fmt.Sprintf("00-%x-%x-%02x", p.TraceID[:], p.SpanID[:], p.Flags)
}

// Parse reads a traceparent header. A header that is not valid counts as none,
// as W3C has it; one of a newer version is read as far as version 00 goes.
func Parse(header string) (Traceparent, bool) {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(header) < length || len(header) > length && (strings.HasPrefix(header, "00") || header[length] != '-') {
		return Traceparent{}, false
	}
	parts := strings.Split(header[:length], "-")
	if len(parts) != 4 || parts[0] == "ff" {
		return Traceparent{}, false
	}
	var p Traceparent
	var version, flags [1]byte
	ok := decode(version[:], parts[0]) && decode(p.TraceID[:], parts[1]) && decode(p.SpanID[:], parts[2]) && decode(flags[:], parts[3])
	if !ok || !p.Valid() {
		return Traceparent{}, false
	}
	p.Flags = flags[0]
	return p, true
}

// decode fills id from lower-case hexadecimal digits.
func decode(id []byte, text string) bool {
	if len(text) != 2*len(id) || strings.ToLower(text) != text {
		return false
	}
	_, err := hex.Decode(id, []byte(text))
	return err == nil
}
