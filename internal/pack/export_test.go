package pack

import "fmt"

// ErrLimit is what a template that runs away ends with.
var ErrLimit = errLimit

// Functions are what a pack's templates may call.
func Functions() map[string]any { return functions() }

// Unavailable are the functions whose call is an error.
func Unavailable() []string { return unavailable }

// ErrParse is a text that is not a template.
var ErrParse = fmt.Errorf("parse")

// Evaluate renders one text that is not part of a pack.
func Evaluate(text string, functions map[string]any, data any) (string, error) {
	set := newTemplates(functions)
	trees, err := set.parse("t", text, "", "")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrParse, err)
	}
	set.trees = trees
	return set.execute("t", data)
}
