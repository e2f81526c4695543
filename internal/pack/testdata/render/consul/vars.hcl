job_name            = "web"
alloc_id            = "dep-4"
image               = "acme/web:1"
consul_service_name = "web-7"
cluster_domain      = "apps.test"
consul_linked_services = [
  { key = "DB", value = "pg-5432" },
  { key = "CACHE_HOST", value = "redis-6379" },
  { key = "QUEUE", value = "nats-4222_PORT" },
]
network = [
  {
    name = "8080", port = 8080, type = "http", public = true
    domain = "web", custom_domain = "www.acme.test", has_health_check = "http"
    health_check = { type = "http", interval = "10s", path = "/healthz", timeout = "2s", port = 9090 }
  },
  {
    name = "6000", port = 6000, type = "tcp", public = true
    domain = "web-tcp", custom_domain = "", has_health_check = "tcp"
    health_check = { type = "tcp", interval = "30s", path = "/", timeout = "30s", port = 6000 }
  },
  {
    name = "50051", port = 50051, type = "grpc", public = false
    domain = "", custom_domain = "", has_health_check = "grpc"
    health_check = { type = "grpc", interval = "30s", path = "/", timeout = "30s", port = 50051 }
  },
  {
    name = "53", port = 53, type = "udp", public = false
    domain = "", custom_domain = "", has_health_check = "udp"
    health_check = { type = "tcp", interval = "30s", path = "/", timeout = "30s", port = 53 }
  },
]
update = { progress_deadline = "4m", canary = 0 }
