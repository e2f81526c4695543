package fields

const atClone = "the clone"

// sources are where the image is made from and how.
var sources = []Field{
	{Name: "repository", Base: "repository", Params: `{"repository": "acme/shop"}`, Goes: atClone, Shown: []string{"TestRepositoryBecomesHealthyAndTheNextCommitRollsOver"}},
	{Name: "branch", Base: "repository", Params: `{"branch": "next"}`, Goes: atClone, Shown: []string{"TestCloneFailuresHaveReasonsOfTheirOwn"}},
	{Name: "gitPass", Base: "repository", Params: `{"gitPass": "token-1"}`, Goes: atClone, Shown: []string{"TestTwoProvidersEachTakeTheirOwnTokenAlone", "TestPlantedSecretsAreFoundNowhere"}},
	{Name: "provider", Base: "repository", Params: `{"provider": "gitlab"}`, Goes: atClone, Shown: []string{"TestTwoProvidersEachTakeTheirOwnTokenAlone"}},
	{Name: "sourceType", Base: "upload", Params: `{"sourceType": "local_upload"}`, Goes: "the download of an upload", Shown: []string{"TestAnUploadBecomesHealthy"}},
	{Name: "sourceUrl", Base: "upload", Params: `{"sourceUrl": "https://uploads.example/b.tgz"}`, Goes: "the download of an upload", Shown: []string{"TestAnUploadBecomesHealthy"}},
	{Name: "uploadId", Base: "upload", Params: `{"uploadId": "up-1"}`, Goes: "the download of an upload", Shown: []string{"TestAnUploadBecomesHealthy"}},
	{Name: "build.builder", Base: "repository", Params: `{"build": {"builder": "nixpacks"}}`},
	{Name: "build.dockerfilePath", Base: "repository", Params: `{"build": {"builder": "csdocker", "dockerfilePath": "docker/Dockerfile.web"}}`, Shown: []string{"TestPathsThatLeaveTheTreeByLink"}},
	{Name: "build.buildCommand", Base: "repository", Params: `{"build": {"builder": "csdocker", "buildCommand": "make"}}`},
	{Name: "build.startCommand", Base: "image", Params: `{"build": {"startCommand": "exec serve"}}`, Shown: []string{"TestFieldsDecideWhatTheContainerRuns"}},
	{Name: "build.rootDirectory", Base: "repository", Params: `{"build": {"builder": "csdocker", "rootDirectory": "/apps/web"}}`, Shown: []string{"TestPathsThatLeaveTheTreeByLink"}},
	{Name: "build.buildArgs", Base: "repository", Params: `{"build": {"builder": "csdocker", "buildArgs": {"VERSION": "7"}}}`, Shown: []string{"TestTenThousandBuildArguments"}},
	{Name: "build.staticBuildEnv", Base: "repository", Params: `{"build": {"builder": "csdocker", "staticBuildEnv": {"NODE_ENV": "production"}}}`},
	{Name: "build.disablePush", Base: "repository", Params: `{"build": {"builder": "csdocker", "disablePush": true}}`},
	{Name: "build.privateRegistry", Base: "repository", Params: `{"build": {"builder": "csdocker", "privateRegistry": true, "registryUrl": "registry.example"}}`},
	{Name: "build.registryUrl", Base: "private push", Params: `{"build": {"builder": "csdocker", "privateRegistry": true, "registryUrl": "other.example"}}`},
	{
		Name: "build.registryNamespace", Base: "private push",
		Params: `{"build": {"builder": "csdocker", "privateRegistry": true, "registryUrl": "registry.example", "registryNamespace": "team"}}`,
	},
	{
		Name: "build.registryUsername", Base: "private push",
		Params: `{"build": {"builder": "csdocker", "privateRegistry": true, "registryUrl": "registry.example", "registryUsername": "bot"}}`, Goes: "the requests to that registry",
	},
	{
		Name: "build.registryPassword", Base: "private push",
		Params: `{"build": {"builder": "csdocker", "privateRegistry": true, "registryUrl": "registry.example", "registryPassword": "push-1"}}`,
		Goes:   "the requests to that registry", Shown: []string{"TestPlantedSecretsAreFoundNowhere"},
	},
}
