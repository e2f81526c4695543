[[- define "job_name" -]]
[[- if eq (var "job_name" .) "" -]]
[[- meta "pack.name" . | quote -]]
[[- else -]]
[[- var "job_name" . | quote -]]
[[- end -]]
[[- end -]]

[[- define "constraints" -]]
[[- range $constraint := . ]]
  constraint {
    attribute = [[ $constraint.attribute | quote ]]
    [[- if $constraint.operator ]]
    operator  = [[ $constraint.operator | quote ]]
    [[- end ]]
    value     = [[ $constraint.value | quote ]]
  }
[[- end ]]
[[- end -]]

[[- define "resources" -]]
[[- $resources := var "resources" . ]]
      resources {
        cpu    = [[ $resources.cpu ]]
        memory = [[ $resources.memory ]]
      }
[[- end -]]
