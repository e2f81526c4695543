job_name         = "web"
count            = 2
restart_attempts = 3
restart_mode     = "fail"
resources = {
  cpu        = 100
  memory     = 300
  memory_max = 600
  gpu        = 0
}
user_id              = ""
alloc_id             = "dep-4"
project_id           = ""
service_id           = "svc-4"
uses_kv_engine       = false
owner_uses_kv_engine = false
regions              = ""
user                 = "0"
image                = "web:latest"
config_files         = []
template             = []
network = [
  {
    name             = "3000"
    port             = 3000
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
      port     = 3000
    }
  }
]
vault_linked_secrets = []
args                 = ["export DSN=$USER:$PASS@db;"]
