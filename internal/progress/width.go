package progress

import (
	"strings"
	"unicode"
)

// wide are the characters that take two columns: scripts of East Asia and the
// pictures.
var wide = []struct{ first, last rune }{
	{0x1100, 0x115f},
	{0x2e80, 0xa4cf},
	{0xac00, 0xd7a3},
	{0xf900, 0xfaff},
	{0xfe30, 0xfe6f},
	{0xff00, 0xff60},
	{0xffe0, 0xffe6},
	{0x1f300, 0x1faff},
	{0x20000, 0x3fffd},
}

// columns is how much room a character takes.
func columns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	for _, w := range wide {
		if r >= w.first && r <= w.last {
			return 2
		}
	}
	return 1
}

// cut shortens a text to a width, and marks the cut.
func cut(text string, width int) string {
	used := 0
	for i, r := range text {
		if used += columns(r); used > width {
			return shorten(text[:i], width)
		}
	}
	return text
}

// shorten makes room for the mark.
func shorten(text string, width int) string {
	if width < 1 {
		return ""
	}
	used := 0
	var kept strings.Builder
	for _, r := range text {
		if used += columns(r); used > width-1 {
			break
		}
		kept.WriteRune(r)
	}
	return kept.String() + "…"
}
