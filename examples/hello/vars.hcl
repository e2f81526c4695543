# The variables of the deploy pack. What does not stand here is derived from
# cloudstation.hcl and from the image; job_name and image always are.

count = 1

resources = {
  cpu    = 50
  memory = 64
}

# The image exposes 8080 too; this says how the port is checked.
network = [
  {
    port         = 8080
    type         = "http"
    health_check = { type = "http", path = "/healthz", interval = "2s", timeout = "1s" }
  }
]

update = {
  min_healthy_time = "2s"
}
