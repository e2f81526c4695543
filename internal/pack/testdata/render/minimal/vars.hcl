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
user_id              = "7"
alloc_id             = "dep-1"
project_id           = "prj-1"
service_id           = "svc-1"
uses_kv_engine       = false
owner_uses_kv_engine = false
regions              = ""
user                 = "0"
image                = "nginx:1.27"
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
}]
vault_linked_secrets = []
