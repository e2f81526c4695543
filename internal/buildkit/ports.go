package buildkit

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// sortPorts reads ports as images write them ("80", "80/tcp", "53/udp"); what
// is no TCP or UDP port is left out. A port with both protocols is a TCP port.
func sortPorts(exposed iter.Seq[string]) []tasks.Port {
	var ports []tasks.Port
	for text := range exposed {
		number, protocol, _ := strings.Cut(text, "/")
		protocol = cmp.Or(protocol, "tcp")
		if protocol != "tcp" && protocol != "udp" {
			continue
		}
		if port, err := strconv.Atoi(number); err == nil && port > 0 && port <= 65535 {
			ports = append(ports, tasks.Port{Number: port, Protocol: protocol})
		}
	}
	slices.SortFunc(ports, func(a, b tasks.Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Protocol, b.Protocol))
	})
	return slices.CompactFunc(ports, func(a, b tasks.Port) bool { return a.Number == b.Number })
}
