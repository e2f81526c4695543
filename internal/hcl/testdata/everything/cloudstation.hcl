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
    use        = "csdocker"
    name       = "web"
    tag        = "v7"
    context    = "apps/web"
    dockerfile = "docker/Dockerfile.web"
    build_cmd  = "make"
    start_cmd  = "exec serve"
    build_args = {
      "VERSION" = "7"
      "for"     = "loop"
    }
    static_build_env = {
      "NODE_ENV" = "production"
    }
    vault_address = "https://vault.test:8200"
    role_id       = "role-1"
    secret_id     = var.vault_secret_id
    secrets_path  = "kv/app"
  }
  registry {
    use      = "docker"
    image    = "registry.test/team/web"
    tag      = "v7"
    username = var.registry_username
    password = var.registry_password
  }
  deploy {
    use             = "nomad-pack"
    deployment_name = "web"
    pack            = "webapp"
    registry_name   = "platform"
    registry_source = "https://git.test/packs"
    registry_ref    = "v2"
    registry_target = "main"
    registry_token  = var.registry_token
    nomad_addr      = "https://nomad.test:4646"
    nomad_token     = var.nomad_token
    variable_files  = ["vars.hcl"]
  }
}
