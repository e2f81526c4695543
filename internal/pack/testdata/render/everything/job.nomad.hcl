job "web" {
  type      = "service"
  node_pool = "minions"

  constraint {
    attribute = "$${node.class}"
    operator  = "set_contains_any"
    value     = "fr,de"
  }

  group "web-svc" {
    count = 3

    network {
      port "8080" {
        to = 8080
      }
      port "5432" {
        to = 5432
      }
      port "9000" {
        to = 9000
      }
      port "8081" {
        to = 8081
      }
    }

    volume "vol_web" {
      type            = "csi"
      source          = "vol_web"
      attachment_mode = "file-system"
      access_mode     = "single-node-writer"
      per_alloc       = true
    }

    service {
      name        = "web-svc-8080"
      port        = "8080"
      provider    = "nomad"
      tags        = ["blue", "urlprefix-web.apps.test", "custom-www.acme.test"]
      canary_tags = ["green", "urlprefix-canary-web.apps.test", "custom-canary-www.acme.test"]

      check {
        type     = "http"
        path     = "/healthz"
        port     = "8081"
        interval = "15s"
        timeout  = "5s"
      }
    }

    service {
      name        = "web-svc-5432"
      port        = "5432"
      provider    = "nomad"
      tags        = ["blue"]
      canary_tags = ["green"]

      check {
        type     = "tcp"
        port     = "5432"
        interval = "30s"
        timeout  = "30s"
      }
    }

    service {
      name        = "web-svc-9000"
      port        = "9000"
      provider    = "nomad"
      tags        = ["blue"]
      canary_tags = ["green"]
    }

    restart {
      attempts = 2
      delay    = "5s"
      interval = "300s"
      mode     = "delay"
    }

    update {
      max_parallel      = 1
      canary            = 0
      min_healthy_time  = "10s"
      healthy_deadline  = "5m"
      progress_deadline = "10m"
      auto_revert       = true
    }

    reschedule {
      delay          = "30s"
      delay_function = "exponential"
      max_delay      = "10m"
      unlimited      = true
    }

    task "dep-5" {
      driver       = "docker"
      user         = "1000"
      kill_timeout = "5s"

      config {
        image      = "registry.test/team/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        entrypoint = ["/bin/bash", "-lc"]
        command    = "/bin/serve"
        args       = ["export DSN=$DB_USER:$DB_PASS@db;export MODE=prod;exec serve"]
        ports      = ["8080", "8081", "5432", "9000"]

        labels {
          job        = "web"
          group      = "web-svc"
          task       = "dep-5"
          alloc_id   = "dep-5"
          user_id    = "own-1"
          project_id = "prj-1"
          service_id = "svc-5"
        }

        auth {
          username = "$${DISPATCHD_REGISTRY_USERNAME}"
          password = "$${DISPATCHD_REGISTRY_PASSWORD}"
        }

        mount {
          type     = "bind"
          source   = "local/dispatchd/config-0"
          target   = "/etc/app.yaml"
          readonly = true
        }
      }

      volume_mount {
        volume      = "vol_web"
        destination = "/data"
      }

      volume_mount {
        volume      = "vol_web"
        destination = "/cache"
      }

      vault {
        policies    = ["prj-1"]
        change_mode = "noop"
      }

      template {
        destination = "secrets/dispatchd/service.env"
        env         = true
        change_mode = "noop"
        perms       = "600"
        data        = <<-EOT
          {{- with secret "kv/app" }}
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
          {{- with secret "kv/shared" }}
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
          {{- with secret "kv/db" }}
          {{- range $name, $value := .Data.data }}
          {{- if regexMatch "^[A-Za-z_][A-Za-z0-9_.]*$" $name }}
          DB_{{ $name }}={{ if eq (printf "%T" $value) "string" }}{{ $value | toJSON }}{{ else }}{{ $value | toJSON | toJSON }}{{ end }}
          {{- end }}
          {{- end }}
          {{- end }}
        EOT
      }

      template {
        destination = "secrets/dispatchd/registry.env"
        env         = true
        change_mode = "noop"
        perms       = "600"
        data        = <<-EOT
          {{- with secret "kv/data/prj-1/dockerhub" }}
          {{- with .Data.data }}
          DISPATCHD_REGISTRY_USERNAME={{ or .username .USERNAME .REGISTRY_USERNAME .DOCKER_USERNAME "" | toJSON }}
          DISPATCHD_REGISTRY_PASSWORD={{ or .password .PASSWORD .REGISTRY_PASSWORD .DOCKER_PASSWORD "" | toJSON }}
          {{- end }}
          {{- end }}
        EOT
      }

      template {
        destination = "secrets/dispatchd/services.env"
        env         = true
        change_mode = "restart"
        data        = <<-EOT
          {{- with nomadService "pg-5432" }}
          {{- with index . 0 }}
          DB_HOST={{ .Address }}
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
          DATABASE_URL={{ printf "%v%v%v%v" (base64Decode "cGc6Ly8=") (or (index $secret "USER") "") (base64Decode "QA==") $service.Address | toJSON }}
          {{- end }}
          {{- end }}
          {{- end }}
        EOT
      }

      template {
        destination = "local/dispatchd/config-0"
        change_mode = "restart"
        data        = "{{ (base64Decode \"YTogMQo=\") }}"
      }

      template {
        destination = "local/tls.pem"
        change_mode = "restart"
        data        = <<-EOT
          {{- with secret "pki/issue/web" "common_name=web.test" "ttl=3h" }}
          {{- .Data.certificate }}
          {{- with .Data.issuing_ca }}
          {{ . }}
          {{- end }}
          {{- end }}
        EOT
      }

      template {
        destination = "local/tls.key"
        change_mode = "restart"
        data        = <<-EOT
          {{- with secret "pki/issue/web" "common_name=web.test" "ttl=3h" }}
          {{- .Data.private_key }}
          {{- end }}
        EOT
      }

      resources {
        cpu        = 500
        memory     = 1024
        memory_max = 2048
      }
    }
  }
}
