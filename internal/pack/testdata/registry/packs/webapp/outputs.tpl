[[ var "job_name" . ]] is deployed. [[ env "HOME" ]]
