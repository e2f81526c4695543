job "train" {
  type      = "service"
  node_pool = "gpus"

  constraint {
    attribute = "$${node.class}"
    operator  = "set_contains_any"
    value     = "a100"
  }

  group "train" {
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

    task "dep-6" {
      driver       = "docker"
      kill_timeout = "5s"

      config {
        image = "acme/train:1"

        labels {
          job        = "train"
          group      = "train"
          task       = "dep-6"
          alloc_id   = "dep-6"
          user_id    = ""
          project_id = ""
          service_id = ""
        }
      }

      resources {
        cpu        = 4000
        memory     = 16384
        memory_max = 32768

        device "nvidia/gpu" {
          count = 2
        }
      }
    }
  }
}
