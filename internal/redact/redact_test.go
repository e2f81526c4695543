package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dispatchd/dispatchd/internal/redact"
)

// hostile is a secret in which every encoding changes something.
const hostile = "p\"a\\s's/w+ö&<r>=d?%~"

func TestRedactorHidesEachForm(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{"token": "ghp_abcdefghijklmnop0123456789", "hostile": hostile, "short": "hunter"}
	for name, secret := range secrets {
		r := redact.New(secret)
		for form, text := range formsOf(t, secret) {
			t.Run(name+" "+form, func(t *testing.T) {
				t.Parallel()
				got := r.String("before <" + text + "> after")
				if want := "before <***> after"; got != want {
					t.Errorf("String(%q) = %q, want %q", text, got, want)
				}
			})
		}
	}
}

func formsOf(t *testing.T, secret string) map[string]string {
	t.Helper()
	quoted := func(b []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(b[1 : len(b)-1])
	}
	all := strings.Builder{}
	for i := range len(secret) {
		fmt.Fprintf(&all, "%%%02x", secret[i])
	}
	goQuoted := strconv.Quote(secret)
	return map[string]string{
		"raw":         secret,
		"base64":      base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64 URL":  base64.URLEncoding.EncodeToString([]byte(secret)),
		"hex":         hex.EncodeToString([]byte(secret)),
		"upper hex":   strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"query":       url.QueryEscape(secret),
		"path":        url.PathEscape(secret),
		"all percent": all.String(),
		"JSON":        quoted(json.Marshal(secret)),
		"Go":          goQuoted[1 : len(goQuoted)-1],
		"shell":       strings.ReplaceAll(secret, "'", `'\''`),
	}
}

func TestRedactorHidesBase64AtAnyOffset(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-of-the-house"
	r := redact.New(secret)
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
		for before := range 7 {
			for after := range 4 {
				text := enc.EncodeToString([]byte(strings.Repeat("u", before) + secret + strings.Repeat("v", after)))
				got := r.String("Authorization: Basic " + text)
				if !strings.Contains(got, redact.Mask) || len(got) > len("Authorization: Basic ")+len(redact.Mask)+12+6 {
					t.Errorf("with %d bytes before and %d after: %q became %q", before, after, text, got)
				}
			}
		}
	}
}

func TestRedactorHidesLinesOfAKey(t *testing.T) {
	t.Parallel()
	key := "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQ\nshort\n-----END PRIVATE KEY-----\n"
	r := redact.New(key)
	for in, want := range map[string]string{
		key:                                 "***",
		strings.TrimSpace(key):              "***",
		"line EFAASCBKcwggSjAgEAAoIBAQ\r\n": "line ***\r\n",
		"short":                             "short",
		hex.EncodeToString([]byte("EFAASCBKcwggSjAgEAAoIBAQ")): "***",
		strings.ReplaceAll(key, "\n", `\n`):                    "***",
	} {
		if got := r.String(in); got != want {
			t.Errorf("String(%q) = %q, want %q", in, got, want)
		}
	}
	windows := strings.ReplaceAll(key, "\n", "\r\n")
	if got := r.String(windows); strings.Contains(got, "MII") || strings.Contains(got, "EFA") {
		t.Errorf("String(%q) = %q", windows, got)
	}
}

func TestRedactorLeavesShortSecrets(t *testing.T) {
	t.Parallel()
	r := redact.New("", "abc", "  ", "wxyz", "********")
	for in, want := range map[string]string{
		"abc":      "abc",
		"a wxyz b": "a *** b",
		base64.StdEncoding.EncodeToString([]byte("wxyz")): base64.StdEncoding.EncodeToString([]byte("wxyz")),
		"a ******** b": "a ******** b",
	} {
		if got := r.String(in); got != want {
			t.Errorf("String(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRedactorHidesOverlappingSecretsWhole(t *testing.T) {
	t.Parallel()
	r := redact.New("abcdefgh", "efghijkl", "ijkl")
	for in, want := range map[string]string{
		"<abcdefghijkl>":     "<***>",
		"<abcdefghefghijkl>": "<******>",
		"<abcdefgijkl>":      "<abcdefg***>",
	} {
		if got := r.String(in); got != want {
			t.Errorf("String(%q) = %q, want %q", in, got, want)
		}
		if got := stream(t, r, in, 1); got != want {
			t.Errorf("stream of %q, byte by byte = %q, want %q", in, got, want)
		}
	}
}

func TestRedactorBytesKeepsItsInput(t *testing.T) {
	t.Parallel()
	in := []byte("a secret-word b")
	if got, want := string(redact.New("secret-word").Bytes(in)), "a *** b"; got != want {
		t.Errorf("Bytes = %q, want %q", got, want)
	}
	if got, want := string(in), "a secret-word b"; got != want {
		t.Errorf("input became %q, want %q", got, want)
	}
}

func TestWithHidesTheParentsSecretsAndCountsThere(t *testing.T) {
	t.Parallel()
	parent := redact.New("parent-secret")
	child := parent.With("child-secret")
	if got, want := child.String("parent-secret child-secret"), "*** ***"; got != want {
		t.Errorf("child: got %q, want %q", got, want)
	}
	if got, want := parent.String("parent-secret child-secret"), "*** child-secret"; got != want {
		t.Errorf("parent: got %q, want %q", got, want)
	}
	if got, want := child.Hits(), uint64(2); got != want {
		t.Errorf("child.Hits() = %d, want %d", got, want)
	}
	if got, want := parent.Hits(), uint64(3); got != want {
		t.Errorf("parent.Hits() = %d, want %d", got, want)
	}
}

func TestRedactorIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	r := redact.New("parent-secret")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got, want := r.With("child-secret").String("child-secret parent-secret"), "*** ***"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	wg.Wait()
	if got, want := r.Hits(), uint64(8*50*2); got != want {
		t.Errorf("Hits() = %d, want %d", got, want)
	}
}
