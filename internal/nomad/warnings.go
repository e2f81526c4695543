package nomad

import (
	"slices"
	"strings"
)

// operatorsMatters begin the warnings of a registration about which nobody who
// deploys can do anything. Each of our jobs has a memory_max, so without
// oversubscription each deployment would carry the first one.
var operatorsMatters = []string{"Memory oversubscription is not enabled;"}

// warningsOf are Nomad's warnings as one line, without those that are not the
// customer's; empty where none is left.
func warningsOf(text string) string {
	return oneLine(slices.DeleteFunc(points(text), func(point string) bool {
		return slices.ContainsFunc(operatorsMatters, func(known string) bool { return strings.HasPrefix(point, known) })
	}))
}
