variable "job_name" {
  description = "Name of the job; the pack's where empty"
  type        = string
  default     = ""
}

variable "datacenters" {
  description = "Where it may run"
  type        = list(string)
  default     = ["*"]
}

variable "image" {
  type = string
}

variable "count" {
  type    = number
  default = 1
}

variable "resources" {
  description = "Of the attributes that a task gives, this pack needs two"
  type = object({
    cpu    = number
    memory = number
  })
  default = {
    cpu    = 100
    memory = 64
  }
}

variable "network" {
  type = list(object({
    name = string
    port = number
    type = string
  }))
  default = []
}

variable "constraints" {
  type = list(object({
    attribute = string
    operator  = string
    value     = string
  }))
  default = [{ attribute = "$${attr.kernel.name}", operator = "=", value = "linux" }]
}

variable "env" {
  type    = map(string)
  default = { GREETING = "hello" }
}

# What the platform gives and this pack does not use.
variable "alloc_id" { default = "" }
variable "user_id" { default = "" }
variable "project_id" { default = "" }
variable "service_id" { default = "" }
variable "restart_attempts" { default = 3 }
variable "restart_mode" { default = "fail" }
variable "uses_kv_engine" { default = false }
variable "owner_uses_kv_engine" { default = false }
variable "regions" { default = "" }
variable "user" { default = "" }
variable "config_files" { default = [] }
variable "template" { default = [] }
variable "vault_linked_secrets" { default = [] }
variable "update" {
  default = { min_healthy_time = "1s", healthy_deadline = "1m" }
}
