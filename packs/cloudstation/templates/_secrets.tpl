[[- /* Templates are constants, paths in Vault and names; a text of the task
  stands in them as base64 alone. */ -]]

[[- define "cloudstation_vault" -]]
[[- $needed := or (var "uses_kv_engine" .) (var "secret_path" .) (var "shared_secret_path" .) (var "vault_linked_secrets" .) (var "private_registry" .) (and (var "use_tls" .) (var "tls" .)) -]]
[[- range var "template" . -]]
[[- if (ctPattern .pattern .linked_vars).secret -]]
[[- $needed = true -]]
[[- end -]]
[[- end -]]
[[- if $needed ]]
[[- if not (var "project_id" .) -]]
[[- fail "secrets of Vault are asked for, but the project has no id" -]]
[[- end ]]

      vault {
[[- if var "vault_by_role" . ]]
        role        = [[ var "project_id" . | hcl ]]
[[- else ]]
        policies    = [[ list (var "project_id" .) | hcl ]]
[[- end ]]
        change_mode = "noop"
      }
[[- end ]]
[[- end ]]

[[- define "cloudstation_secrets" -]]
[[- $project := var "project_id" . -]]
[[- if or (var "uses_kv_engine" .) (var "secret_path" .) -]]
[[- template "cloudstation_secret" (dict "path" (vaultPath $project (coalesce (var "secret_path" .) (var "service_id" .))) "prefix" "" "file" "service") -]]
[[- end -]]
[[- if var "shared_secret_path" . -]]
[[- template "cloudstation_secret" (dict "path" (vaultPath $project (var "shared_secret_path" .)) "prefix" "" "file" "shared") -]]
[[- end -]]
[[- range $i, $linked := var "vault_linked_secrets" . -]]
[[- template "cloudstation_secret" (dict "path" (vaultPath $project $linked.secret_path) "prefix" $linked.prefix "file" (printf "linked-%d" $i)) -]]
[[- end -]]
[[- if var "private_registry" . -]]
[[- template "cloudstation_registry" . -]]
[[- end -]]
[[- end ]]

[[- /* Every key of a secret that can be the name of a variable. Values that are
  no text are their JSON. */ -]]
[[- define "cloudstation_secret" ]]

      template {
        destination = [[ printf "secrets/dispatchd/%s.env" .file | hcl ]]
        env         = true
        change_mode = "noop"
        perms       = "600"
        data        = <<-EOT
          {{- with secret [[ ctPath "the secret" .path ]] }}
          {{- range $name, $value := .Data.data }}
          {{- if regexMatch "^[A-Za-z_][A-Za-z0-9_.]*$" $name }}
          [[ ctName "the secret's prefix" .prefix ]]{{ $name }}={{ if eq (printf "%T" $value) "string" }}{{ $value | toJSON }}{{ else }}{{ $value | toJSON | toJSON }}{{ end }}
          {{- end }}
          {{- end }}
          {{- end }}
        EOT
      }
[[- end ]]

[[- define "cloudstation_registry" ]]

      template {
        destination = "secrets/dispatchd/registry.env"
        env         = true
        change_mode = "noop"
        perms       = "600"
        data        = <<-EOT
          {{- with secret [[ ctPath "the registry's secret" (printf "kv/data/%s/%s" (var "private_registry" .) (var "private_registry_provider" .)) ]] }}
          {{- with .Data.data }}
          DISPATCHD_REGISTRY_USERNAME={{ or .username .USERNAME .REGISTRY_USERNAME .DOCKER_USERNAME "" | toJSON }}
          DISPATCHD_REGISTRY_PASSWORD={{ or .password .PASSWORD .REGISTRY_PASSWORD .DOCKER_PASSWORD "" | toJSON }}
          {{- end }}
          {{- end }}
        EOT
      }
[[- end ]]

[[- /* A variable that needs an address stands once its service does; nothing
  waits for it. */ -]]
[[- define "cloudstation_patterns" -]]
[[- $project := var "project_id" . -]]
[[- $catalogue := ternary "service" "nomadService" (eq (var "service_provider" .) "consul") -]]
[[- range $i, $t := var "template" . ]]
[[- $pattern := ctPattern $t.pattern $t.linked_vars ]]

      template {
        destination = [[ printf "secrets/dispatchd/pattern-%d.env" $i | hcl ]]
        env         = true
        change_mode = "[[ ternary "restart" "noop" $pattern.service ]]"
        perms       = "600"
        data        = <<-EOT
[[- if $pattern.secret ]]
          {{- with secret [[ ctPath "the service's secret" (vaultPath $project $t.service_secret_path) ]] }}
          {{- $secret := .Data.data }}
[[- end ]]
[[- if $pattern.service ]]
          {{- with [[ $catalogue ]] [[ ctService "the linked service" $t.service_name ]] }}
          {{- with index . 0 }}
          {{- $service := . }}
[[- end ]]
          [[ ctName "the variable" $t.name ]]={{ [[ $pattern.expression ]] }}
[[- if $pattern.service ]]
          {{- end }}
          {{- end }}
[[- end ]]
[[- if $pattern.secret ]]
          {{- end }}
[[- end ]]
        EOT
      }
[[- end ]]
[[- end ]]

[[- define "cloudstation_linked_services" -]]
[[- $catalogue := ternary "service" "nomadService" (eq (var "service_provider" .) "consul") -]]
[[- $links := var "consul_linked_services" . -]]
[[- if $links ]]

      template {
        destination = "secrets/dispatchd/services.env"
        env         = true
        change_mode = "restart"
        data        = <<-EOT
[[- range $links ]]
[[- $name := .value -]]
[[- $part := "both" -]]
[[- if hasSuffix "_HOST" $name -]]
[[- $part = "host" -]]
[[- else if hasSuffix "_PORT" $name -]]
[[- $part = "port" -]]
[[- else if hasSuffix "_HOST" .key -]]
[[- $part = "host" -]]
[[- else if hasSuffix "_PORT" .key -]]
[[- $part = "port" -]]
[[- end -]]
[[- $name = trimSuffix "_HOST" $name | trimSuffix "_PORT" ]]
          {{- with [[ $catalogue ]] [[ ctService "the linked service" $name ]] }}
          {{- with index . 0 }}
          [[ ctName "the linked service's variable" .key ]]=
[[- if eq $part "host" ]]{{ .Address }}
[[- else if eq $part "port" ]]{{ .Port }}
[[- else ]]{{ .Address }}:{{ .Port }}
[[- end ]]
          {{- end }}
          {{- end }}
[[- end ]]
        EOT
      }
[[- end ]]
[[- end ]]
