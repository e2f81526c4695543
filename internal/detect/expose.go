package detect

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// mostPorts keeps a range of ports from becoming a network each.
const mostPorts = 16

// Exposed lists the ports that a Dockerfile's last stage exposes by itself,
// ascending. What it inherits from its base image is not known here, and a
// port that cannot be worked out is left out.
func Exposed(dockerfile string) []tasks.Port {
	s := stage{variables: map[string]string{}}
	for _, line := range instructions(dockerfile) {
		s.read(line)
	}
	slices.SortFunc(s.ports, func(a, b tasks.Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol))
	})
	return slices.Compact(s.ports)
}

// stage is what is known at one line of a Dockerfile.
type stage struct {
	variables map[string]string
	ports     []tasks.Port
}

func (s *stage) read(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(word) {
	case "FROM":
		s.ports = nil
	case "ARG", "ENV":
		s.assign(strings.Fields(rest))
	case "EXPOSE":
		for _, port := range strings.Fields(os.Expand(rest, s.lookup)) {
			s.expose(strings.Trim(port, `"'`))
		}
	}
}

// assign takes NAME=value, and the old form of ENV, NAME value.
func (s *stage) assign(words []string) {
	if len(words) == 2 && !strings.Contains(words[0], "=") {
		s.variables[words[0]] = words[1]
		return
	}
	for _, word := range words {
		if name, value, ok := strings.Cut(word, "="); ok {
			s.variables[name] = os.Expand(strings.Trim(value, `"'`), s.lookup)
		}
	}
}

// lookup knows ${NAME} and ${NAME:-otherwise}.
func (s *stage) lookup(name string) string {
	name, otherwise, _ := strings.Cut(name, ":-")
	if value := s.variables[name]; value != "" {
		return value
	}
	return otherwise
}

// expose takes 8080, 8080/udp and 8080-8082.
func (s *stage) expose(text string) {
	numbers, protocol, ok := strings.Cut(strings.ToLower(text), "/")
	if !ok {
		protocol = "tcp"
	}
	if protocol != "tcp" && protocol != "udp" {
		return
	}
	from, to, isRange := strings.Cut(numbers, "-")
	if !isRange {
		to = from
	}
	first, errFirst := strconv.ParseUint(from, 10, 16)
	last, errLast := strconv.ParseUint(to, 10, 16)
	if errFirst != nil || errLast != nil || first == 0 {
		return
	}
	for number := first; number <= last && len(s.ports) < mostPorts; number++ {
		s.ports = append(s.ports, tasks.Port{Number: int(number), Protocol: protocol})
	}
}

// instructions are a Dockerfile's lines, continued ones joined, without
// comments and heredocs.
func instructions(text string) []string {
	var all []string
	var open, heredoc string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case heredoc != "":
			if line == heredoc {
				heredoc = ""
			}
			continue
		case line == "" || line[0] == '#':
			continue
		}
		if joined, continues := strings.CutSuffix(line, `\`); continues {
			open += joined + " "
			continue
		}
		whole := strings.TrimSpace(open + line)
		heredoc = heredocEnd(whole)
		all = append(all, strings.Join(strings.Fields(whole), " "))
		open = ""
	}
	return append(all, strings.TrimSpace(open))
}

// heredocEnd is the word that ends a heredoc which begins in a line.
func heredocEnd(line string) string {
	_, after, ok := strings.Cut(line, "<<")
	word, _, _ := strings.Cut(strings.TrimPrefix(after, "-"), " ")
	if !ok || strings.HasPrefix(strings.ToUpper(line), "EXPOSE") {
		return ""
	}
	return strings.Trim(word, `"'`)
}
