package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/dispatchd/dispatchd/internal/desk"
	"github.com/dispatchd/dispatchd/internal/redact"
	"github.com/dispatchd/dispatchd/internal/service"
)

// outputFlag is -o of the commands that print for a person or for a program.
type outputFlag string

func (o *outputFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP((*string)(o), "output", "o", "text", "text or json")
}

func (o outputFlag) check() error {
	if o != "text" && o != "json" {
		return usageError{fmt.Errorf("--output is text or json, got %q", string(o))}
	}
	return nil
}

// print writes the view as one JSON object, or what text writes.
func (o outputFlag) print(out io.Writer, view any, text func(*page)) error {
	if o == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(view)
	}
	p := &page{}
	text(p)
	_, err := out.Write(p.text)
	return err
}

// atDesk opens the operator's desk for one command.
func atDesk(cmd *cobra.Command, do func(context.Context, *desk.Desk) error) error {
	host, err := service.NewHost(version(), os.Environ(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	return service.WithDesk(cmd.Context(), host, do)
}

// someIDs says in one sentence that a command takes ids.
func someIDs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("%s takes one ID or more", cmd.Name())}
	}
	return nil
}

func oneID(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes one ID, got %d", cmd.Name(), len(args))}
	}
	return nil
}

// page is a text for a person. What others have written is cleaned of control
// codes on its way in.
type page struct{ text []byte }

// Write makes a page the end of a table.
func (p *page) Write(text []byte) (int, error) {
	p.text = append(p.text, text...)
	return len(text), nil
}

func (p *page) say(format string, args ...any) {
	p.text = append(p.text, redact.CleanLine(fmt.Sprintf(format, args...))...)
	p.text = append(p.text, '\n')
}

// field is one line of a list; an empty value is left out.
func (p *page) field(name, value string) {
	if value != "" {
		p.say("%-11s %s", name, value)
	}
}

// table writes rows of cells below each other.
func (p *page) table(rows [][]string) {
	table := tabwriter.NewWriter(p, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				_, _ = io.WriteString(table, "\t")
			}
			_, _ = io.WriteString(table, redact.CleanLine(cell))
		}
		_, _ = io.WriteString(table, "\n")
	}
	_ = table.Flush()
}

// warnings stand at the end of a page, where they are seen.
func (p *page) warnings(all []string) {
	for _, warning := range all {
		p.say("warning: %s", warning)
	}
}

// age is how long ago something was, short.
func age(at, now time.Time) string { return short(now.Sub(at)) }

// short writes a duration with its two largest units.
func short(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// when is a moment and how long ago it was.
func when(at *time.Time, now time.Time) string {
	if at == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s ago)", at.UTC().Format("2006-01-02 15:04:05Z"), age(*at, now))
}

// plural is a number and its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
