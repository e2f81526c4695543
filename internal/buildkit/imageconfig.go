package buildkit

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// imageConfig is the part of an image's config that is read here.
type imageConfig struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
	Config       struct {
		ExposedPorts map[string]struct{} `json:"ExposedPorts"`
		Entrypoint   []string            `json:"Entrypoint"`
		Cmd          []string            `json:"Cmd"`
	} `json:"config"`
}

// describeImage fills in what an image's config says: the TCP and UDP ports
// that it exposes, what it starts and, where no index has said so already, the
// platform that it is for.
func describeImage(image *tasks.Image, config []byte) error {
	if len(config) == 0 {
		return nil
	}
	var parsed imageConfig
	if err := json.Unmarshal(config, &parsed); err != nil {
		return err
	}
	image.Ports = sortPorts(maps.Keys(parsed.Config.ExposedPorts))
	image.Command = slices.Concat(parsed.Config.Entrypoint, parsed.Config.Cmd)
	if len(image.Platforms) == 0 {
		platform := tasks.PlatformName(parsed.OS, parsed.Architecture, parsed.Variant)
		image.Platforms = tasks.SortPlatforms([]string{platform})
	}
	return nil
}
