job_name             = "web"
alloc_id             = "dep-5"
image                = "acme/web:1"
project_id           = "prj-1"
service_id           = "svc-1"
uses_kv_engine       = true
shared_secret_path   = "shared"
vault_linked_secrets = [{ prefix = "DB_", secret_path = "svc-db" }]
template = [
  {
    name                = "DATABASE_URL"
    pattern             = "postgres://{{ $USER }}:$${PASSWORD}@{{ .Address }}:{{ .Port }}/{{ $nobody }}?x={{ key \"a\" }}"
    service_name        = "pg-5432"
    service_secret_path = "svc-pg"
    linked_vars         = ["USER", "PASSWORD"]
  },
  {
    name    = "PLAIN"
    pattern = "no placeholder"
  },
]
