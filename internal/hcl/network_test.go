package hcl_test

import (
	"fmt"
	"testing"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// port is one element of network as JSON.
func port(number int, kind, has, check string) string {
	return fmt.Sprintf(`{"custom_domain":"","domain":"","has_health_check":%q,"health_check":%s,"name":"%d","port":%d,"public":false,"type":%q}`,
		has, check, number, number, kind)
}

// check is a health check as JSON.
func check(kind, path, interval, timeout string, port int) string {
	return fmt.Sprintf(`{"interval":%q,"path":%q,"port":%d,"timeout":%q,"type":%q}`, interval, path, port, timeout, kind)
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	plain := func(n int) string { return port(n, "http", "tcp", check("tcp", "/", "30s", "30s", n)) }
	cases := []struct {
		name     string
		builder  string
		exposed  []tasks.Port
		networks []tasks.Network
		want     string
	}{
		{"csdocker without ports", tasks.BuilderDocker, nil, nil, plain(8000)},
		{"nixpacks without ports", tasks.BuilderNixpacks, nil, nil, plain(3000)},
		{"railpack without ports", tasks.BuilderRailpack, nil, nil, plain(3000)},
		{"an image without ports", tasks.BuilderNoop, nil, nil, ``},
		{"the image's ports", tasks.BuilderDocker, tcpPorts(80, 443), nil, plain(80) + "," + plain(443)},
		{
			"a udp port of the image", tasks.BuilderDocker,
			[]tasks.Port{{Number: 53, Protocol: "udp"}},
			nil,
			port(53, "udp", "none", check("none", "/", "30s", "30s", 53)),
		},
		{"only ports that are none", tasks.BuilderDocker, tcpPorts(80), []tasks.Network{{}}, plain(80)},
		{
			"the task's ports win", tasks.BuilderDocker,
			tcpPorts(80),
			[]tasks.Network{{PortType: "http"}, {PortNumber: 7, PortType: "http"}},
			port(7, "http", "http", check("http", "/", "30s", "30s", 7)),
		},
		{
			"everything is kept", tasks.BuilderNoop, nil,
			[]tasks.Network{{PortNumber: 7, PortType: "tcp", HasHealthCheck: "http", HealthCheck: tasks.HealthCheck{
				Type: "grpc", Path: "/x", Interval: "1m", Timeout: "2s", Port: 8,
			}}},
			port(7, "tcp", "http", check("grpc", "/x", "1m", "2s", 8)),
		},
		{
			"an unknown check is tcp", tasks.BuilderNoop, nil,
			[]tasks.Network{{PortNumber: 7, PortType: "http", HealthCheck: tasks.HealthCheck{Type: "ping"}}},
			port(7, "http", "http", check("tcp", "/", "30s", "30s", 7)),
		},
		{
			"a port type that is no check", tasks.BuilderNoop, nil,
			[]tasks.Network{{PortNumber: 7, PortType: "udp"}},
			port(7, "udp", "udp", check("tcp", "/", "30s", "30s", 7)),
		},
		{
			"no check", tasks.BuilderNoop, nil,
			[]tasks.Network{{PortNumber: 7, PortType: "http", HealthCheck: tasks.HealthCheck{Type: "none"}}},
			port(7, "http", "http", check("none", "/", "30s", "30s", 7)),
		},
		{
			"bare numbers are seconds", tasks.BuilderNoop, nil,
			[]tasks.Network{{PortNumber: 7, PortType: "tcp", HealthCheck: tasks.HealthCheck{Interval: "15", Timeout: " 5 "}}},
			port(7, "tcp", "tcp", check("tcp", "/", "15s", "5s", 7)),
		},
		{
			"blanks are absent", tasks.BuilderNoop, nil,
			[]tasks.Network{{PortNumber: 7, PortType: "tcp", HasHealthCheck: " ", HealthCheck: tasks.HealthCheck{Type: " ", Path: " ", Interval: " ", Timeout: " "}}},
			port(7, "tcp", "tcp", check("tcp", "/", "30s", "30s", 7)),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := minimal()
			s.plan.Builder, s.image.Ports, s.plan.Deploy.Networks = c.builder, c.exposed, c.networks
			if got := read(t, variables(t, s.plan, s.image))["network"]; got != "["+c.want+"]" {
				t.Errorf("network =\n%s, want\n[%s]", got, c.want)
			}
		})
	}
}

func TestNetworkIsPublic(t *testing.T) {
	t.Parallel()
	s := minimal()
	s.plan.Deploy.Networks = []tasks.Network{{PortNumber: 7, PortType: "tcp", Public: true, Domain: "web", CustomDomain: "www.test"}}
	want := `[{"custom_domain":"www.test","domain":"web","has_health_check":"tcp","health_check":` + check("tcp", "/", "30s", "30s", 7) +
		`,"name":"7","port":7,"public":true,"type":"tcp"}]`
	if got := read(t, variables(t, s.plan, s.image))["network"]; got != want {
		t.Errorf("network =\n%s, want\n%s", got, want)
	}
}
