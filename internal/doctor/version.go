package doctor

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// version is major, minor and patch.
type version [3]int

// String is the version with its dots.
func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) less(other version) bool { return slices.Compare(v[:], other[:]) < 0 }

var numbers = regexp.MustCompile(`(\d+)\.(\d+)(?:\.(\d+))?`)

// parseVersion finds the first version in a text such as "git version 2.39.5".
func parseVersion(text string) (version, bool) {
	parts := numbers.FindStringSubmatch(text)
	if parts == nil {
		return version{}, false
	}
	var v version
	for i := range v {
		v[i], _ = strconv.Atoi(parts[i+1]) // digits, or empty
	}
	return v, true
}

// floor are the first releases of each line that have the known holes closed,
// oldest line first. A line that is not named is judged by the last: newer is
// good, older is not.
type floor []version

// The floors that operators are warned below.
var (
	gitFloor      floor = []version{{2, 43, 7}, {2, 44, 4}, {2, 45, 4}, {2, 46, 4}, {2, 47, 3}, {2, 48, 2}, {2, 49, 1}, {2, 50, 1}}
	nomadFloor    floor = []version{{1, 10, 14}, {1, 11, 8}, {2, 0, 4}}
	buildkitFloor floor = []version{{0, 31, 2}}
)

// met reports whether a version is at or above the floor of its line.
func (f floor) met(v version) bool {
	for _, least := range f {
		if v[0] == least[0] && v[1] == least[1] {
			return !v.less(least)
		}
	}
	return !v.less(f[len(f)-1])
}

// String lists the floor, newest line first.
func (f floor) String() string {
	var all []string
	for _, v := range slices.Backward(f) {
		all = append(all, v.String())
	}
	return strings.Join(all, ", ")
}
