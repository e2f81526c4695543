package testbed

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"time"
)

// addBridge makes the bridge of the bed's Docker. dockerd's own would be
// shared, because every dockerd calls its default bridge docker0. busybox does
// it, because a plain machine need not have iproute2.
func (s *slot) addBridge(ctx context.Context, busybox string) error {
	for _, args := range [][]string{
		{"link", "add", "name", s.bridge(), "type", "bridge"},
		{"addr", "add", s.subnet(), "dev", s.bridge()},
		{"link", "set", s.bridge(), "up"},
	} {
		if err := runIP(ctx, busybox, args...); err != nil {
			return fmt.Errorf("make the network bridge %s: %w", s.bridge(), err)
		}
	}
	return nil
}

// removeBridge needs no busybox of the bed's tools, because a later bed may
// clean up that has none.
func (s *slot) removeBridge() error {
	if _, err := net.InterfaceByName(s.bridge()); err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	busybox := tool{name: "busybox"}.find(ctx, "")
	if busybox == "" {
		return fmt.Errorf("remove the network bridge %s: no busybox on the PATH", s.bridge())
	}
	return runIP(ctx, busybox, "link", "del", s.bridge())
}

func runIP(ctx context.Context, busybox string, args ...string) error {
	out, err := exec.CommandContext(ctx, busybox, append([]string{"ip"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("busybox ip %v: %w: %s", args, err, lastLines(out, 2))
	}
	return nil
}
