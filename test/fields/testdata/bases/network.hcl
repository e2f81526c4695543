# cloudstation.hcl
project = "web"

runner {
  enabled = true
}

variable "registry_username" {
  type      = string
  default   = ""
  sensitive = true
  env       = ["REGISTRY_USERNAME"]
}

variable "registry_password" {
  type      = string
  default   = ""
  sensitive = true
  env       = ["REGISTRY_PASSWORD"]
}

variable "registry_token" {
  type      = string
  default   = ""
  sensitive = true
  env       = ["REGISTRY_TOKEN"]
}

variable "nomad_token" {
  type      = string
  default   = ""
  sensitive = true
  env       = ["NOMAD_TOKEN"]
}

variable "vault_secret_id" {
  type      = string
  default   = ""
  sensitive = true
  env       = ["VAULT_SECRET_ID"]
}

app "web" {
  build {
    use        = "noop"
    name       = "registry.example/acme/web"
    tag        = "1"
    context    = "."
    dockerfile = "Dockerfile"
  }
  deploy {
    use             = "nomad-pack"
    deployment_name = "web"
    pack            = "cloudstation"
    use_embedded    = true
    nomad_token     = var.nomad_token
    variable_files  = ["vars.hcl"]
  }
}

# vars.hcl
job_name         = "web"
count            = 1
restart_attempts = 3
restart_mode     = "fail"
resources = {
  cpu        = 100
  memory     = 300
  memory_max = 600
  gpu        = 0
}
user_id              = ""
alloc_id             = "dep-1"
project_id           = ""
service_id           = "srv-1"
uses_kv_engine       = false
owner_uses_kv_engine = false
regions              = ""
user                 = "0"
image                = "registry.example/acme/web:1"
config_files         = []
template             = []
network = [
  {
    name             = "8080"
    port             = 8080
    type             = "http"
    public           = false
    domain           = ""
    custom_domain    = ""
    has_health_check = "http"
    health_check = {
      type     = "http"
      interval = "30s"
      path     = "/"
      timeout  = "30s"
      port     = 8080
    }
  }
]
vault_linked_secrets = []

# job
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
        image = "registry.example/acme/web:1"
        ports = ["8080"]

        labels {
          job        = "web"
          group      = "web"
          task       = "dep-1"
          alloc_id   = "dep-1"
          user_id    = ""
          project_id = ""
          service_id = "srv-1"
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
