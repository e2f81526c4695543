package logging

// News tells what is new from what was said just before, so that a trouble that
// lasts is one line of the log. It is one goroutine's.
type News struct{ last string }

// Is reports whether err says something else than the error before it. No error is
// no news, and after it the same one is news again.
func (n *News) Is(err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	isNew := text != "" && text != n.last
	n.last = text
	return isNew
}
