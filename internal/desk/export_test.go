package desk

import "github.com/dispatchd/dispatchd/internal/tasks"

// MaskBody returns a body without its secrets, as JSON or as text.
func MaskBody(body []byte) string {
	k := &masker{sights: tasks.FieldSights()}
	tree, text := k.body(body)
	if tree != nil {
		return string(tree)
	}
	return text
}
