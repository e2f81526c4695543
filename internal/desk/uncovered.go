package desk

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// uncovered returns a question: which subjects of a kind of task no stream covers,
// in words; empty where all are covered, and where the server does not say. It is
// asked of the server once, at the first call.
func (d *Desk) uncovered(ctx context.Context) func(tasks.Kind) string {
	missing := sync.OnceValue(func() []string { return d.allUncovered(ctx) })
	return func(kind tasks.Kind) string {
		var of []string
		for _, subject := range d.subjects.LegacyOf(kind) {
			if slices.Contains(missing(), subject) {
				of = append(of, subject)
			}
		}
		return strings.Join(of, ", ")
	}
}

func (d *Desk) allUncovered(ctx context.Context) []string {
	subjects := d.subjects.Legacy()
	streams := make([]string, len(subjects))
	err := each(ctx, len(subjects), func(ctx context.Context, i int) (err error) {
		streams[i], err = d.leader.streamOf(ctx, subjects[i])
		return err
	})
	if err != nil {
		return nil
	}
	var missing []string
	for i, stream := range streams {
		if stream == "" {
			missing = append(missing, subjects[i])
		}
	}
	return missing
}
