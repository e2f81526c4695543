package hcl

import (
	"strconv"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The check types that Nomad can carry out by itself; none is no check.
const (
	checkHTTP = "http"
	checkTCP  = "tcp"
	checkGRPC = "grpc"
	checkNone = "none"
)

// The protocols of a port that an image exposes.
const (
	protocolTCP = "tcp"
	protocolUDP = "udp"
)

const (
	defaultCheckPath = "/"
	defaultCheckTime = "30s"
)

// networks are the ports that the task names, else those that the image
// exposes, else the one that apps of the builder usually listen on.
func networks(s source) value {
	ports := make(list, 0, len(s.Networks))
	for _, n := range s.Networks {
		if n.PortNumber != 0 {
			ports = append(ports, network(n))
		}
	}
	if len(ports) > 0 {
		return ports
	}
	return listOf(exposed(s), foundPort)
}

// exposed are the ports that a task without networks gets.
func exposed(s source) []tasks.Port {
	if len(s.image.Ports) > 0 {
		return s.image.Ports
	}
	switch s.builder {
	case tasks.BuilderNixpacks, tasks.BuilderRailpack:
		return []tasks.Port{{Number: 3000, Protocol: protocolTCP}}
	case tasks.BuilderDocker:
		return []tasks.Port{{Number: 8000, Protocol: protocolTCP}}
	default:
		return nil
	}
}

// foundPort is a port that nobody described. Apps that listen on one usually
// speak HTTP, but not all of them answer at /, so the check only connects; to a
// udp port nothing can connect.
func foundPort(port tasks.Port) value {
	kind, check := checkHTTP, checkTCP
	if port.Protocol == protocolUDP {
		kind, check = protocolUDP, checkNone
	}
	return network(tasks.Network{
		PortNumber: tasks.Int(port.Number), PortType: kind,
		HasHealthCheck: check, HealthCheck: tasks.HealthCheck{Type: check},
	})
}

func network(n tasks.Network) value {
	return object{
		{"name", text(strconv.FormatInt(int64(n.PortNumber), 10))},
		{"port", number(n.PortNumber)},
		{"type", text(n.PortType)},
		{"public", flag(n.Public)},
		{"domain", text(n.Domain)},
		{"custom_domain", text(n.CustomDomain)},
		{"has_health_check", text(orIfBlank(n.HasHealthCheck, n.PortType))},
		{"health_check", healthCheck(n)},
	}
}

func healthCheck(n tasks.Network) value {
	c := n.HealthCheck
	port := c.Port
	if port == 0 {
		port = n.PortNumber
	}
	return object{
		{"type", text(checkType(orIfBlank(c.Type, n.PortType)))},
		{"interval", text(seconds(c.Interval))},
		{"path", text(orIfBlank(c.Path, defaultCheckPath))},
		{"timeout", text(seconds(c.Timeout))},
		{"port", number(port)},
	}
}

// checkType returns a type that Nomad knows; a check that connects is what
// fits any other.
func checkType(name string) string {
	switch known := strings.ToLower(strings.TrimSpace(name)); known {
	case checkHTTP, checkTCP, checkGRPC, checkNone:
		return known
	default:
		return checkTCP
	}
}

// seconds makes a duration of a bare number; any other text is left to Nomad.
func seconds(s string) string {
	s = orIfBlank(s, defaultCheckTime)
	if number := strings.TrimSpace(s); strings.Trim(number, "0123456789") == "" {
		return number + "s"
	}
	return s
}

func orIfBlank(s, otherwise string) string {
	if strings.TrimSpace(s) == "" {
		return otherwise
	}
	return s
}
