variable "job_name" {}
