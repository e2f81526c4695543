package redact

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
)

// prefixLen is how many bytes of a pattern are indexed. No pattern is shorter.
const prefixLen = 4

// filterBits is the size of the filter: 8 KiB, so that it stays in the first
// level cache while a long line runs past it.
const filterBits = 16

// matcher finds patterns in text. A filter of hashed four-byte prefixes
// dismisses nearly every position; what is left is looked up and compared.
// (An Aho-Corasick automaton over the same patterns would need tens of
// megabytes: every secret has about a dozen forms.)
type matcher struct {
	filter [1 << filterBits / 64]uint64
	// byPrefix holds the patterns by their first four bytes. A list is never
	// changed: matchers share them.
	byPrefix map[uint32]*list
	// stubs are the first one, two and three bytes of all patterns: the end of
	// a chunk may be the start of a secret.
	stubs map[string]struct{}
}

// list are the patterns that begin alike. A secret of many similar lines puts
// thousands into one list, so nothing looks at all of them.
type list struct {
	// patterns are in the order of their bytes.
	patterns [][]byte
	// within says for each pattern which other one is the longest that it begins
	// with; -1 where none is.
	within []int
}

func newList(patterns [][]byte) *list {
	slices.SortFunc(patterns, bytes.Compare)
	patterns = slices.CompactFunc(patterns, bytes.Equal)
	l := &list{patterns: patterns, within: make([]int, len(patterns))}
	for i, p := range patterns {
		// In this order, what p begins with is the pattern before it or one that
		// that pattern begins with.
		at := i - 1
		for at >= 0 && !bytes.HasPrefix(p, patterns[at]) {
			at = l.within[at]
		}
		l.within[i] = at
	}
	return l
}

// with returns a matcher that finds more patterns than m; m stays as it is.
func (m *matcher) with(patterns map[string]struct{}) *matcher {
	child := &matcher{filter: m.filter, byPrefix: maps.Clone(m.byPrefix), stubs: maps.Clone(m.stubs)}
	added := map[uint32][][]byte{}
	for p := range patterns {
		key := binary.LittleEndian.Uint32([]byte(p))
		added[key] = append(added[key], []byte(p))
		for n := 1; n < prefixLen; n++ {
			child.stubs[p[:n]] = struct{}{}
		}
	}
	for key, more := range added {
		if known := m.byPrefix[key]; known != nil {
			more = append(more, known.patterns...)
		}
		child.byPrefix[key] = newList(more)
		h := hash(key)
		child.filter[h/64] |= 1 << (h % 64)
	}
	return child
}

// hash is the multiplicative hash of a prefix (the golden ratio's bits).
func hash(key uint32) uint32 { return key * 0x9e3779b1 >> (32 - filterBits) }

// next returns the first position from i on at which a pattern may begin. The
// last three bytes always may: they are too short to tell.
func (m *matcher) next(text []byte, i int) int {
	for ; i+prefixLen <= len(text); i++ {
		h := hash(binary.LittleEndian.Uint32(text[i:]))
		if m.filter[h/64]&(1<<(h%64)) != 0 {
			return i
		}
	}
	return i
}

// at returns the length of the longest pattern that text begins with, and
// whether text ends in the middle of a longer one.
func (m *matcher) at(text []byte) (n int, open bool) {
	if len(text) < prefixLen {
		_, open = m.stubs[string(text)]
		return 0, open
	}
	known := m.byPrefix[binary.LittleEndian.Uint32(text)]
	if known == nil {
		return 0, false
	}
	return known.at(text)
}

// at is matcher.at among the list's patterns.
func (l *list) at(text []byte) (n int, open bool) {
	after, same := slices.BinarySearchFunc(l.patterns, text, bytes.Compare)
	if same {
		after++
	}
	open = after < len(l.patterns) && bytes.HasPrefix(l.patterns[after], text)
	// What text begins with is the pattern before it in order, or one that that
	// pattern begins with.
	i := after - 1
	if i < 0 {
		return 0, open
	}
	common := commonPrefix(l.patterns[i], text)
	for i >= 0 && len(l.patterns[i]) > common {
		i = l.within[i]
	}
	if i < 0 {
		return 0, open
	}
	return len(l.patterns[i]), open
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// in reports whether text holds any pattern.
func (m *matcher) in(text []byte) bool {
	for i := m.next(text, 0); i < len(text); i = m.next(text, i+1) {
		if n, _ := m.at(text[i:]); n > 0 {
			return true
		}
	}
	return false
}

// scanner carries a scan over one text, or over the chunks of a stream.
type scanner struct {
	match *matcher
	// final says that nothing follows the text: its end is no open start.
	final bool
	// covered is how many bytes of the next text a mask stands for already.
	covered int
	out     []byte
	hits    int
}

// scan appends what may be shown of text to out and returns the rest, which
// could be the start of a secret. Matches that overlap share one mask, so that
// no part of the second one is left over.
func (s *scanner) scan(out, text []byte) (rest []byte) {
	s.out, s.hits = out, 0
	shown, i := s.covered, s.match.next(text, 0)
	for i < len(text) {
		n, open := s.match.at(text[i:])
		if open && !s.final {
			break
		}
		if n > 0 {
			shown = s.mask(text, shown, i, n)
		}
		i = s.match.next(text, i+1)
	}
	s.out = append(s.out, text[min(shown, i):i]...)
	s.covered = max(0, shown-i)
	return text[i:]
}

// mask hides the n bytes of text at i and returns up to where text is dealt with.
func (s *scanner) mask(text []byte, shown, i, n int) int {
	if i >= shown {
		s.out = append(append(s.out, text[shown:i]...), Mask...)
		s.hits++
	}
	return max(shown, i+n)
}
