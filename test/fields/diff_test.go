package fields_test

import (
	"fmt"
	"slices"
	"strings"
)

// around is how many lines stand before and after a change.
const around = 2

// unified compares two texts line by line; empty where they are the same.
func unified(name, before, after string) string {
	lines := edits(strings.Split(before, "\n"), strings.Split(after, "\n"))
	shown := make([]bool, len(lines))
	for i, line := range lines {
		if line[0] != ' ' {
			for j := max(0, i-around); j <= min(len(lines)-1, i+around); j++ {
				shown[j] = true
			}
		}
	}
	if !slices.Contains(shown, true) {
		return ""
	}
	var out strings.Builder
	fmt.Fprintf(&out, "=== %s\n", name)
	for i, line := range lines {
		if shown[i] {
			if i > 0 && !shown[i-1] {
				out.WriteString("...\n")
			}
			out.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	return out.String()
}

// edits marks each line with a space, a minus or a plus, by the longest common
// subsequence of the two texts.
func edits(a, b []string) []string {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var lines []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			lines = append(lines, "  "+a[i])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			lines = append(lines, "- "+a[i])
			i++
		default:
			lines = append(lines, "+ "+b[j])
			j++
		}
	}
	return lines
}
