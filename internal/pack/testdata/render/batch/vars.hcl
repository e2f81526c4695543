job_name         = "nightly"
alloc_id         = "dep-2"
image            = "acme/report:3"
restart_attempts = 0
restart_mode     = "fail"
job_config = {
  type             = "batch"
  cron             = "30 4 * * *"
  prohibit_overlap = true
  payload          = ""
  meta_required    = []
}
args = ["report --all"]
