app {
  url = "https://github.com/dispatchd/dispatchd"
}

pack {
  name        = "cloudstation"
  description = "One app in a container: ports, services, secrets, files and a rolling update"
  version     = "1.0.0"
}
