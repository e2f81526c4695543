# How the app is built, pushed and deployed. `dispatchd up` does all three,
# `dispatchd validate` checks this file. Secrets come from the environment.

project = "hello"

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

app "hello" {
  build {
    use        = "csdocker"
    name       = "hello"
    tag        = "latest"
    context    = "."
    dockerfile = "Dockerfile"
  }
  registry {
    use      = "docker"
    image    = "127.0.0.1:5000/hello"
    tag      = "latest"
    username = var.registry_username
    password = var.registry_password
  }
  deploy {
    use             = "nomad-pack"
    deployment_name = "hello"
    pack            = "cloudstation"
    use_embedded    = true
    nomad_token     = var.nomad_token
    variable_files  = ["vars.hcl"]
  }
}
