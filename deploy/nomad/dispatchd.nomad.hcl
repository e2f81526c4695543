# dispatchd run as a service job: the workers that take tasks from the queue.
# docs/operations.md goes through it step by step.
#
# 1. Put the settings where only this job can read them. Every item becomes an
#    environment variable; `dispatchd config` lists the names.
#
#      nomad var put nomad/jobs/dispatchd \
#        NATS_SERVERS=nats://nats.example:4222 NATS_CLIENT_PRIVATE_KEY=SU… \
#        NOMAD_ADDR=http://nomad.example:4646 NOMAD_TOKEN=… \
#        DISPATCHD_REGISTRY=registry.example/apps REGISTRY_USERNAME=… REGISTRY_PASSWORD=…
#
# 2. Register the job, with an image or with a program on the clients:
#
#      nomad job run -var image=registry.example/dispatchd:1.0.0 dispatchd.nomad.hcl
#      nomad job run -var driver=raw_exec -var program=/usr/local/bin/dispatchd dispatchd.nomad.hcl

variable "job_name" {
  type        = string
  default     = "dispatchd"
  description = "The job's name; with another one, name the settings' path like it."
}

variable "settings" {
  type        = string
  default     = "nomad/jobs/dispatchd"
  description = "Path of the Nomad variable with the settings. A job may read nomad/jobs/<its name> without a policy."
}

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

variable "driver" {
  type        = string
  default     = "docker"
  description = "docker runs the image; raw_exec and exec run the program, which needs git beside it."
}

variable "image" {
  type        = string
  default     = "dispatchd:latest"
  description = "Image for the docker driver; pin it by version or digest."
}

variable "program" {
  type        = string
  default     = "/usr/local/bin/dispatchd"
  description = "Path of dispatchd on the clients for raw_exec and exec."
}

variable "network_mode" {
  type        = string
  default     = "bridge"
  description = "Docker's network; host where NATS, Nomad or BuildKit listen on the client's loopback."
}

variable "volumes" {
  type        = list(string)
  default     = ["/run/buildkit:/run/buildkit"]
  description = "Docker's mounts. buildkitd.nomad.hcl puts its socket there; [] where BUILDKIT_HOST is tcp."
}

variable "groups" {
  type        = list(string)
  default     = []
  description = "More groups of dispatchd's user in the container, such as that of a socket."
}

variable "count" {
  type        = number
  default     = 2
  description = "How many workers; the autoscaler starts from here."
}

variable "slots" {
  type        = number
  default     = 4
  description = "Tasks at a time in one worker."
}

variable "drain" {
  type        = string
  default     = "25s"
  description = "How long running tasks may go on after SIGTERM."
}

variable "kill_timeout" {
  type        = string
  default     = "30s"
  description = "5s more than the drain at least. Clients cut it down to their max_kill_timeout, which is 30s unless it is set."
}

variable "canary" {
  type        = number
  default     = 1
  description = "How many new workers must be healthy beside the old ones before the rest follows."
}

variable "min_healthy_time" {
  type    = string
  default = "10s"
}

variable "autoscale" {
  type        = bool
  default     = false
  description = "Let Nomad Autoscaler change the count."
}

variable "max_count" {
  type    = number
  default = 10
}

variable "extra" {
  type        = map(string)
  default     = {}
  description = "More settings that are no secrets; they win over none of the settings above."
}

variable "cpu" {
  type        = number
  default     = 500
  description = "MHz. Builds run in BuildKit, not here."
}

variable "memory" {
  type        = number
  default     = 512
  description = "MiB: about 128 for the worker and 96 for each slot, since git runs here."
}

variable "disk" {
  type        = number
  default     = 10240
  description = "MiB for clones: slots × DISPATCHD_GIT_MAX_BYTES, and some room."
}

job "dispatchd" {
  id          = var.job_name
  name        = var.job_name
  type        = "service"
  datacenters = var.datacenters

  # Two workers on one client fall together.
  spread {
    attribute = "${node.unique.id}"
  }

  # A canary first, then one worker after the other. Where new ones do not become
  # healthy, the last version that did comes back by itself.
  update {
    canary            = var.canary
    auto_promote      = var.canary > 0
    auto_revert       = true
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = var.min_healthy_time
    healthy_deadline  = "2m"
    progress_deadline = "10m"
  }

  group "dispatchd" {
    count = var.count

    # Demand is what waits and what runs; scaling by what waits alone would take
    # workers away while all of them are busy. Nomad cannot be told which worker
    # to stop: the drain hands back what does not end in time.
    scaling {
      enabled = var.autoscale
      min     = var.count
      max     = var.max_count
      policy {
        cooldown            = "2m"
        evaluation_interval = "15s"
        on_check_error      = "fail"
        check "demand" {
          source       = "prometheus"
          query_window = "1m"
          query        = "ceil((max(dispatchd_queue_pending{state=\"runnable\"}) + sum(dispatchd_worker_slots_busy)) / ${var.slots})"
          strategy "pass-through" {}
        }
      }
    }

    restart {
      attempts = 3
      interval = "5m"
      delay    = "10s"
      mode     = "fail"
    }

    # A worker without its settings or without NATS tries again for ever.
    reschedule {
      delay          = "15s"
      delay_function = "exponential"
      max_delay      = "5m"
      unlimited      = true
    }

    ephemeral_disk {
      size = var.disk
    }

    # The same number inside and outside, so that it is right in every network.
    network {
      port "http" {
        to = -1
      }
    }

    service {
      provider = "nomad"
      name     = var.job_name
      port     = "http"
      tags     = ["metrics"]

      # Alive: the process answers. This decides about deployments and restarts.
      check {
        name     = "alive"
        type     = "http"
        path     = "/healthz"
        interval = "10s"
        timeout  = "2s"
        check_restart {
          limit = 6
          grace = "30s"
        }
      }

      # Ready: every dependency answers. A worker that is not ready still works
      # and waits, so this is for people and alerts and stops nothing.
      check {
        name      = "ready"
        type      = "http"
        path      = "/readyz"
        interval  = "15s"
        timeout   = "5s"
        on_update = "ignore"
      }
    }

    task "dispatchd" {
      driver       = var.driver
      kill_signal  = "SIGTERM"
      kill_timeout = var.kill_timeout

      # Each driver is given its own options only.
      dynamic "config" {
        for_each = var.driver == "docker" ? [var.image] : []
        content {
          image           = config.value
          args            = ["run"]
          network_mode    = var.network_mode
          ports           = ["http"]
          volumes         = var.volumes
          group_add       = var.groups
          readonly_rootfs = true
          cap_drop        = ["all"]
          security_opt    = ["no-new-privileges"]
        }
      }

      dynamic "config" {
        for_each = var.driver == "docker" ? [] : [var.program]
        content {
          command = config.value
          args    = ["run"]
        }
      }

      # Docker publishes the port on the client's address alone; without it, the
      # worker must not listen on others.
      env = merge(var.extra, {
        DISPATCHD_HTTP_ADDR     = var.driver == "docker" && var.network_mode != "host" ? ":${NOMAD_PORT_http}" : "${NOMAD_ADDR_http}"
        DISPATCHD_SLOTS         = "${var.slots}"
        DISPATCHD_DRAIN_TIMEOUT = var.drain
        DISPATCHD_WORK_DIR      = "${NOMAD_TASK_DIR}/work"
        DISPATCHD_WORKER_ID     = "${NOMAD_ALLOC_ID}"
        HOME                    = "${NOMAD_TASK_DIR}"
        TMPDIR                  = "${NOMAD_ALLOC_DIR}/tmp"
      })

      # A change of the settings restarts the workers, not all of them at once.
      template {
        destination = "${NOMAD_SECRETS_DIR}/settings.env"
        env         = true
        change_mode = "restart"
        splay       = "1m"
        data        = <<-EOT
          {{- if nomadVarExists "${var.settings}" }}
          {{- with nomadVar "${var.settings}" }}
          {{- range .Tuples }}
          {{ .K }}={{ .V | toJSON }}
          {{- end }}
          {{- end }}
          {{- end }}
        EOT
      }

      # The same from Vault, in place of the template above (from Nomad 1.7 on the
      # role of the workload identity says what may be read, before it policies):
      #
      # vault {
      #   role = "dispatchd"
      # }
      # template {
      #   destination = "${NOMAD_SECRETS_DIR}/settings.env"
      #   env         = true
      #   change_mode = "restart"
      #   splay       = "1m"
      #   data        = <<-EOT
      #     {{- with secret "secret/data/dispatchd" }}
      #     {{- range $k, $v := .Data.data }}
      #     {{ $k }}={{ $v | toJSON }}
      #     {{- end }}
      #     {{- end }}
      #   EOT
      # }

      resources {
        cpu    = var.cpu
        memory = var.memory
      }

      logs {
        max_files     = 5
        max_file_size = 20
      }
    }
  }
}
