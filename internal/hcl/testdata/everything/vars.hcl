job_name         = "web"
count            = 3
secret_path      = "kv/app"
restart_attempts = 2
restart_mode     = "delay"
resources = {
  cpu        = 500
  memory     = 1024
  memory_max = 2048
  gpu        = 0
}
node_pool                 = "minions"
user_id                   = "own-1"
alloc_id                  = "dep-5"
project_id                = "prj-1"
service_id                = "svc-5"
shared_secret_path        = "kv/shared"
uses_kv_engine            = true
owner_uses_kv_engine      = true
regions                   = "fr,de"
private_registry          = "prj-1"
private_registry_provider = "dockerhub"
user                      = "1000"
command                   = "/bin/serve"
image                     = "registry.test/team/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
use_csi_volume            = true
volume_name               = "vol_web"
volume_mount_destination  = ["/data", "/cache"]
config_files = [
  {
    path    = "etc/app.yaml"
    content = "YTogMQo="
  }
]
consul_service_name = "web-svc"
consul_linked_services = [
  {
    key   = "DB_HOST"
    value = "pg-5432_HOST"
  }
]
entrypoint = ["/bin/bash", "-lc"]
template = [
  {
    name                = "DATABASE_URL"
    pattern             = "pg://{{ $USER }}@{{ .Address }}"
    service_name        = "pg-5432"
    service_secret_path = "svc-pg"
    linked_vars         = ["USER"]
  }
]
cluster_domain = "apps.test"
network = [
  {
    name             = "8080"
    port             = 8080
    type             = "http"
    public           = true
    domain           = "web"
    custom_domain    = "www.acme.test"
    has_health_check = "http"
    health_check = {
      type     = "http"
      interval = "15s"
      path     = "/healthz"
      timeout  = "5s"
      port     = 8081
    }
  },
  {
    name             = "5432"
    port             = 5432
    type             = "tcp"
    public           = false
    domain           = ""
    custom_domain    = ""
    has_health_check = "tcp"
    health_check = {
      type     = "tcp"
      interval = "30s"
      path     = "/"
      timeout  = "30s"
      port     = 5432
    }
  },
  {
    name             = "9000"
    port             = 9000
    type             = "udp"
    public           = false
    domain           = ""
    custom_domain    = ""
    has_health_check = "none"
    health_check = {
      type     = "none"
      interval = "30s"
      path     = "/"
      timeout  = "30s"
      port     = 9000
    }
  }
]
use_tls = true
tls = [
  {
    cert_path   = "local/tls.pem"
    key_path    = "local/tls.key"
    common_name = "web.test"
    pka_path    = "pki/issue/web"
    ttl         = "3h"
  }
]
vault_linked_secrets = [
  {
    prefix      = "DB_"
    secret_path = "kv/db"
  }
]
update = {
  min_healthy_time  = "10s"
  healthy_deadline  = "5m"
  progress_deadline = "10m"
  auto_revert       = true
  auto_promote      = false
  max_parallel      = 1
  canary            = 0
}
job_config = {
  type             = "service"
  cron             = ""
  prohibit_overlap = false
  payload          = "optional"
  meta_required    = ["A", "B"]
}
args = ["export DSN=$DB_USER:$DB_PASS@db;export MODE=prod;exec serve"]
