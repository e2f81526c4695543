package redact

import (
	"strings"
	"unicode/utf8"
)

// CleanLine makes one line of a program's output safe to show on a terminal and
// returns valid UTF-8 without line breaks.
//
// Colours (SGR sequences) stay, except for hidden text. Removed are every other
// escape sequence (cursor movement, titles, links, clipboard, device strings),
// control characters of both sets and bidirectional overrides. Of text that
// carriage returns overwrite, the last that a terminal would show is kept. A
// line break inside the line becomes a space, invalid UTF-8 becomes U+FFFD.
func CleanLine(s string) string {
	if plain(s) {
		return s
	}
	s = strings.TrimRight(s, "\r\n")
	for {
		i := strings.LastIndexByte(s, '\r')
		line, visible := cleanSegment(s[i+1:])
		if visible || i < 0 {
			return line
		}
		s = s[:i]
	}
}

// plain reports whether s needs no cleaning: the usual case, worth being fast.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

// cleanSegment cleans text without carriage returns and says whether it shows
// anything.
func cleanSegment(s string) (clean string, visible bool) {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if introducer(r) {
			n, colour := sequence(s)
			if colour {
				b.WriteString(s[:n])
			}
			s = s[n:]
			continue
		}
		s = s[size:]
		if r = shown(r); r >= 0 {
			b.WriteRune(r)
			visible = visible || (r != ' ' && r != '\t')
		}
	}
	return b.String(), visible
}

// shown returns the character to show in place of r, or -1 for none.
func shown(r rune) rune {
	switch {
	case r == '\t':
		return r
	case r == '\n', r == '\v', r == '\f', r == 0x85, r == 0x2028, r == 0x2029:
		return ' '
	case r < ' ', r >= 0x7f && r <= 0x9f:
		return -1
	case r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return -1 // marks, embeddings, overrides and isolates of text direction
	}
	return r
}

// introducer reports whether a terminal reads what follows r as a command: ESC,
// and the one-character forms of DCS, SOS, CSI, OSC, PM and APC.
func introducer(r rune) bool {
	switch r {
	case 0x1b, 0x90, 0x98, 0x9b, 0x9d, 0x9e, 0x9f:
		return true
	}
	return false
}

// sequence returns the length of the escape sequence that s begins with, and
// whether it only sets colours.
func sequence(s string) (n int, colour bool) {
	if s[0] != 0x1b {
		_, size := utf8.DecodeRuneInString(s)
		if s[1] == 0x9b {
			return size + controlSequence(s[size:]), false
		}
		return size + controlString(s[size:]), false
	}
	if len(s) == 1 {
		return 1, false
	}
	switch s[1] {
	case '[':
		n = 2 + controlSequence(s[2:])
		return n, isColour(s[2:n])
	case ']', 'P', 'X', '^', '_':
		return 2 + controlString(s[2:]), false
	}
	n = 1
	for n < len(s) && s[n] >= 0x20 && s[n] <= 0x2f {
		n++
	}
	if n < len(s) && s[n] >= 0x30 && s[n] <= 0x7e {
		n++
	}
	return n, false
}

// controlSequence returns the length of a CSI sequence's parameters,
// intermediates and final byte.
func controlSequence(s string) int {
	n := 0
	for n < len(s) && s[n] >= 0x20 && s[n] <= 0x3f {
		n++
	}
	if n < len(s) && s[n] >= 0x40 && s[n] <= 0x7e {
		n++
	}
	return n
}

// controlString returns the length of a string that ends with BEL or ST. One
// that does not end takes the whole line, as it would on a terminal.
func controlString(s string) int {
	end := len(s)
	for _, terminator := range []string{"\a", "\x1b\\", "\u009c"} {
		if i := strings.Index(s[:end], terminator); i >= 0 {
			end = i + len(terminator)
		}
	}
	return end
}

// isColour reports whether the rest of a CSI sequence is a well-formed SGR that
// hides nothing.
func isColour(s string) bool {
	args, found := strings.CutSuffix(s, "m")
	if !found || strings.Trim(args, "0123456789;:") != "" {
		return false
	}
	list := strings.Split(args, ";")
	for i := 0; i < len(list); i++ {
		code, _, _ := strings.Cut(list[i], ":")
		switch strings.TrimLeft(code, "0") {
		case "8": // concealed text
			return false
		case "38", "48", "58": // arguments follow, and an 8 among them is a colour
			i += colourArgs(list[i+1:])
		}
	}
	return true
}

// colourArgs returns how many arguments the colour after 38, 48 or 58 takes.
func colourArgs(list []string) int {
	if len(list) == 0 {
		return 0
	}
	switch list[0] {
	case "5":
		return 2
	case "2":
		return 4
	}
	return 0
}
