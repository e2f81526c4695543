job_name  = "train"
alloc_id  = "dep-6"
image     = "acme/train:1"
node_pool = "gpus"
regions   = ""
gpu_type  = "a100"
resources = { cpu = 4000, memory = 16384, memory_max = 32768, gpu = 2 }
