package fields

// Bases are the tasks that fields are put on: the least of each kind, and what
// a field needs to mean anything.
var Bases = []Base{
	{Name: "image", Kind: "deploy-image", Params: `{
		"jobId": "web", "deploymentId": "dep-1", "serviceId": "srv-1", "imageName": "registry.example/acme/web", "imageTag": "1"}`},
	{Name: "repository", Kind: "deploy-repository", Params: `{
		"jobId": "web", "deploymentId": "dep-1", "serviceId": "srv-1", "repository": "acme/web", "branch": "main", "build": {"builder": "csdocker"}}`},
	{Name: "upload", Kind: "deploy-repository", Params: `{
		"jobId": "web", "deploymentId": "dep-1", "serviceId": "srv-1", "sourceUrl": "https://uploads.example/a.tgz", "build": {"builder": "csdocker"}}`},
	{Name: "private push", On: "repository", Params: `{"build": {"builder": "csdocker", "privateRegistry": true, "registryUrl": "registry.example"}}`},
	{Name: "gpu", On: "image", Params: `{"gpu": 1}`},
	{Name: "project", On: "image", Params: `{"projectId": "prj-1"}`},
	{Name: "private image", On: "project", Params: `{"privateRegistry": "prj-1", "privateRegistryProvider": "ghcr"}`},
	{Name: "linked path", On: "project", Params: `{"vaultLinkedSecretPaths": [{"secretPath": "db"}]}`},
	{Name: "linked secret", On: "image", Params: `{"vaultLinkedSecrets": [{"secret": "DSN", "template": "pg://db"}]}`},
	{Name: "pack", On: "image", Params: `{"registry": {"registrySource": "https://git.example/packs"}}`},
	{Name: "network", On: "image", Params: `{"networks": [{"portNumber": 8080, "portType": "http"}]}`},
	{Name: "public", On: "image", Params: `{"networks": [{"portNumber": 8080, "portType": "http", "public": true, "domain": "shop"}]}`},
	{Name: "linked service", On: "image", Params: `{"consul": {"linkedServices": [{"variableName": "DB", "consulServiceName": "pg-5432"}]}}`},
	{Name: "volume", On: "image", Params: `{"csiVolume": [{"id": "vol_web[0]", "mountPaths": ["/data"]}]}`},
	{Name: "batch", On: "image", Params: `{"jobConfig": {"type": "batch"}}`},
	{Name: "service", On: "image", Params: `{"jobConfig": {"type": "service"}}`},
	{Name: "parameterized", On: "image", Params: `{"jobConfig": {"type": "batch", "meta_required": ["NAME"]}}`},
	{Name: "pattern", On: "project", Params: `{"templateStringVariables": [{"name": "DATABASE_URL", "pattern": "pg://db"}]}`},
	{Name: "secret pattern", On: "project", Params: `{"templateStringVariables": [
		{"name": "DATABASE_URL", "pattern": "pg://{{ $USER }}:{{ $PASSWORD }}@db", "serviceSecretPath": "pg", "linkedVars": ["USER"]}]}`},
	{Name: "file", On: "image", Params: `{"configFiles": [{"path": "etc/app.yaml", "content": ""}]}`},
	{Name: "certificate", On: "project", Params: `{
		"tls": {"cert_path": "etc/tls/cert.pem", "key_path": "etc/tls/key.pem", "common_name": "web.example", "pka_path": "pki/issue/web"}}`},
}
