package tasks

import (
	"fmt"
	"slices"
	"strings"
)

// runsToo are the machines that also run programs of another one.
var runsToo = map[string]string{"linux/amd64": "linux/386", "linux/arm64": "linux/arm"}

// checkPlatform fails where it is known that no node of the cluster can run
// the image. What is not known is left to Nomad.
func checkPlatform(image Image, cluster ClusterInfo) error {
	if len(image.Platforms) == 0 || len(cluster.Platforms) == 0 {
		return nil
	}
	for _, node := range cluster.Platforms {
		for _, platform := range image.Platforms {
			if fits(machine(platform), machine(node)) {
				return nil
			}
		}
	}
	message := fmt.Sprintf("image %s is for %s; the cluster's nodes are %s",
		image.Reference(), strings.Join(image.Platforms, ", "), strings.Join(cluster.Platforms, ", "))
	return Fail(ReasonImagePlatform, message, nil)
}

func fits(image, node string) bool { return image == node || runsToo[node] == image }

// machine is a platform without its variant, which nodes do not tell.
func machine(platform string) string {
	parts := strings.SplitN(platform, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// PlatformName is how a platform is written everywhere: linux/amd64,
// linux/arm/v7. The variant that every machine of its kind has (arm64/v8,
// amd64/v1) is left out; an unknown platform is empty.
func PlatformName(os, arch, variant string) string {
	if os == "" || arch == "" || os == "unknown" || arch == "unknown" {
		return ""
	}
	name := os + "/" + arch
	if variant == "" || name == "linux/arm64" && variant == "v8" || name == "linux/amd64" && variant == "v1" {
		return name
	}
	return name + "/" + variant
}

// SortPlatforms returns the platforms in order, each once, without empty ones.
func SortPlatforms(platforms []string) []string {
	platforms = slices.DeleteFunc(platforms, func(p string) bool { return p == "" })
	slices.Sort(platforms)
	return slices.Clip(slices.Compact(platforms))
}
