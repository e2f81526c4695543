package tasks

// descriptions are the schema's sentences about fields whose names do not
// explain themselves, by type and JSON name.
var descriptions = map[string]string{
	"Deploy.jobId":                  "The id of the Nomad job and the name of the app.",
	"Deploy.deploymentId":           "Names the deployment's log subject: [A-Za-z0-9_-]{1,128}.",
	"Deploy.deploymentJobId":        "The number that events and build logs call jobId.",
	"Deploy.userId":                 "Passed on in events as it came.",
	"Deploy.ownerId":                "Passed on in events as it came.",
	"Deploy.imageName":              "The image's name without its tag. Repository tasks default to the jobId.",
	"Deploy.cpu":                    "In MHz.",
	"Deploy.ram":                    "In MiB.",
	"Deploy.deploy":                 "How the job reaches Nomad; noop deploys nothing.",
	"Deploy.nomadAddress":           "Wins over the worker's NOMAD_ADDR.",
	"Deploy.vaultLinkedSecretPaths": "Vault paths whose keys reach the app with a prefix.",
	"Deploy.repository":             "owner/name at the provider; subgroups at GitLab.",
	"Deploy.branch":                 "A branch or a tag.",
	"Deploy.gitPass":                "The provider's token; without one the clone is anonymous.",
	"Deploy.sourceUrl":              "The upload's address, for local_upload.",
	"Build.builder":                 "Empty: csdocker where the root has a Dockerfile, else nixpacks.",
	"Build.rootDirectory":           "Relative to the repository's root; a leading slash is dropped.",
	"PackRegistry.registryToken":    "var.NAME means the worker's environment variable NAME.",
	"Network.portNumber":            "0 leaves the entry out.",
	"Network.has_health_check":      "The check's type.",
	"HealthCheck.interval":          "A duration; a bare number is seconds.",
	"HealthCheck.timeout":           "A duration; a bare number is seconds.",
	"ConfigFile.path":               "Where the app finds the file, below /.",
	"ConfigFile.content":            "base64 with padding.",
	"Destroy.jobs":                  "Exactly one where the task comes from the queue.",
	"DestroyJob.serviceId":          "What the job.destroyed event calls id.",
}
