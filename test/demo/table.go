package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// none stands where there is nothing to show.
const none = "-"

// table has a column for each step and a row for each fact.
type table struct {
	columns []string
	rows    []row
}

// row is one fact; a row without cells is the title of those below it.
type row struct {
	label string
	cells []string
}

// newTable puts what the steps have shown side by side.
func newTable(results []result) table {
	var t table
	for _, r := range results {
		t.columns = append(t.columns, r.column)
	}
	add := func(label string, cell func(result) string) {
		cells := make([]string, len(results))
		for i, r := range results {
			cells[i] = orNone(cell(r))
		}
		t.rows = append(t.rows, row{label, cells})
	}
	add("task", func(r result) string { return r.record.Status })
	add("reason", func(r result) string { return r.record.Reason })
	t.rows = append(t.rows, row{label: "events in the backend's streams"})
	for _, subject := range []string{subjectChanged, subjectSucceeded, subjectFailed, subjectDestroyed} {
		add("  "+subject, func(r result) string { return r.event(subject) })
	}
	add("  build.log.<id>", func(r result) string { return count(r.lines, "line") })
	add("  build.log.end.<id>", func(r result) string { return r.logEnd })
	t.rows = append(t.rows, row{label: "the app"})
	add("  image digest", result.shortDigest)
	add("  allocation", func(r result) string { return short(r.allocation, 8) })
	add("  answer", func(r result) string { return r.answer })
	t.rows = append(t.rows, row{label: "seconds"})
	for _, name := range stageNames(results) {
		add("  "+name, func(r result) string { return r.stageTime(name) })
	}
	add("  in all", func(r result) string { return seconds(r.took) })
	return t
}

// stageNames lists the stages of all steps, each behind the one that it
// follows; those of a step that shares none come last.
func stageNames(results []result) []string {
	var names []string
	for _, r := range results {
		at := len(names)
		for _, s := range r.stages {
			if found := slices.Index(names, s.name); found >= 0 {
				at = found + 1
				continue
			}
			names = slices.Insert(names, at, s.name)
			at++
		}
	}
	return names
}

// print draws the table.
func (t table) print(s *screen) {
	widths := t.widths()
	s.print("\n" + s.style(bold, t.line(row{cells: t.columns}, widths, plain)) + "\n")
	for _, r := range t.rows {
		if r.cells == nil {
			s.print(s.style(bold, "  "+r.label) + "\n")
			continue
		}
		s.print(t.line(r, widths, func(cell string) string { return s.style(styleOf(cell), cell) }) + "\n")
	}
}

// widths are those of the label and of each column.
func (t table) widths() []int {
	widths := make([]int, 1+len(t.columns))
	for _, r := range append([]row{{cells: t.columns}}, t.rows...) {
		if r.cells == nil {
			continue
		}
		widths[0] = max(widths[0], utf8.RuneCountInString(r.label))
		for i, cell := range r.cells {
			widths[i+1] = max(widths[i+1], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func (t table) line(r row, widths []int, paint func(string) string) string {
	var b strings.Builder
	b.WriteString("  " + pad(r.label, r.label, widths[0]))
	for i, cell := range r.cells {
		b.WriteString("  " + pad(cell, paint(cell), widths[i+1]))
	}
	return strings.TrimRight(b.String(), " ")
}

// pad fills up what is shown to the width of the text in it.
func pad(text, shown string, width int) string {
	return shown + strings.Repeat(" ", width-utf8.RuneCountInString(text))
}

func plain(text string) string { return text }

func styleOf(cell string) string {
	switch cell {
	case none:
		return dim
	case "succeeded", "success":
		return green
	case "failed":
		return red
	}
	return ""
}

func orNone(text string) string {
	if text == "" {
		return none
	}
	return text
}

func count(n int, what string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

func short(text string, n int) string { return text[:min(n, len(text))] }
