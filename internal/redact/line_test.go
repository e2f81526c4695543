package redact_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dispatchd/dispatchd/internal/redact"
)

func TestCleanLine(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"plain text stays", "go build\t./...", "go build\t./..."},
		{"other scripts stay", "größe 日本 👩‍💻", "größe 日本 👩‍💻"},
		{"colours stay", "\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"},
		{"256 and true colours stay", "\x1b[38;5;8mx\x1b[48;2;8;8;8my\x1b[38:2::1:2:3mz", "\x1b[38;5;8mx\x1b[48;2;8;8;8my\x1b[38:2::1:2:3mz"},
		{"hidden text is shown", "\x1b[8mhidden\x1b[1;08mtoo", "hiddentoo"},
		{"private modes that end in m go", "\x1b[>4;1mx", "x"},
		{"cursor movement goes", "a\x1b[2Ab\x1b[10;5Hc\x1b[2Kd\x1b7e\x1b8f\x1b(Bg", "abcdefg"},
		{"titles go", "\x1b]0;owned\x07text", "text"},
		{"links keep their text", "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"},
		{"the clipboard is left alone", "a\x1b]52;c;ZXZpbA==\x07b", "ab"},
		{"device strings go", "a\x1bP+q544e\x1b\\b\x1b_apc\x1b\\c\x1b^pm\x1b\\d\x1bXsos\x1b\\e", "abcde"},
		{"a string without an end takes the line", "a\x1b]0;title", "a"},
		{"one-character introducers go", "a\u009b2Jb\u009d0;t\u009cc\u0090x\u009cd", "abcd"},
		{"half a sequence goes", "text\x1b[12", "text"},
		{"a lone escape goes", "text\x1b", "text"},
		{"control characters go", "a\x00b\bc\x7fd\u0080e", "abcde"},
		{"bidirectional overrides go", "a\u202eb\u2066c\u200fd", "abcd"},
		{"the last overwrite stays", "10%\r50%\r100%\r\n", "100%"},
		{"an empty overwrite shows what was before", "done\r\x1b[K\r", "done"},
		{"a break becomes a space", "a\nb\u2028c\u0085d\ve", "a b c d e"},
		{"invalid UTF-8 is replaced", "a\xffb\xc3", "a\ufffdb\ufffd"},
		{"nothing stays nothing", "\r\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := redact.CleanLine(tc.in); got != tc.want {
				t.Errorf("CleanLine(%q) = %q, want %q", tc.in, got, tc.want)
			}
		})
	}
}

func FuzzCleanLine(f *testing.F) {
	for _, s := range []string{"\x1b[31mx\x1b[0m", "a\rb", "\x1b]0;t\x07", "\u009b1m\xff\u202e", "\x1b[38;5;8;8m"} {
		f.Add(s)
	}
	colour := regexp.MustCompile("\x1b\\[[0-9;:]*m")
	f.Fuzz(func(t *testing.T, s string) {
		got := redact.CleanLine(s)
		if !utf8.ValidString(got) {
			t.Errorf("CleanLine(%q) = %q is not UTF-8", s, got)
		}
		for _, r := range colour.ReplaceAllString(got, "") {
			if (r < ' ' && r != '\t') || (r >= 0x7f && r <= 0x9f) || strings.ContainsRune("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", r) {
				t.Errorf("CleanLine(%q) = %q holds %q", s, got, r)
			}
		}
		if again := redact.CleanLine(got); again != got {
			t.Errorf("CleanLine(%q) = %q, and once more %q", s, got, again)
		}
	})
}
