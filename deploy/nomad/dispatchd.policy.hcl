# What dispatchd's token must be allowed in Nomad: the least that works. A test
# takes each line away and sees what is missing then.
#
#   nomad acl policy apply dispatchd dispatchd.policy.hcl
#   nomad acl token create -name dispatchd -policy dispatchd
#
# One namespace block for each namespace that it deploys to. Keep dispatchd's own
# job in another one: who may submit jobs there may read its settings.
namespace "default" {
  capabilities = [
    "submit-job", # register, stop and roll back
    "read-job",   # plan, watch, and say why an app is not healthy
    "list-jobs",  # destroy what a periodic or parameterized job has launched
    "read-logs",  # an app's output in the build log
  ]
}

# Which version, platform and Consul the clients have.
node {
  policy = "read"
}
