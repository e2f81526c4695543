package redact

import (
	"sync"
	"sync/atomic"
)

// Mask stands where a secret stood.
const Mask = "***"

// Redactor replaces secrets by Mask. Any number of goroutines may use it, also
// while Add makes it hide more.
type Redactor struct {
	parent *Redactor
	match  atomic.Pointer[matcher]
	hits   atomic.Uint64
	adding sync.Mutex
}

// New returns a Redactor that hides the secrets, raw and encoded (see forms
// for which encodings). Secrets of fewer than 4 bytes are not hidden at all,
// those of 4 and 5 bytes only as they are.
func New(secrets ...string) *Redactor {
	none := &matcher{byPrefix: map[uint32]*list{}, stubs: map[string]struct{}{}}
	return newRedactor(nil, none.with(forms(secrets)))
}

func newRedactor(parent *Redactor, match *matcher) *Redactor {
	r := &Redactor{parent: parent}
	r.match.Store(match)
	return r
}

// With returns a child that hides what r hides and more. Its hits count for r too.
func (r *Redactor) With(more ...string) *Redactor {
	return newRedactor(r, r.match.Load().with(forms(more)))
}

// Add makes r hide more from now on, also in streams that were opened before.
// It does not reach the children that With has made, nor r's parent.
func (r *Redactor) Add(more ...string) {
	r.adding.Lock()
	defer r.adding.Unlock()
	r.match.Store(r.match.Load().with(forms(more)))
}

// String returns s with each secret replaced by Mask.
func (r *Redactor) String(s string) string {
	out, hits := r.hide([]byte(s))
	if hits == 0 {
		return s
	}
	return string(out)
}

// Bytes returns b with each secret replaced by Mask: b itself where it holds
// none, else a new slice. It never writes to b.
func (r *Redactor) Bytes(b []byte) []byte {
	out, hits := r.hide(b)
	if hits == 0 {
		return b
	}
	return out
}

// Hits says how many masks r and its descendants have written.
func (r *Redactor) Hits() uint64 { return r.hits.Load() }

func (r *Redactor) hide(b []byte) (out []byte, hits int) {
	match := r.match.Load()
	if !match.in(b) {
		return b, 0
	}
	s := scanner{match: match, final: true}
	s.scan(nil, b)
	r.count(s.hits)
	return s.out, s.hits
}

func (r *Redactor) count(hits int) {
	for ; r != nil && hits > 0; r = r.parent {
		r.hits.Add(uint64(hits))
	}
}
