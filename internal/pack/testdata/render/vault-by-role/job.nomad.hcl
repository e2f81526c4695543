job "web" {
  type = "service"

  group "web" {
    count = 1

    restart {
      attempts = 3
      delay    = "5s"
      interval = "300s"
      mode     = "fail"
    }

    update {
      max_parallel      = 1
      canary            = 1
      min_healthy_time  = "10s"
      healthy_deadline  = "5m"
      progress_deadline = "0s"
      auto_revert       = true
      auto_promote      = true
    }

    reschedule {
      delay          = "30s"
      delay_function = "exponential"
      max_delay      = "10m"
      unlimited      = true
    }

    task "dep-5" {
      driver       = "docker"
      kill_timeout = "5s"

      config {
        image = "acme/web:1"

        labels {
          job        = "web"
          group      = "web"
          task       = "dep-5"
          alloc_id   = "dep-5"
          user_id    = ""
          project_id = "prj-1"
          service_id = "svc-1"
        }
      }

      vault {
        role        = "prj-1"
        change_mode = "noop"
      }

      template {
        destination = "secrets/dispatchd/service.env"
        env         = true
        change_mode = "noop"
        perms       = "600"
        data        = <<-EOT
          {{- with secret "kv/data/prj-1/svc-1" }}
          {{- range $name, $value := .Data.data }}
          {{- if regexMatch "^[A-Za-z_][A-Za-z0-9_.]*$" $name }}
          {{ $name }}={{ if eq (printf "%T" $value) "string" }}{{ $value | toJSON }}{{ else }}{{ $value | toJSON | toJSON }}{{ end }}
          {{- end }}
          {{- end }}
          {{- end }}
        EOT
      }

      template {
        destination = "secrets/dispatchd/shared.env"
        env         = true
        change_mode = "noop"
        perms       = "600"
        data        = <<-EOT
          {{- with secret "kv/data/prj-1/shared" }}
          {{- range $name, $value := .Data.data }}
          {{- if regexMatch "^[A-Za-z_][A-Za-z0-9_.]*$" $name }}
          {{ $name }}={{ if eq (printf "%T" $value) "string" }}{{ $value | toJSON }}{{ else }}{{ $value | toJSON | toJSON }}{{ end }}
          {{- end }}
          {{- end }}
          {{- end }}
        EOT
      }

      template {
        destination = "secrets/dispatchd/linked-0.env"
        env         = true
        change_mode = "noop"
        perms       = "600"
        data        = <<-EOT
          {{- with secret "kv/data/prj-1/svc-db" }}
          {{- range $name, $value := .Data.data }}
          {{- if regexMatch "^[A-Za-z_][A-Za-z0-9_.]*$" $name }}
          DB_{{ $name }}={{ if eq (printf "%T" $value) "string" }}{{ $value | toJSON }}{{ else }}{{ $value | toJSON | toJSON }}{{ end }}
          {{- end }}
          {{- end }}
          {{- end }}
        EOT
      }

      template {
        destination = "secrets/dispatchd/pattern-0.env"
        env         = true
        change_mode = "restart"
        perms       = "600"
        data        = <<-EOT
          {{- with secret "kv/data/prj-1/svc-pg" }}
          {{- $secret := .Data.data }}
          {{- with nomadService "pg-5432" }}
          {{- with index . 0 }}
          {{- $service := . }}
          DATABASE_URL={{ printf "%v%v%v%v%v%v%v%v%v" (base64Decode "cG9zdGdyZXM6Ly8=") (or (index $secret "USER") "") (base64Decode "Og==") (or (index $secret "PASSWORD") "") (base64Decode "QA==") $service.Address (base64Decode "Og==") $service.Port (base64Decode "L3t7ICRub2JvZHkgfX0/eD17eyBrZXkgImEiIH19") | toJSON }}
          {{- end }}
          {{- end }}
          {{- end }}
        EOT
      }

      template {
        destination = "secrets/dispatchd/pattern-1.env"
        env         = true
        change_mode = "noop"
        perms       = "600"
        data        = <<-EOT
          PLAIN={{ printf "%v" (base64Decode "bm8gcGxhY2Vob2xkZXI=") | toJSON }}
        EOT
      }

      resources {
        cpu    = 100
        memory = 300
      }
    }
  }
}
