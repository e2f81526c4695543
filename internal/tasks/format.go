package tasks

import (
	"fmt"
	"io"
	"strconv"
)

// Format writes the mask for every verb. Without it fmt shows the text itself
// when the verb does not fit a string (%d).
func (s Secret) Format(out fmt.State, verb rune) {
	text := s.String()
	switch {
	case verb == 'v' && out.Flag('#'):
		text = s.GoString()
	case verb == 'q':
		text = strconv.Quote(text)
	}
	// A fmt.State collects in memory and has no errors to report.
	_, _ = io.WriteString(out, text)
}

// String names the task by its kind, id and jobs. It keeps fmt out of the
// params: behind a pointer fmt forgets the methods of Secret.
func (t Task) String() string {
	return fmt.Sprintf("%s %s %q", t.Kind, t.ID, t.Targets())
}

// String names the deployment, for the reason of Task.String.
func (d Deploy) String() string { return fmt.Sprintf("%q deployment %q", d.JobID, d.DeploymentID) }

// String names the jobs, for the reason of Task.String.
func (d Destroy) String() string { return fmt.Sprintf("%q", Task{Destroy: &d}.Targets()) }
