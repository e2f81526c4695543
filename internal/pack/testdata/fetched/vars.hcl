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
alloc_id             = "dep-3"
project_id           = ""
service_id           = "svc-3"
uses_kv_engine       = false
owner_uses_kv_engine = false
regions              = ""
user                 = "0"
image                = "registry.test/web@sha256:0000000000000000000000000000000000000000000000000000000000000000"
config_files         = []
template             = []
network = [
  {
    name             = "8000"
    port             = 8000
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
      port     = 8000
    }
  }
]
vault_linked_secrets = []
