[[- /* One job with one group of one task. Texts of a task go through hcl… and ct… only. */ -]]
[[- $kind := var "job_config.type" . -]]
[[- $resources := var "resources" . -]]
[[- $group := coalesce (var "consul_service_name" .) (var "job_name" .) -]]
[[- $volume := and (var "use_csi_volume" .) (var "volume_name" .) -]]
job [[ var "job_name" . | hcl ]] {
  type = [[ hcl $kind ]]
[[- if var "node_pool" . ]]
  node_pool = [[ var "node_pool" . | hcl ]]
[[- end ]]
[[- if gt $resources.gpu 0 ]]
[[- if var "gpu_type" . ]]

  constraint {
    attribute = "$${node.class}"
    operator  = "set_contains_any"
    value     = [[ var "gpu_type" . | hcl ]]
  }
[[- end ]]
[[- else if var "regions" . ]]

  constraint {
    attribute = "$${node.class}"
    operator  = "set_contains_any"
    value     = [[ var "regions" . | hcl ]]
  }
[[- end ]]
[[- template "cloudstation_dispatch" . ]]

  group [[ hcl $group ]] {
    count = [[ var "count" . | hcl ]]
[[- template "cloudstation_ports" . ]]
[[- if $volume ]]

    volume [[ hcl $volume ]] {
      type            = "csi"
      source          = [[ hclPlain "the volume" $volume ]]
      attachment_mode = "file-system"
      access_mode     = "single-node-writer"
      per_alloc       = true
    }
[[- end ]]
[[- template "cloudstation_services" . ]]
[[- template "cloudstation_restart" . ]]
[[- if eq $kind "service" ]]
[[- template "cloudstation_update" . ]]
[[- end ]]

    task [[ var "alloc_id" . | hcl ]] {
      driver = "docker"
[[- if var "user" . ]]
      user   = [[ var "user" . | hclPlain "the user" ]]
[[- end ]]
      kill_timeout = "5s"
[[- template "cloudstation_docker" . ]]
[[- range var "volume_mount_destination" . ]]
[[- if $volume ]]

      volume_mount {
        volume      = [[ hclPlain "the volume" $volume ]]
        destination = [[ hclPlain "the volume's mount path" . ]]
      }
[[- end ]]
[[- end ]]
[[- template "cloudstation_vault" . ]]
[[- template "cloudstation_secrets" . ]]
[[- template "cloudstation_linked_services" . ]]
[[- template "cloudstation_patterns" . ]]
[[- template "cloudstation_files" . ]]

      resources {
        cpu    = [[ hcl $resources.cpu ]]
        memory = [[ hcl $resources.memory ]]
[[- if $resources.memory_max ]]
        memory_max = [[ hcl $resources.memory_max ]]
[[- end ]]
[[- if gt $resources.gpu 0 ]]

        device "nvidia/gpu" {
          count = [[ hcl $resources.gpu ]]
        }
[[- end ]]
      }
    }
  }
}
