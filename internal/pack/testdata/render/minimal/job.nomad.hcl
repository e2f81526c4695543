job "web" {
  type = "service"

  group "web" {
    count = 1

    network {
      port "8080" {
        to = 8080
      }
    }

    service {
      name        = "web-8080"
      port        = "8080"
      provider    = "nomad"
      tags        = ["blue"]
      canary_tags = ["green"]

      check {
        type     = "http"
        path     = "/"
        port     = "8080"
        interval = "30s"
        timeout  = "30s"
      }
    }

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

    task "dep-1" {
      driver       = "docker"
      user         = "0"
      kill_timeout = "5s"

      config {
        image = "nginx:1.27"
        ports = ["8080"]

        labels {
          job        = "web"
          group      = "web"
          task       = "dep-1"
          alloc_id   = "dep-1"
          user_id    = "7"
          project_id = "prj-1"
          service_id = "svc-1"
        }
      }

      resources {
        cpu        = 100
        memory     = 300
        memory_max = 600
      }
    }
  }
}
