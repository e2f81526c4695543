[[- /* Files travel as base64, which is inert in HCL and in a template. */ -]]
[[- define "cloudstation_files" -]]
[[- range $i, $file := var "config_files" . ]]
[[- $place := inContainer "the config file" $file.path (printf "local/dispatchd/config-%d" $i) ]]

      template {
        destination = [[ hclPlain "the config file" $place.destination ]]
        change_mode = "restart"
        data        = [[ fromBase64 (printf "the content of the config file %q" $file.path) $file.content | ctText | printf "{{ %s }}" | hcl ]]
      }
[[- end ]]
[[- if var "use_tls" . ]]
[[- range $i, $tls := var "tls" . ]]
[[- $cert := inContainer "the certificate" $tls.cert_path (printf "secrets/dispatchd/cert-%d.pem" $i) ]]
[[- $key := inContainer "the key" $tls.key_path (printf "secrets/dispatchd/key-%d.pem" $i) ]]
[[- template "cloudstation_certificate" (dict "tls" $tls "place" $cert.destination "key" false) ]]
[[- template "cloudstation_certificate" (dict "tls" $tls "place" $key.destination "key" true) ]]
[[- end ]]
[[- end ]]
[[- end ]]

[[- /* Both files ask for the same thing in the same words, so that they get the
  two halves of one answer. */ -]]
[[- define "cloudstation_certificate" ]]

      template {
        destination = [[ hclPlain "the certificate's path" .place ]]
        change_mode = "restart"
        data        = <<-EOT
          {{- with secret [[ ctPath "the certificate's issuer" .tls.pka_path ]] [[ ctParameter "common_name" .tls.common_name ]]
[[- if .tls.ttl ]] [[ ctParameter "ttl" .tls.ttl ]][[ end ]] }}
[[- if .key ]]
          {{- .Data.private_key }}
[[- else ]]
          {{- .Data.certificate }}
          {{- with .Data.issuing_ca }}
          {{ . }}
          {{- end }}
[[- end ]]
          {{- end }}
        EOT
      }
[[- end ]]
