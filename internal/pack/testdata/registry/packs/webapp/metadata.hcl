app {
  url    = "https://webapp.test"
  author = "The platform team"
}

pack {
  name        = "webapp"
  description = "A web app in one container, written as packs for nomad-pack are"
  url         = "https://packs.test/webapp"
  version     = "0.3.1"
}

integration {
  identifier = "nomad/platform/webapp"
  name       = "Web app"
}
