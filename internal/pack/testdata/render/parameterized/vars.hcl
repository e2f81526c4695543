job_name = "convert"
alloc_id = "dep-3"
image    = "acme/convert:1"
command  = "/bin/convert"
job_config = {
  type             = "batch"
  cron             = ""
  prohibit_overlap = true
  payload          = "required"
  meta_required    = ["SOURCE", "TARGET"]
}
