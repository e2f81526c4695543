package config

import (
	"fmt"
	"slices"
	"strings"
)

// UnknownVariable is a DISPATCHD_ variable that means nothing.
type UnknownVariable struct {
	Name string
	// Nearest is the known name that it may be a misspelling of, or empty.
	Nearest string
}

// String is one warning.
func (u UnknownVariable) String() string {
	if u.Nearest == "" {
		return fmt.Sprintf("%s is not a setting of dispatchd and is ignored", u.Name)
	}
	return fmt.Sprintf("%s is not a setting of dispatchd and is ignored; did you mean %s?", u.Name, u.Nearest)
}

// Unknown lists the DISPATCHD_ variables of an environment ("NAME=value", as
// from os.Environ) that no setting reads, in the order of their names.
func Unknown(environ []string) []UnknownVariable {
	const prefix = "DISPATCHD_"
	// These are named by tasks, not by us; the rest of their names is the operator's.
	const packTokens = "DISPATCHD_PACK_TOKEN_"
	var known []string
	for _, s := range Settings(Config{}) {
		known = append(known, s.Name)
	}
	var unknown []UnknownVariable
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, packTokens) && !slices.Contains(known, name) {
			unknown = append(unknown, UnknownVariable{Name: name, Nearest: nearest(name, known)})
		}
	}
	slices.SortFunc(unknown, func(a, b UnknownVariable) int { return strings.Compare(a.Name, b.Name) })
	return unknown
}

// Warnings lists what an operator should know though nothing is wrong: unknown
// variables, and credentials that go to fewer places than one may expect.
func (c Config) Warnings(environ []string) []string {
	var list []string
	for _, u := range Unknown(environ) {
		list = append(list, u.String())
	}
	if c.Registry.hasCredentials() && c.Registry.Host == "" && c.Registry.Push == "" {
		list = append(list, "REGISTRY_USERNAME, REGISTRY_PASSWORD and REGISTRY_TOKEN are sent to "+dockerHub+
			" alone; set DISPATCHD_REGISTRY_HOST to the registry that they are for")
	}
	return list
}

// nearest returns the known name with the fewest edits from name, unless even
// that one differs too much to be meant.
func nearest(name string, known []string) string {
	best, fewest := "", 1+len(name)/4
	for _, k := range known {
		if d := distance(name, k); d < fewest {
			best, fewest = k, d
		}
	}
	return best
}

// distance is the number of characters to insert, delete or replace to make one
// name the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
