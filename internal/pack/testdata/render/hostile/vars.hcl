job_name   = "web \" } job \"x\" { \n $${env(\"HOME\")} %%{ if true } [[ env \"HOME\" ]] {{ key \"x\" }} EOT"
alloc_id   = "dep-7"
image      = "acme/web:1"
user_id    = "$${attr.unique.hostname} $$${x} %%{ if } \\ \" ' \t\r\n é"
command    = "$${NOMAD_ALLOC_ID}"
entrypoint = ["$${meta.x}", "%%{ for x in y }"]
args       = ["echo \"$${NOMAD_TASK_NAME}\" %%{ if } {{ env \"HOME\" }} [[ var ]]\nEOT\n"]
config_files = [
  { path = "etc/$${attr.kernel.name}/a:b.conf", content = "e3sga2V5ICJ4IiB9fSAke2F0dHIueH0K" },
]
