job "web" {
  datacenters = ["*"]
  type        = "service"

  constraint {
    attribute = "${attr.kernel.name}"
    operator  = "="
    value     = "linux"
  }

  group "app" {
    count = 1

    update {
      min_healthy_time  = "1s"
      healthy_deadline  = "1m"
      progress_deadline = "0"
    }
    network {
      port "p8000" {
        to = 8000
      }
    }
    service {
      provider = "nomad"
      name     = "web-8000"
      port     = "p8000"
      check {
        type     = "http"
        path     = "/"
        interval = "30s"
        timeout  = "30s"
      }
    }

    task "app" {
      driver = "docker"

      config {
        image = "registry.test/web@sha256:0000000000000000000000000000000000000000000000000000000000000000"
        ports = ["p8000"]
      }

      env {
        GREETING = "hello"
        NODE     = "${node.unique.name}"
        ALLOC    = "${NOMAD_ALLOC_ID} of webapp 0.3.1"
      }

      template {
        data        = <<-EOH
        plain ${NOT_HCL} and {{ env "NOMAD_TASK_NAME" }}
        EOH
        destination = "local/note"
      }

      resources {
        cpu    = 100
        memory = 300
      }
    }
  }
}
