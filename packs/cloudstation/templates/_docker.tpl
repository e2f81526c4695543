[[- define "cloudstation_docker" -]]
[[- $args := var "args" . -]]
[[- $entrypoint := var "entrypoint" . -]]
[[- $command := var "command" . -]]
[[- if and $args (not $entrypoint) -]]
[[- $entrypoint = list "/bin/sh" "-c" -]]
[[- /* The line has it already; beside the line it would be all that runs. */ -]]
[[- $command = "" -]]
[[- end ]]

      config {
        image = [[ var "image" . | hclDriver ]]
[[- if var "force_pull" . ]]
        force_pull = true
[[- end ]]
[[- if $entrypoint ]]
        entrypoint = [[ hclDriver $entrypoint ]]
[[- end ]]
[[- if $command ]]
        command = [[ hclDriver $command ]]
[[- end ]]
[[- if $args ]]
        args = [[ hclDriver $args ]]
[[- end ]]
[[- $ports := list -]]
[[- range var "network" . -]]
[[- $ports = append $ports (toString .port) -]]
[[- if gt .health_check.port 0 -]]
[[- $ports = append $ports (toString .health_check.port) -]]
[[- end -]]
[[- end -]]
[[- if $ports ]]
        ports = [[ uniq $ports | hclDriver ]]
[[- end ]]

        labels {
          job        = [[ var "job_name" . | hclDriver ]]
          group      = [[ coalesce (var "consul_service_name" .) (var "job_name" .) | hclDriver ]]
          task       = [[ var "alloc_id" . | hclDriver ]]
          alloc_id   = [[ var "alloc_id" . | hclDriver ]]
          user_id    = [[ var "user_id" . | hclDriver ]]
          project_id = [[ var "project_id" . | hclDriver ]]
          service_id = [[ var "service_id" . | hclDriver ]]
        }
[[- if var "private_registry" . ]]

        auth {
          username = "$${DISPATCHD_REGISTRY_USERNAME}"
          password = "$${DISPATCHD_REGISTRY_PASSWORD}"
        }
[[- end ]]
[[- template "cloudstation_mounts" . ]]
      }
[[- end ]]

[[- /* The files that _files.tpl writes, at their place in the container. */ -]]
[[- define "cloudstation_mounts" -]]
[[- $places := list -]]
[[- range $i, $file := var "config_files" . -]]
[[- $places = append $places (inContainer "the config file" $file.path (printf "local/dispatchd/config-%d" $i)) -]]
[[- end -]]
[[- if var "use_tls" . -]]
[[- range $i, $tls := var "tls" . -]]
[[- $places = append $places (inContainer "the certificate" $tls.cert_path (printf "secrets/dispatchd/cert-%d.pem" $i)) -]]
[[- $places = append $places (inContainer "the key" $tls.key_path (printf "secrets/dispatchd/key-%d.pem" $i)) -]]
[[- end -]]
[[- end -]]
[[- $taken := list -]]
[[- range $places ]]
[[- $place := coalesce .mount .destination -]]
[[- if has $place $taken -]]
[[- fail (printf "two files want the path %q" $place) -]]
[[- end -]]
[[- $taken = append $taken $place -]]
[[- if .mount ]]

        mount {
          type     = "bind"
          source   = [[ hclDriver .destination ]]
          target   = [[ hclDriver .mount ]]
          readonly = true
        }
[[- end ]]
[[- end ]]
[[- end ]]
