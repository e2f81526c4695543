package testbed

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
)

// The agent never looks for a cloud, an update or the host's Consul, whose
// usual address is replaced by a closed port. Dangling containers are not
// collected, because one agent would remove another's.
const nomadConfig = `bind_addr = "127.0.0.1"
name      = %[1]q
log_level = "INFO"

disable_update_check = true

ports {
  http = %[2]d
  rpc  = %[3]d
  serf = %[4]d
}

client {
  cpu_total_compute = %[5]d
  memory_total_mb   = %[6]d
  min_dynamic_port  = %[7]d
  max_dynamic_port  = %[8]d
  cgroup_parent     = %[9]q
  node_class        = %[11]q
  options {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean"
  }
}

consul {
  address          = "127.0.0.1:1"
  auto_advertise   = false
  client_auto_join = false
  server_auto_join = false
}

acl {
  enabled = %[10]t
}

plugin "raw_exec" {
  config {
    enabled = true
  }
}
`

const nomadDockerConfig = `
plugin "docker" {
  config {
    endpoint = %q
    auth {
      config = %q
    }
    # buildkitd's container is privileged.
    allow_privileged = true
    volumes {
      enabled = true
    }
    gc {
      image = false
      dangling_containers {
        enabled = false
      }
    }
  }
}
`

func (n *Nomad) writeConfig(o NomadOptions) (path string, err error) {
	b := n.bed
	var ports [3]int
	for i := range ports {
		if ports[i], err = b.slot.port(); err != nil {
			return "", err
		}
	}
	n.port = ports[0]
	first, last := b.slot.jobPorts()
	text := fmt.Sprintf(nomadConfig, b.slot.bridge(), ports[0], ports[1], ports[2],
		orDefault(o.CPU, 8000), orDefault(o.MemoryMB, 8192), first, last, b.slot.cgroup(), o.ACL, o.NodeClass)
	if b.Docker != nil {
		auth, err := b.writeDockerAuth()
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(nomadDockerConfig, b.Docker.Addr(), auth)
	}
	path = b.slot.path("nomad.hcl")
	return path, os.WriteFile(path, []byte(text+"\n"+o.Extra+"\n"), 0o600)
}

func orDefault(value, fallback int) int {
	if value == 0 {
		return fallback
	}
	return value
}

// writeDockerAuth writes the file from which Nomad's Docker driver takes the
// registry's password, as an operator would set it up on each client.
func (b *Bed) writeDockerAuth() (path string, err error) {
	text, err := b.dockerAuth()
	if err != nil {
		return "", err
	}
	path = b.slot.path("docker-auth.json")
	return path, os.WriteFile(path, text, 0o600)
}

// dockerAuth is a docker configuration with the registry's password.
func (b *Bed) dockerAuth() ([]byte, error) {
	type entry struct {
		Auth string `json:"auth"`
	}
	auths := map[string]entry{}
	if b.Registry != nil {
		auths[b.Registry.Addr()] = entry{base64.StdEncoding.EncodeToString([]byte(b.Login.Username + ":" + b.Login.Password))}
	}
	return json.Marshal(map[string]any{"auths": auths})
}
