package git

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

// Why a watch ended a clone.
var (
	errTooLarge = errors.New("the directory grew above its limit")
	errSilent   = errors.New("neither output nor data came for too long")
)

const (
	firstLook = 100 * time.Millisecond
	// lookShare keeps the looks at a large tree below a tenth of the time.
	lookShare = 10
	// block is what the smallest file costs, so that many empty ones count too.
	block = 4096
)

// watch ends a clone that takes too much room or stands still: the silence of
// a connection that is being made is not seen by git's own limits.
type watch struct {
	dirs     []string
	maxBytes int64
	silence  time.Duration
	// heard counts the bytes of output so far.
	heard func() int64
}

// over runs do and returns its error, or why the watch ended it.
func (w watch) over(ctx context.Context, do func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { w.look(ctx, end) })
	err := do(ctx)
	cause := context.Cause(ctx)
	end(nil)
	watching.Wait()
	if err != nil && cause != nil {
		return cause
	}
	return err
}

// look returns when the context ends, and ends it where it has to.
func (w watch) look(ctx context.Context, end context.CancelCauseFunc) {
	timer := time.NewTimer(firstLook)
	defer timer.Stop()
	var size, heard int64
	alive := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		nowSize, nowHeard := diskUse(w.dirs, w.maxBytes), w.heard()
		if nowSize != size || nowHeard != heard {
			size, heard, alive = nowSize, nowHeard, began
		}
		switch {
		case size > w.maxBytes:
			end(errTooLarge)
		case began.Sub(alive) > w.silence:
			end(errSilent)
		}
		timer.Reset(max(firstLook, lookShare*time.Since(began)))
	}
}

// diskUse adds up trees in whole blocks, and stops above most. Files that
// vanish meanwhile do not count.
func diskUse(dirs []string, most int64) int64 {
	var total int64
	for _, dir := range dirs {
		total += treeUse(dir, most-total)
	}
	return total
}

func treeUse(dir string, most int64) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it has vanished
		}
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // it has vanished
		}
		total += max(block, (info.Size()+block-1)/block*block)
		if total > most {
			return filepath.SkipAll
		}
		return nil
	})
	return total
}
