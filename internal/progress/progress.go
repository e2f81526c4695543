package progress

import (
	"io"
	"time"

	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/tasks"
)

// Ending is how the work that was shown has ended.
type Ending int

// The three endings.
const (
	Succeeded Ending = iota
	Failed
	Interrupted
)

// Progress shows a task's steps until End, which is called once.
type Progress interface {
	tasks.Reporter
	// End says how the last step ended, and returns when all is written.
	End(how Ending)
}

var (
	_ Progress = (*Terminal)(nil)
	_ Progress = (*Plain)(nil)
)

// Options are the settings of both displays.
type Options struct {
	Out io.Writer
	// Redactor hides secrets; nil hides nothing.
	Redactor *redact.Redactor
	// Now is the clock; time.Now where it is nil.
	Now func() time.Time
	// Colour allows styles, and the colours of the steps' own output.
	Colour bool

	// Size returns the Terminal's columns and rows; 80 and 24 where it is nil.
	Size func() (width, height int)
	// Every is how often the running step is drawn again; never where it is 0.
	Every time.Duration
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Size == nil {
		o.Size = func() (int, int) { return 80, 24 }
	}
	return o
}

// elapsed prints a duration as steps have it.
func elapsed(d time.Duration) string {
	d = max(0, d)
	if d < time.Minute {
		return d.Truncate(100 * time.Millisecond).String()
	}
	return d.Truncate(time.Second).String()
}
