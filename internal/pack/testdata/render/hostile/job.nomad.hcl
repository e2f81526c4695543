job "web \" } job \"x\" { \n $${env(\"HOME\")} %%{ if true } [[ env \"HOME\" ]] {{ key \"x\" }} EOT" {
  type = "service"

  group "web \" } job \"x\" { \n $${env(\"HOME\")} %%{ if true } [[ env \"HOME\" ]] {{ key \"x\" }} EOT" {
    count = 1

    restart {
      attempts = 3
      delay    = "5s"
      interval = "300s"
      mode     = "fail"
    }

    update {
      max_parallel      = 1
      canary            = 1
      min_healthy_time  = "10s"
      healthy_deadline  = "5m"
      progress_deadline = "0s"
      auto_revert       = true
      auto_promote      = true
    }

    reschedule {
      delay          = "30s"
      delay_function = "exponential"
      max_delay      = "10m"
      unlimited      = true
    }

    task "dep-7" {
      driver       = "docker"
      kill_timeout = "5s"

      config {
        image      = "acme/web:1"
        entrypoint = ["$$${meta.x}", "%%%{ for x in y }"]
        command    = "$$${NOMAD_ALLOC_ID}"
        args       = ["echo \"$$${NOMAD_TASK_NAME}\" %%%{ if } {{ env \"HOME\" }} [[ var ]]\nEOT\n"]

        labels {
          job        = "web \" } job \"x\" { \n $$${env(\"HOME\")} %%%{ if true } [[ env \"HOME\" ]] {{ key \"x\" }} EOT"
          group      = "web \" } job \"x\" { \n $$${env(\"HOME\")} %%%{ if true } [[ env \"HOME\" ]] {{ key \"x\" }} EOT"
          task       = "dep-7"
          alloc_id   = "dep-7"
          user_id    = "$$${attr.unique.hostname} $$$${x} %%%{ if } \\ \" ' \t\r\n é"
          project_id = ""
          service_id = ""
        }

        mount {
          type     = "bind"
          source   = "local/dispatchd/config-0"
          target   = "/etc/$$${attr.kernel.name}/a:b.conf"
          readonly = true
        }
      }

      template {
        destination = "local/dispatchd/config-0"
        change_mode = "restart"
        data        = "{{ (base64Decode \"e3sga2V5ICJ4IiB9fSAke2F0dHIueH0K\") }}"
      }

      resources {
        cpu    = 100
        memory = 300
      }
    }
  }
}
