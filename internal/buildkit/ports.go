package buildkit

import (
	"iter"
	"slices"
	"strconv"
	"strings"
)

// sortPorts reads ports as images write them ("80", "80/tcp", "53/udp"); what
// is no TCP or UDP port is left out.
func sortPorts(exposed iter.Seq[string]) []int {
	var ports []int
	for text := range exposed {
		number, protocol, _ := strings.Cut(text, "/")
		if protocol != "" && protocol != "tcp" && protocol != "udp" {
			continue
		}
		if port, err := strconv.Atoi(number); err == nil && port > 0 && port <= 65535 {
			ports = append(ports, port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
