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
consul_linked_services = [
  {
    key   = "DB"
    value = "pg-5432"
  }
]
template             = []
network              = []
vault_linked_secrets = []

# job
job "web" {
  type = "service"

  group "web" {
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

    task "dep-1" {
      driver       = "docker"
      user         = "0"
      kill_timeout = "5s"

      config {
        image = "registry.example/acme/web:1"

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

      template {
        destination = "secrets/dispatchd/services.env"
        env         = true
        change_mode = "restart"
        data        = <<-EOT
          {{- with nomadService "pg-5432" }}
          {{- with index . 0 }}
          DB={{ .Address }}:{{ .Port }}
          {{- end }}
          {{- end }}
        EOT
      }

      resources {
        cpu        = 100
        memory     = 300
        memory_max = 600
      }
    }
  }
}
