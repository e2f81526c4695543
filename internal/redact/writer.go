package redact

import (
	"io"
	"sync"
)

// Writer hides secrets in a stream, also those that are split over several
// writes. It holds back only what could be the start of a secret; Flush or
// Close releases that. It is safe for concurrent use.
type Writer struct {
	r  *Redactor
	to io.Writer

	mu   sync.Mutex
	scan scanner
	held []byte
	err  error
}

// Writer returns a stream that passes on to w what may be seen.
func (r *Redactor) Writer(w io.Writer) *Writer {
	return &Writer{r: r, to: w, scan: scanner{}}
}

// Write takes all of p, or fails with the error of the writer behind it. After
// such an error the stream stays failed: a gap would go unnoticed.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.pass(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush releases what is held back: the stream is at an end, or at a place
// (the end of a program's output, say) that no secret crosses.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pass(nil, true)
}

// Close flushes. The writer behind stays open.
func (w *Writer) Close() error { return w.Flush() }

func (w *Writer) pass(p []byte, final bool) error {
	if w.err != nil {
		return w.err
	}
	w.held = append(w.held, p...)
	w.scan.match, w.scan.final = w.r.match.Load(), final
	rest := w.scan.scan(w.scan.out[:0], w.held)
	w.held = w.held[:copy(w.held, rest)]
	w.r.count(w.scan.hits)
	if len(w.scan.out) == 0 {
		return nil
	}
	_, w.err = w.to.Write(w.scan.out)
	return w.err
}
