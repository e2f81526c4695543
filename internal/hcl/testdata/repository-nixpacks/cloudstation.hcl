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
    use        = "nixpacks"
    name       = "web"
    tag        = "latest"
    context    = "apps/web"
    dockerfile = "Dockerfile"
    build_cmd  = "npm run build"
    start_cmd  = "npm start"
    static_build_env = {
      "NODE_ENV" = "production"
    }
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
