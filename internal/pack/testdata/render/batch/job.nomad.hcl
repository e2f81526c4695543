job "nightly" {
  type = "batch"

  periodic {
    cron             = "30 4 * * *"
    prohibit_overlap = true
  }

  group "nightly" {
    count = 1

    restart {
      attempts = 0
      delay    = "5s"
      interval = "300s"
      mode     = "fail"
    }

    task "dep-2" {
      driver       = "docker"
      kill_timeout = "5s"

      config {
        image      = "acme/report:3"
        entrypoint = ["/bin/sh", "-c"]
        args       = ["report --all"]

        labels {
          job        = "nightly"
          group      = "nightly"
          task       = "dep-2"
          alloc_id   = "dep-2"
          user_id    = ""
          project_id = ""
          service_id = ""
        }
      }

      resources {
        cpu    = 100
        memory = 300
      }
    }
  }
}
