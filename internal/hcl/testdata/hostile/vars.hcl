job_name         = "web"
count            = 1
secret_path      = "$$${a}$$$${b}%%%{c}\\$${d}\\"
restart_attempts = 3
restart_mode     = "fail"
resources = {
  cpu        = 100
  memory     = 300
  memory_max = 600
  gpu        = 0
}
user_id              = ""
alloc_id             = "dep-6"
project_id           = "%%{ if true }x%%{ endif }"
service_id           = "svc\" }\nmalice = \"$${env(\"HOME\")}"
uses_kv_engine       = false
owner_uses_kv_engine = false
regions              = ""
user                 = "{{ key \"x\" }}"
command              = "<<EOT\n[[ fileContents \"/etc/passwd\" ]]\nEOT\n"
image                = "registry.test/web:latest"
config_files         = []
entrypoint           = ["a\u0000b", "\u202eright to left\u202c", "tab\tcr\rnl\n"]
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
args                 = ["sh -c 'echo \"$HOME\" $${PATH%%:*} # // /* */'"]
