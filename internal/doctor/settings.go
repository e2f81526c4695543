package doctor

import (
	"context"
	"strings"
)

// Settings are what reading the environment has found.
type Settings struct {
	// Err holds every wrong setting, one a line; nil where all are right.
	Err error
	// Warnings are settings that are not wrong and may not do what one expects.
	Warnings []string
	// Set is how many variables the environment has.
	Set int
}

// Check turns them into results.
func (s Settings) Check(context.Context) []Result {
	const tried = "read the settings"
	var results []Result
	if s.Err != nil {
		for line := range strings.SplitSeq(s.Err.Error(), "\n") {
			results = append(results, bad(Fail, tried, line, remedy{firstWord(line), "correct it; `dispatchd config` shows all settings"}))
		}
	}
	for _, warning := range s.Warnings {
		results = append(results, bad(Warn, tried, warning, remedy{firstWord(warning), "correct or remove it"}))
	}
	if results == nil {
		results = []Result{good(tried, "all are valid, %d of them set", s.Set)}
	}
	return results
}

// firstWord is the variable that a sentence begins with.
func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return strings.TrimRight(word, ",:")
}
