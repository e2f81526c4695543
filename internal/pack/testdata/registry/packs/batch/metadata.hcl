app {
  url = "https://batch.test"
}

pack {
  name    = "batch"
  version = "1.0.0"
}

dependency "webapp" {
  source = "git::https://packs.test/webapp.git"
}
