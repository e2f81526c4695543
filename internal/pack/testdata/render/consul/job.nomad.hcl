job "web" {
  type = "service"

  group "web-7" {
    count = 1

    network {
      port "8080" {
        to = 8080
      }
      port "6000" {
        to = 6000
      }
      port "50051" {
        to = 50051
      }
      port "53" {
        to = 53
      }
      port "9090" {
        to = 9090
      }
    }

    service {
      name        = "web-7-8080"
      port        = "8080"
      provider    = "consul"
      tags        = ["blue", "urlprefix-web.apps.test", "custom-www.acme.test"]
      canary_tags = ["green", "urlprefix-canary-web.apps.test", "custom-canary-www.acme.test"]

      check {
        type     = "http"
        path     = "/healthz"
        port     = "9090"
        interval = "10s"
        timeout  = "2s"
      }
    }

    service {
      name        = "web-7-6000"
      port        = "6000"
      provider    = "consul"
      tags        = ["blue", "urlprefix-web-tcp.apps.test", "tcp-lb"]
      canary_tags = ["green", "urlprefix-canary-web-tcp.apps.test"]

      check {
        type     = "tcp"
        port     = "6000"
        interval = "30s"
        timeout  = "30s"
      }
    }

    service {
      name        = "web-7-50051"
      port        = "50051"
      provider    = "consul"
      tags        = ["blue"]
      canary_tags = ["green"]

      check {
        type     = "grpc"
        port     = "50051"
        interval = "30s"
        timeout  = "30s"
      }
    }

    service {
      name        = "web-7-53"
      port        = "53"
      provider    = "consul"
      tags        = ["blue"]
      canary_tags = ["green"]
    }

    restart {
      attempts = 3
      delay    = "5s"
      interval = "300s"
      mode     = "fail"
    }

    update {
      max_parallel      = 1
      canary            = 0
      min_healthy_time  = "10s"
      healthy_deadline  = "3m12s"
      progress_deadline = "4m"
      auto_revert       = true
    }

    reschedule {
      delay          = "30s"
      delay_function = "exponential"
      max_delay      = "10m"
      unlimited      = true
    }

    task "dep-4" {
      driver       = "docker"
      kill_timeout = "5s"

      config {
        image      = "acme/web:1"
        force_pull = true
        ports      = ["8080", "9090", "6000", "50051", "53"]

        labels {
          job        = "web"
          group      = "web-7"
          task       = "dep-4"
          alloc_id   = "dep-4"
          user_id    = ""
          project_id = ""
          service_id = ""
        }
      }

      template {
        destination = "secrets/dispatchd/services.env"
        env         = true
        change_mode = "restart"
        data        = <<-EOT
          {{- with service "pg-5432" }}
          {{- with index . 0 }}
          DB={{ .Address }}:{{ .Port }}
          {{- end }}
          {{- end }}
          {{- with service "redis-6379" }}
          {{- with index . 0 }}
          CACHE_HOST={{ .Address }}
          {{- end }}
          {{- end }}
          {{- with service "nats-4222" }}
          {{- with index . 0 }}
          QUEUE={{ .Port }}
          {{- end }}
          {{- end }}
        EOT
      }

      resources {
        cpu    = 100
        memory = 300
      }
    }
  }
}
