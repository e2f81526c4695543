# What is deployed.

variable "job_name" {
  description = "The job's id and name"
  type        = string
}

variable "alloc_id" {
  description = "The deployment's id: the task's name and a label"
  type        = string
}

variable "image" {
  description = "The image, with its tag or digest"
  type        = string
}

variable "force_pull" {
  description = "Pull the image even where the client has it: its tag may have moved"
  type        = bool
  default     = false
}

variable "count" {
  description = "How many allocations run"
  type        = number
  default     = 1
}

variable "job_config" {
  description = "The job's type; cron makes it periodic, meta_required makes it parameterized with that payload (optional, required or forbidden)"
  type = object({
    type             = optional(string, "service")
    cron             = optional(string, "")
    prohibit_overlap = optional(bool, true)
    payload          = optional(string, "")
    meta_required    = optional(list(string), [])
  })
  default = {}
}

# Whose it is: labels of the container.

variable "user_id" {
  description = "The owner's id, a label"
  type        = string
  default     = ""
}

variable "project_id" {
  description = "The project's id: a label, the Vault policy or role, and where its secrets lie"
  type        = string
  default     = ""
}

variable "service_id" {
  description = "The service's id: a label, and the name of its secret in Vault"
  type        = string
  default     = ""
}

# Where it runs.

variable "node_pool" {
  description = "The node pool; empty is Nomad's default"
  type        = string
  default     = ""
}

variable "regions" {
  description = "The node's class holds one of these, separated by commas; not asked with a gpu"
  type        = string
  default     = ""
}

variable "gpu_type" {
  description = "The node's class holds this with a gpu"
  type        = string
  default     = ""
}

variable "resources" {
  description = "MHz of cpu, MiB of memory, MiB of memory where the node oversubscribes, number of gpus"
  type = object({
    cpu        = optional(number, 100)
    memory     = optional(number, 300)
    memory_max = optional(number, 0)
    gpu        = optional(number, 0)
  })
  default = {}
}

# How it runs.

variable "user" {
  description = "The user inside the container"
  type        = string
  default     = ""
}

variable "command" {
  description = "The command; empty is the image's, and so is one beside args without an entrypoint: there the shell's line names it"
  type        = string
  default     = ""
}

variable "args" {
  description = "Arguments; without an entrypoint one line for /bin/sh -c, the command in it"
  type        = list(string)
  default     = []
}

variable "entrypoint" {
  description = "The entrypoint; empty is the image's"
  type        = list(string)
  default     = []
}

variable "config_files" {
  description = "Files that the app finds at /<path>; content is base64"
  type = list(object({
    path    = string
    content = string
  }))
  default = []
}

variable "use_csi_volume" {
  description = "Mount the volume volume_name"
  type        = bool
  default     = false
}

variable "volume_name" {
  description = "The CSI volume's id without its index: one volume for each allocation"
  type        = string
  default     = ""
}

variable "volume_mount_destination" {
  description = "Where the volume is mounted in the container"
  type        = list(string)
  default     = []
}

# What becomes of it when it crashes or is replaced.

variable "restart_attempts" {
  description = "Restarts in place before an allocation has failed"
  type        = number
  default     = 3
}

variable "restart_mode" {
  description = "fail, or delay: wait and begin again instead of failing"
  type        = string
  default     = "fail"
}

variable "update" {
  description = "How a new version takes over; a progress_deadline of 0s fails the deployment with its first unhealthy allocation"
  type = object({
    min_healthy_time  = optional(string, "10s")
    healthy_deadline  = optional(string, "")
    progress_deadline = optional(string, "0s")
    auto_revert       = optional(bool, true)
    auto_promote      = optional(bool, true)
    max_parallel      = optional(number, 1)
    canary            = optional(number, 1)
  })
  default = {}
}

# How it is reached.

variable "network" {
  description = "The ports; each is a service"
  type = list(object({
    name             = optional(string, "")
    port             = number
    type             = optional(string, "tcp")
    public           = optional(bool, false)
    domain           = optional(string, "")
    custom_domain    = optional(string, "")
    has_health_check = optional(string, "")
    health_check = optional(object({
      type     = optional(string, "tcp")
      interval = optional(string, "30s")
      path     = optional(string, "/")
      timeout  = optional(string, "30s")
      port     = optional(number, 0)
    }), {})
  }))
  default = []
}

variable "cluster_domain" {
  description = "The domain below which public ports have theirs"
  type        = string
  default     = ""
}

variable "consul_service_name" {
  description = "The group's name and the beginning of its services' names; the job's name where empty"
  type        = string
  default     = ""
}

variable "service_provider" {
  description = "With whom services are registered: nomad or consul"
  type        = string
  default     = "nomad"
}

variable "consul_linked_services" {
  description = "Services whose address:port the app finds in the variable key; a key or value that ends in _HOST or _PORT gives one of the two"
  type = list(object({
    key   = string
    value = string
  }))
  default = []
}

# What it gets from Vault.

variable "uses_kv_engine" {
  description = "The service has a secret at kv/data/<project_id>/<service_id>"
  type        = bool
  default     = false
}

variable "owner_uses_kv_engine" {
  description = "The owner has secrets in kv; told for packs that look for them elsewhere"
  type        = bool
  default     = false
}

variable "secret_path" {
  description = "The service's secret where it is another: a path in kv, or a name in the project's"
  type        = string
  default     = ""
}

variable "shared_secret_path" {
  description = "A second secret, shared by several services"
  type        = string
  default     = ""
}

variable "vault_linked_secrets" {
  description = "Further secrets, their names with a prefix"
  type = list(object({
    prefix      = optional(string, "")
    secret_path = string
  }))
  default = []
}

variable "template" {
  description = "Variables made of a pattern: {{ $NAME }} is a linked variable of the secret, {{ .Address }} and {{ .Port }} are the service's"
  type = list(object({
    name                = string
    pattern             = string
    service_name        = optional(string, "")
    service_secret_path = optional(string, "")
    linked_vars         = optional(list(string), [])
  }))
  default = []
}

variable "use_tls" {
  description = "Get the certificates of tls"
  type        = bool
  default     = false
}

variable "tls" {
  description = "Certificates and keys of Vault's PKI, and the paths at which the app finds them"
  type = list(object({
    cert_path   = string
    key_path    = string
    common_name = string
    pka_path    = string
    ttl         = optional(string, "")
  }))
  default = []
}

variable "private_registry" {
  description = "Where the registry's credentials lie in kv; empty is none"
  type        = string
  default     = ""
}

variable "private_registry_provider" {
  description = "The name of the credentials below private_registry"
  type        = string
  default     = ""
}

variable "vault_by_role" {
  description = "Nomad gives access to Vault by role (1.7 and newer), not by policies"
  type        = bool
  default     = false
}
