# buildkitd, one on each client that runs dispatchd: builds are root's work, so
# the workers reach it over a socket on their own client and nobody over the
# network.
#
#   nomad job run -var image=moby/buildkit:v0.34.2 buildkitd.nomad.hcl
#   nomad job run -var driver=raw_exec -var program=/usr/local/bin/buildkitd buildkitd.nomad.hcl
#
# The docker driver needs allow_privileged on the clients. A cache belongs to the
# client that it is on; a registry cache is what clients share.

variable "job_name" {
  type    = string
  default = "buildkitd"
}

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

variable "driver" {
  type        = string
  default     = "docker"
  description = "docker runs the image, privileged; raw_exec runs the program, with runc beside it."
}

variable "image" {
  type        = string
  default     = "moby/buildkit:v0.34.2"
  description = "0.31.2 is the oldest without known holes."
}

variable "program" {
  type    = string
  default = "/usr/local/bin/buildkitd"
}

variable "socket_dir" {
  type        = string
  default     = "/run/buildkit"
  description = "Directory on the client for the socket; dispatchd mounts it."
}

variable "cache_dir" {
  type        = string
  default     = "/var/lib/dispatchd-buildkit"
  description = "Directory on the client for the cache; a file system of its own is best."
}

variable "socket_group" {
  type        = number
  default     = 65532
  description = "Group that may use the socket: that of dispatchd's image. Who may use it is as good as root."
}

variable "max_used_space" {
  type        = string
  default     = "40GB"
  description = "The cache never stays larger."
}

variable "min_free_space" {
  type        = string
  default     = "10GB"
  description = "So much of the file system stays free, whoever uses the rest."
}

variable "max_parallelism" {
  type        = number
  default     = 4
  description = "Build steps at a time."
}

variable "frontends" {
  type        = list(string)
  default     = ["docker/dockerfile", "ghcr.io/railwayapp/railpack-frontend"]
  description = "Images that a build may name as its frontend (# syntax=…); any other is refused."
}

variable "insecure_registries" {
  type        = list(string)
  default     = []
  description = "Registries that are spoken to over plain http."
}

variable "network_mode" {
  type        = string
  default     = "bridge"
  description = "Docker's network for buildkitd and, with it, for build steps; host lets a Dockerfile reach the client's loopback."
}

variable "cpu" {
  type    = number
  default = 2000
}

variable "memory" {
  type        = number
  default     = 4096
  description = "MiB for buildkitd and every build step on the client."
}

locals {
  # In the container the directories have the image's usual names.
  socket = var.driver == "docker" ? "/run/buildkit/buildkitd.sock" : "${var.socket_dir}/buildkitd.sock"
  root   = var.driver == "docker" ? "/var/lib/buildkit" : var.cache_dir
  config = var.driver == "docker" ? "/local/buildkitd.toml" : "local/buildkitd.toml"
}

job "buildkitd" {
  id          = var.job_name
  name        = var.job_name
  type        = "system"
  datacenters = var.datacenters

  update {
    max_parallel     = 1
    min_healthy_time = "5s"
  }

  group "buildkitd" {
    restart {
      attempts = 5
      interval = "5m"
      delay    = "10s"
      mode     = "delay"
    }

    task "buildkitd" {
      driver = var.driver

      # buildkitd waits for running builds without end; dispatchd repeats a build
      # whose buildkitd has gone.
      kill_timeout = "30s"

      dynamic "config" {
        for_each = var.driver == "docker" ? [var.image] : []
        content {
          image        = config.value
          args         = ["--config", local.config]
          privileged   = true
          network_mode = var.network_mode
          volumes      = ["${var.socket_dir}:/run/buildkit", "${var.cache_dir}:/var/lib/buildkit"]
        }
      }

      dynamic "config" {
        for_each = var.driver == "docker" ? [] : [var.program]
        content {
          command = config.value
          args    = ["--config", local.config]
        }
      }

      # Else a step's log is cut at 2 MiB and 200 KiB/s; dispatchd has limits of
      # its own.
      env {
        BUILDKIT_STEP_LOG_MAX_SIZE  = "-1"
        BUILDKIT_STEP_LOG_MAX_SPEED = "-1"
      }

      template {
        destination = "local/buildkitd.toml"
        change_mode = "restart"
        data        = <<-EOT
          root = "${local.root}"

          # No build gets more than a container has.
          insecure-entitlements = []

          [grpc]
            address = ["unix://${local.socket}"]
            uid = 0
            gid = ${var.socket_group}

          [otel]
            socketPath = "${trimsuffix(local.socket, "buildkitd.sock")}otel-grpc.sock"

          [worker.oci]
            enabled = true
            snapshotter = "overlayfs"
            # Build steps are in the network of buildkitd: of its container under
            # docker, of the client under raw_exec.
            networkMode = "host"
            max-parallelism = ${var.max_parallelism}
            gc = true

            # Two rules, tried in turn: what can be had again goes after two days,
            # then the oldest of everything. Both limits are caps; reservedSpace,
            # once keepBytes, would be a floor.
            [[worker.oci.gcpolicy]]
              filters = ["type==source.local", "type==exec.cachemount", "type==source.git.checkout"]
              keepDuration = "48h"
              maxUsedSpace = "${var.max_used_space}"
              minFreeSpace = "${var.min_free_space}"
            [[worker.oci.gcpolicy]]
              all = true
              maxUsedSpace = "${var.max_used_space}"
              minFreeSpace = "${var.min_free_space}"

          [worker.containerd]
            enabled = false

          [frontend."dockerfile.v0"]
            enabled = true

          [frontend."gateway.v0"]
            enabled = true
            allowedRepositories = ${jsonencode(var.frontends)}

          [history]
            maxAge = "24h"
            maxEntries = 50

          %{ for registry in var.insecure_registries ~}
          [registry."${registry}"]
            http = true
          %{ endfor ~}
        EOT
      }

      resources {
        cpu    = var.cpu
        memory = var.memory
      }

      logs {
        max_files     = 3
        max_file_size = 20
      }
    }
  }
}
