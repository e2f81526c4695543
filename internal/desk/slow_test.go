package desk_test

import (
	"strings"
	"testing"
	"time"

	"github.com/dispatchd/dispatchd/internal/desk"
)

func TestALargeHostileBodyIsMaskedInTime(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"many pairs":   strings.Repeat("pass=abcdefgh1 ", 70_000),
		"one blob":     strings.Repeat("a", 1<<20),
		"deep":         `{"params":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
		"many secrets": `{"params":{"token":[` + strings.TrimSuffix(strings.Repeat(`"abcdefgh1",`, 80_000), ",") + `]}}`,
		"quotes":       strings.Repeat(`pass:\"`, 150_000),
		"inner":        `{"a":` + strings.Repeat(`"{\"a\":`, 1000) + `}`,
	} {
		began := time.Now()
		text := desk.MaskBody([]byte(body))
		took := time.Since(began)
		t.Logf("%s: %s", name, took)
		if took > 5*time.Second || strings.Contains(text, "abcdefgh1") {
			t.Errorf("%s: it took %s and shows %.100s", name, took, text)
		}
	}
}
