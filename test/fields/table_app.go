package fields

// The events of a task carry ids as they came.
var inEvents = []string{"TestRepositoryBecomesHealthyAndTheNextCommitRollsOver"}

// identity is whose the app is and what it runs.
var identity = []Field{
	{Name: "jobId", Base: "image", Params: `{"jobId": "shop"}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "deploymentId", Base: "image", Params: `{"deploymentId": "dep-2"}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "serviceId", Base: "image", Params: `{"serviceId": "srv-2"}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "projectId", Base: "image", Params: `{"projectId": "prj-1"}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "imageName", Base: "image", Params: `{"imageName": "registry.example/acme/shop"}`, Shown: []string{"TestMovedTagIsReallyDeployed"}},
	{Name: "imageTag", Base: "image", Params: `{"imageTag": "2"}`, Shown: []string{"TestMovedTagIsReallyDeployed"}},
	{Name: "teamId", Base: "image", Params: `{"teamId": "team-7"}`, Goes: "events", Shown: inEvents},
	{Name: "userId", Base: "image", Params: `{"userId": 42}`, Goes: "events", Shown: inEvents},
	{Name: "ownerId", Base: "image", Params: `{"ownerId": "own-9"}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "deploymentJobId", Base: "image", Params: `{"deploymentJobId": 456}`, Goes: "events and build logs, as `jobId`", Shown: inEvents},
	{Name: "replicaCount", Base: "image", Params: `{"replicaCount": 3}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "cpu", Base: "image", Params: `{"cpu": 500}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "ram", Base: "image", Params: `{"ram": 1024}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "gpu", Base: "image", Params: `{"gpu": 2}`},
	{Name: "restartAttempts", Base: "image", Params: `{"restartAttempts": 5}`, Shown: []string{"TestRestartFieldsDecideHowOftenAnAppIsStarted"}},
	{Name: "deploymentCount", Base: "image", Params: `{"deploymentCount": 4}`, Goes: "nowhere: read and checked"},
}

// placement is where the app runs and as what.
var placement = []Field{
	{Name: "deploy", Base: "image", Params: `{"deploy": "noop"}`, Shown: []string{"TestParamsInEveryWrapping"}},
	{Name: "nomadAddress", Base: "image", Params: `{"nomadAddress": "https://nomad.example:4646"}`, Shown: []string{"TestATaskBringsItsOwnNomad"}},
	{
		Name: "nomadToken", Base: "image", Params: `{"nomadToken": "6e2f1c30-0000-4000-8000-000000000000"}`,
		Goes: "the requests to Nomad", Shown: []string{"TestATaskBringsItsOwnNomad", "TestPlantedSecretsAreFoundNowhere"},
	},
	{Name: "node_pool", Base: "image", Params: `{"node_pool": "all"}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "gpu_model", Base: "gpu", Params: `{"gpu_model": "L4"}`},
	{Name: "restartMode", Base: "image", Params: `{"restartMode": "never"}`, Shown: []string{"TestRestartFieldsDecideHowOftenAnAppIsStarted"}},
	{Name: "command", Base: "image", Params: `{"command": "/bin/serve"}`, Shown: []string{"TestFieldsDecideWhatTheContainerRuns"}},
	{Name: "docker_user", Base: "image", Params: `{"docker_user": "1000"}`, Shown: []string{"TestFieldsDecideWhatTheContainerRuns"}},
	{Name: "regions", Base: "image", Params: `{"regions": "fr,de"}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "cloudRegion", Base: "image", Params: `{"cloudRegion": "eu-west-3"}`, Goes: "nowhere: read and checked"},
	{Name: "cloudProvider", Base: "image", Params: `{"cloudProvider": "aws"}`, Goes: "nowhere: read and checked"},
	{Name: "clusterDomain", Base: "public", Params: `{"clusterDomain": "apps.example"}`, Shown: []string{"TestFieldsReachTheApp"}},
	{Name: "clusterTcpDomain", Base: "image", Params: `{"clusterTcpDomain": "tcp.example"}`, Goes: "nowhere: read and checked"},
	{Name: "backendUrl", Base: "image", Params: `{"backendUrl": "https://backend.example"}`, Goes: "the backend's API"},
	{
		Name: "accessToken", Base: "image", Params: `{"accessToken": "access-1"}`,
		Goes: "the backend's API", Shown: []string{"TestPlantedSecretsAreFoundNowhere"},
	},
	{Name: "privateRegistry", Base: "project", Params: `{"privateRegistry": "prj-1", "privateRegistryProvider": "ghcr"}`},
	{Name: "privateRegistryProvider", Base: "private image", Params: `{"privateRegistryProvider": "dockerhub"}`},
}

// vault is what the app and its build get from Vault.
var vault = []Field{
	{Name: "vaultAddress", Base: "image", Params: `{"vaultAddress": "https://vault.example:8200"}`, Shown: []string{"TestABuildGetsTheSecretsOfVault"}},
	{Name: "roleId", Base: "image", Params: `{"roleId": "role-1"}`, Shown: []string{"TestABuildGetsTheSecretsOfVault"}},
	{Name: "secretId", Base: "image", Params: `{"secretId": "secret-1"}`, Shown: []string{"TestABuildGetsTheSecretsOfVault", "TestPlantedSecretsAreFoundNowhere"}},
	{Name: "secretsPath", Base: "project", Params: `{"secretsPath": "other"}`},
	{Name: "sharedSecretPath", Base: "project", Params: `{"sharedSecretPath": "shared"}`},
	{Name: "usesKvEngine", Base: "project", Params: `{"usesKvEngine": true}`},
	{Name: "ownerUsesKvEngine", Base: "project", Params: `{"ownerUsesKvEngine": true}`},
	{Name: "vaultLinkedSecretPaths[].prefix", Base: "linked path", Params: `{"vaultLinkedSecretPaths": [{"prefix": "DB_", "secretPath": "db"}]}`},
	{Name: "vaultLinkedSecretPaths[].secretPath", Base: "project", Params: `{"vaultLinkedSecretPaths": [{"secretPath": "db"}]}`},
	{
		Name: "vaultLinkedSecrets[].secret", Base: "image", Params: `{"vaultLinkedSecrets": [{"secret": "DSN"}]}`,
		Shown: []string{"TestFieldsDecideWhatTheContainerRuns"},
	},
	{
		Name: "vaultLinkedSecrets[].template", Base: "image", Params: `{"vaultLinkedSecrets": [{"secret": "DSN", "template": "$DB_USER@db"}]}`,
		Shown: []string{"TestFieldsDecideWhatTheContainerRuns"},
	},
}

// registry is where the deploy pack comes from.
var registry = []Field{
	{Name: "registry.pack", Base: "image", Params: `{"registry": {"pack": "cloudstation"}}`, Goes: "the name of the pack in `cloudstation.hcl`, which is this by default"},
	{Name: "registry.registryName", Base: "pack", Params: `{"registry": {"registrySource": "https://git.example/packs", "registryName": "platform"}}`},
	{Name: "registry.registryRef", Base: "pack", Params: `{"registry": {"registrySource": "https://git.example/packs", "registryRef": "v2"}}`, Shown: []string{"TestAPackOfARegistryIsDeployed"}},
	{Name: "registry.registrySource", Base: "image", Params: `{"registry": {"registrySource": "https://git.example/packs"}}`, Shown: []string{"TestAPackOfARegistryIsDeployed"}},
	{Name: "registry.registryTarget", Base: "pack", Params: `{"registry": {"registrySource": "https://git.example/packs", "registryTarget": "main"}}`, Shown: []string{"TestAPackOfARegistryIsDeployed"}},
	{Name: "registry.registryToken", Base: "pack", Params: `{"registry": {"registrySource": "https://git.example/packs", "registryToken": "token-1"}}`},
	{Name: "registry.useEmbedded", Base: "pack", Params: `{"registry": {"registrySource": "https://git.example/packs", "useEmbedded": true}}`},
}
