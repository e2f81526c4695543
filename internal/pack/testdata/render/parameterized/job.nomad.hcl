job "convert" {
  type = "batch"

  parameterized {
    payload       = "required"
    meta_required = ["SOURCE", "TARGET"]
  }

  group "convert" {
    count = 1

    restart {
      attempts = 3
      delay    = "5s"
      interval = "300s"
      mode     = "fail"
    }

    task "dep-3" {
      driver       = "docker"
      kill_timeout = "5s"

      config {
        image   = "acme/convert:1"
        command = "/bin/convert"

        labels {
          job        = "convert"
          group      = "convert"
          task       = "dep-3"
          alloc_id   = "dep-3"
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
