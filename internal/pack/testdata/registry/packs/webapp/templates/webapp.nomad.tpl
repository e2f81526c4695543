job [[ template "job_name" . ]] {
  datacenters = [[ var "datacenters" . | toStringList ]]
  type        = "service"
  [[ template "constraints" (var "constraints" .) ]]

  group "app" {
    count = [[ var "count" . ]]

    update {
      min_healthy_time = [[ (var "update" .).min_healthy_time | quote ]]
      healthy_deadline = [[ (var "update" .).healthy_deadline | quote ]]
      progress_deadline = "0"
    }

    [[- if gt (len (var "network" .)) 0 ]]
    network {
      [[- range $port := var "network" . ]]
      port "p[[ $port.name ]]" {
        to = [[ $port.port ]]
      }
      [[- end ]]
    }
    [[- range $port := var "network" . ]]
    service {
      provider = "nomad"
      name     = "[[ var "job_name" $ ]]-[[ $port.name ]]"
      port     = "p[[ $port.name ]]"
      [[- if ne $port.type "none" ]]
      check {
        type     = [[ coalesce $port.type "tcp" | quote ]]
        path     = [[ $port.health_check.path | quote ]]
        interval = [[ $port.health_check.interval | quote ]]
        timeout  = [[ $port.health_check.timeout | quote ]]
      }
      [[- end ]]
    }
    [[- end ]]
    [[- end ]]

    task "app" {
      driver = "docker"

      config {
        image = [[ var "image" . | quote ]]
        ports = [[ $names := list ]][[ range $port := var "network" . ]][[ $names = append $names (printf "p%s" $port.name) ]][[ end ]][[ toStringList $names ]]
      }

      env {
        [[- range $name, $value := var "env" . ]]
        [[ $name ]] = [[ $value | quote ]]
        [[- end ]]
        NODE  = "${node.unique.name}"
        ALLOC = "${NOMAD_ALLOC_ID} of [[ meta "pack.name" . ]] [[ meta "pack.version" . ]]"
      }

      template {
        data        = <<-EOH
        plain ${NOT_HCL} and {{ env "NOMAD_TASK_NAME" }}
        EOH
        destination = "local/note"
      }
      [[ template "resources" . ]]
    }
  }
}
