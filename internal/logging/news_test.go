package logging_test

import (
	"errors"
	"testing"

	"github.com/dispatchd/dispatchd/internal/logging"
)

func TestATroubleThatLastsIsNewsOnce(t *testing.T) {
	t.Parallel()
	one, other := errors.New("one"), errors.New("other")
	var news logging.News
	for i, c := range []struct {
		err  error
		want bool
	}{{nil, false}, {one, true}, {one, false}, {other, true}, {one, true}, {nil, false}, {one, true}} {
		if got := news.Is(c.err); got != c.want {
			t.Errorf("%d: Is(%v) = %v, want %v", i, c.err, got, c.want)
		}
	}
}
