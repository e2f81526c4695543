[[- define "cloudstation_dispatch" -]]
[[- $job := var "job_config" . -]]
[[- if $job.cron ]]

  periodic {
    cron             = [[ hcl $job.cron ]]
    prohibit_overlap = [[ hcl $job.prohibit_overlap ]]
  }
[[- end ]]
[[- if $job.meta_required ]]

  parameterized {
[[- if $job.payload ]]
    payload       = [[ hcl $job.payload ]]
[[- end ]]
    meta_required = [[ hcl $job.meta_required ]]
  }
[[- end ]]
[[- end ]]

[[- /* A port for each network, and for a check that asks another one. */ -]]
[[- define "cloudstation_ports" -]]
[[- $ports := list -]]
[[- range var "network" . -]]
[[- if has .port $ports -]]
[[- fail (printf "the port %d is named twice" .port) -]]
[[- end -]]
[[- $ports = append $ports .port -]]
[[- end -]]
[[- range var "network" . -]]
[[- if gt .health_check.port 0 -]]
[[- $ports = append $ports .health_check.port -]]
[[- end -]]
[[- end -]]
[[- if $ports ]]

    network {
[[- range uniq $ports ]]
      port [[ toString . | hcl ]] {
        to = [[ hcl . ]]
      }
[[- end ]]
    }
[[- end ]]
[[- end ]]

[[- /* Three restarts take a crash loop about twenty seconds; an app that
  crashes less often than that is started again for ever. What a user asks for
  must fit into the interval. */ -]]
[[- define "cloudstation_restart" -]]
[[- $attempts := var "restart_attempts" . ]]

    restart {
      attempts = [[ hcl $attempts ]]
      delay    = "5s"
      interval = [[ printf "%ds" (max 300 (mul 10 $attempts)) | hcl ]]
      mode     = [[ var "restart_mode" . | hcl ]]
    }
[[- end ]]

[[- /* progress_deadline 0s: the first allocation that has used up its restarts
  or is not healthy by healthy_deadline fails the deployment. With any other
  value Nomad goes on rescheduling until that deadline. So rescheduling can stay
  unlimited, for the time after the deployment. */ -]]
[[- define "cloudstation_update" -]]
[[- $update := var "update" . -]]
[[- $canary := $update.canary -]]
[[- if and (var "use_csi_volume" .) (var "volume_name" .) -]]
[[- $canary = 0 -]]
[[- end ]]

    update {
      max_parallel      = [[ hcl $update.max_parallel ]]
      canary            = [[ hcl $canary ]]
      min_healthy_time  = [[ hclDuration "update's min_healthy_time" (coalesce $update.min_healthy_time "10s") ]]
      healthy_deadline  = [[ hclDuration "update's healthy_deadline" (coalesce $update.healthy_deadline (durationWithin "5m" $update.progress_deadline)) ]]
      progress_deadline = [[ hclDuration "update's progress_deadline" (coalesce $update.progress_deadline "0s") ]]
      auto_revert       = [[ hcl $update.auto_revert ]]
[[- if gt $canary 0 ]]
      auto_promote      = [[ hcl $update.auto_promote ]]
[[- end ]]
    }

    reschedule {
      delay          = "30s"
      delay_function = "exponential"
      max_delay      = "10m"
      unlimited      = true
    }
[[- end ]]
