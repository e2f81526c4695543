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
service_id           = "svc-1"
uses_kv_engine       = false
owner_uses_kv_engine = false
regions              = ""
user                 = "0"
image                = "nginx@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
config_files         = []
template             = []
network = [
  {
    name             = "80"
    port             = 80
    type             = "http"
    public           = false
    domain           = ""
    custom_domain    = ""
    has_health_check = "tcp"
    health_check = {
      type     = "tcp"
      interval = "30s"
      path     = "/"
      timeout  = "30s"
      port     = 80
    }
  }
]
vault_linked_secrets = []
