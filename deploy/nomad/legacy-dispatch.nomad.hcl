# dispatchd run-once as a parameterized job: one dispatch is one task. For
# backends that dispatch a Nomad job for each deployment; the ones that publish
# to the work queue need `dispatchd run` instead. Both may work side by side.
#
# 1. Put the settings where only this job can read them. Every item becomes an
#    environment variable; `dispatchd config` lists the names.
#
#      nomad var put nomad/jobs/dispatchd \
#        NATS_SERVERS=nats://nats.example:4222 NATS_CLIENT_PRIVATE_KEY=SU… \
#        NOMAD_ADDR=http://nomad.example:4646 NOMAD_TOKEN=… \
#        BUILDKIT_HOST=tcp://buildkit.example:1234 \
#        DISPATCHD_REGISTRY=registry.example/apps REGISTRY_USERNAME=… REGISTRY_PASSWORD=…
#
# 2. Register the job, with an image or with a program on the clients:
#
#      nomad job run -var image=registry.example/dispatchd:1.0.0 legacy-dispatch.nomad.hcl
#      nomad job run -var driver=raw_exec -var program=/usr/local/bin/dispatchd legacy-dispatch.nomad.hcl
#
# 3. Dispatch a task. PARAMS is JSON, or base64 of JSON as most callers send it:
#
#      nomad job dispatch -meta TASK=deploy-image -meta PARAMS="$(base64 -w0 params.json)" dispatchd
#
# The allocation's exit code is 0 when the task has succeeded and 1 when it has
# not. The params hold tokens, and Nomad shows the meta of a dispatched job to
# everybody who may read jobs in its namespace: keep that circle small.

variable "job_name" {
  type        = string
  default     = "dispatchd"
  description = "The job that callers dispatch; with another name, name the settings' path like it."
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
  default     = []
  description = "Docker's mounts; [\"/run/buildkit:/run/buildkit\"] where BUILDKIT_HOST is the client's socket."
}

variable "groups" {
  type        = list(string)
  default     = []
  description = "More groups of dispatchd's user in the container, such as that of buildkitd's socket."
}

variable "restarts" {
  type        = number
  default     = 1
  description = "How often a run-once that has failed is started again; 0 for NATS credentials without dispatchd's streams."
}

variable "cpu" {
  type        = number
  default     = 200
  description = "MHz. Builds run in BuildKit, not here."
}

variable "memory" {
  type        = number
  default     = 256
  description = "MiB."
}

variable "disk" {
  type        = number
  default     = 2048
  description = "MiB for the clone; DISPATCHD_GIT_MAX_BYTES is its limit in dispatchd."
}

job "dispatchd" {
  id          = var.job_name
  name        = var.job_name
  type        = "batch"
  datacenters = var.datacenters

  parameterized {
    payload       = "forbidden"
    # Nomad compares the keys of a dispatch letter by letter, and callers write
    # them both ways; run-once itself says which one is missing.
    meta_optional = ["TASK", "PARAMS", "task", "params"]
  }

  group "dispatchd" {
    # A restarted allocation is the same request: the dispatched job's name is
    # the task's id. A run-once that was killed is finished by the restart; one
    # whose task has failed only answers with the recorded outcome again.
    # Without the records (restarts = 0 is for that) it would deploy twice.
    restart {
      attempts = var.restarts
      interval = "30m"
      delay    = "5s"
      mode     = "fail"
    }

    # A failed deployment is an answer, not a reason to try on another node.
    reschedule {
      attempts  = 0
      unlimited = false
    }

    ephemeral_disk {
      size = var.disk
    }

    task "run-once" {
      driver = var.driver

      # On SIGTERM the task fails as cancelled, and the backend is told. Nomad's
      # clients allow 30s at most unless max_kill_timeout says more.
      kill_signal  = "SIGTERM"
      kill_timeout = "30s"

      # Each driver is given its own options only.
      dynamic "config" {
        for_each = var.driver == "docker" ? [var.image] : []
        content {
          image           = config.value
          args            = ["run-once"]
          network_mode    = var.network_mode
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
          args    = ["run-once"]
        }
      }

      # NOMAD_META_TASK, NOMAD_META_PARAMS and NOMAD_JOB_ID come from Nomad.
      env {
        DISPATCHD_WORK_DIR = "${NOMAD_TASK_DIR}/work"
      }

      # A change of the settings is for the next dispatch. Where there are none,
      # dispatchd starts all the same and says what it lacks.
      template {
        destination = "${NOMAD_SECRETS_DIR}/settings.env"
        env         = true
        change_mode = "noop"
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

      resources {
        cpu    = var.cpu
        memory = var.memory
      }

      logs {
        max_files     = 2
        max_file_size = 10
      }
    }
  }
}
