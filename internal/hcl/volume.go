package hcl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// volume is the one volume that a deploy pack mounts, once for each allocation.
type volume struct {
	name   string
	mounts []string
}

// oneVolume joins a task's volumes. vol_x[0] and vol_x[1] are the parts of
// vol_x that Nomad gives to the allocations by itself; two different volumes
// are an error, because one of them would be missing from the app.
func oneVolume(volumes []tasks.CSIVolume) (volume, error) {
	var one volume
	for i, v := range volumes {
		name := withoutIndex(v.ID)
		if name == "" {
			continue
		}
		if one.name != "" && one.name != name {
			return volume{}, fmt.Errorf("csiVolume[%d] is another volume than the one before it: a deployment can mount one", i)
		}
		one.name = name
		for _, path := range v.MountPaths {
			if !slices.Contains(one.mounts, path) {
				one.mounts = append(one.mounts, path)
			}
		}
	}
	return one, nil
}

// withoutIndex drops the [0] at a volume's end.
func withoutIndex(id string) string {
	name, index, found := strings.Cut(strings.TrimSuffix(id, "]"), "[")
	if !found || !strings.HasSuffix(id, "]") || index == "" || strings.Trim(index, "0123456789") != "" {
		return id
	}
	return name
}
