package fields

// Tests that several entries name.
var (
	reached   = []string{"TestFieldsReachTheApp"}
	unchanged = []string{"TestFilesArriveAsTheyWere"}
	rolled    = []string{"TestUpdateFieldsReachNomad"}
	typed     = []string{"TestJobTypes"}
)

// networks are the ports of the app.
var networks = []Field{
	{Name: "networks[].portNumber", Base: "image", Params: `{"networks": [{"portNumber": 8080}]}`, Shown: reached},
	{Name: "networks[].portType", Base: "image", Params: `{"networks": [{"portNumber": 8080, "portType": "udp"}]}`, Shown: reached},
	{Name: "networks[].public", Base: "network", Params: `{"networks": [{"portNumber": 8080, "portType": "http", "public": true, "domain": "shop"}]}`, Shown: reached},
	{Name: "networks[].domain", Base: "public", Params: `{"networks": [{"portNumber": 8080, "portType": "http", "public": true, "domain": "cart"}]}`, Shown: reached},
	{
		Name: "networks[].custom_domain", Base: "public",
		Params: `{"networks": [{"portNumber": 8080, "portType": "http", "public": true, "domain": "shop", "custom_domain": "www.shop.example"}]}`, Shown: reached,
	},
	{Name: "networks[].has_health_check", Base: "network", Params: `{"networks": [{"portNumber": 8080, "portType": "http", "has_health_check": "none"}]}`, Shown: reached},
	{Name: "networks[].health_check.type", Base: "network", Params: `{"networks": [{"portNumber": 8080, "portType": "http", "health_check": {"type": "tcp"}}]}`, Shown: reached},
	{Name: "networks[].health_check.path", Base: "network", Params: `{"networks": [{"portNumber": 8080, "portType": "http", "health_check": {"path": "/healthz"}}]}`, Shown: reached},
	{Name: "networks[].health_check.interval", Base: "network", Params: `{"networks": [{"portNumber": 8080, "portType": "http", "health_check": {"interval": "15"}}]}`, Shown: reached},
	{Name: "networks[].health_check.timeout", Base: "network", Params: `{"networks": [{"portNumber": 8080, "portType": "http", "health_check": {"timeout": "5s"}}]}`, Shown: reached},
	{Name: "networks[].health_check.port", Base: "network", Params: `{"networks": [{"portNumber": 8080, "portType": "http", "health_check": {"port": 8081}}]}`},
}

// services are the app's own service and those that it is linked with.
var services = []Field{
	{Name: "consul.serviceName", Base: "network", Params: `{"consul": {"serviceName": "shop"}}`, Shown: reached},
	{Name: "consul.tags", Base: "network", Params: `{"consul": {"tags": ["a"]}}`, Goes: "nowhere: read and checked"},
	{Name: "consul.servicePort", Base: "network", Params: `{"consul": {"servicePort": 8080}}`, Goes: "nowhere: read and checked"},
	{
		Name: "consul.linkedServices[].variableName", Base: "linked service",
		Params: `{"consul": {"linkedServices": [{"variableName": "DB_HOST", "consulServiceName": "pg-5432"}]}}`, Shown: []string{"TestLinkedServicesReachTheEnvironment"},
	},
	{
		Name: "consul.linkedServices[].consulServiceName", Base: "image",
		Params: `{"consul": {"linkedServices": [{"variableName": "DB", "consulServiceName": "pg-5432"}]}}`, Shown: []string{"TestLinkedServicesReachTheEnvironment"},
	},
	{Name: "csiVolume[].id", Base: "image", Params: `{"csiVolume": [{"id": "vol_web[0]"}]}`},
	{Name: "csiVolume[].mountPaths", Base: "volume", Params: `{"csiVolume": [{"id": "vol_web[0]", "mountPaths": ["/data", "/cache"]}]}`},
}

// jobs are what type of job the app is, how it is updated, and what it finds.
var jobs = []Field{
	{Name: "jobConfig.type", Base: "image", Params: `{"jobConfig": {"type": "batch"}}`, Shown: typed},
	{Name: "jobConfig.cron", Base: "batch", Params: `{"jobConfig": {"type": "batch", "cron": "0 3 * * *"}}`, Shown: typed},
	{Name: "jobConfig.payload", Base: "parameterized", Params: `{"jobConfig": {"type": "batch", "meta_required": ["NAME"], "payload": "required"}}`, Shown: typed},
	// Nomad takes cron for batch jobs alone, and those never overlap.
	{Name: "jobConfig.prohibit_overlap", Base: "service", Params: `{"jobConfig": {"type": "service", "prohibit_overlap": true}}`},
	{Name: "jobConfig.meta_required", Base: "batch", Params: `{"jobConfig": {"type": "batch", "meta_required": ["NAME"]}}`, Shown: typed},
	{Name: "entrypoint", Base: "image", Params: `{"entrypoint": ["/bin/tini", "--"]}`, Shown: []string{"TestFieldsDecideWhatTheContainerRuns"}},
	{Name: "update.minHealthyTime", Base: "image", Params: `{"update": {"minHealthyTime": "20s"}}`, Shown: rolled},
	{Name: "update.healthyDeadline", Base: "image", Params: `{"update": {"healthyDeadline": "4m"}}`, Shown: rolled},
	{Name: "update.progressDeadline", Base: "image", Params: `{"update": {"progressDeadline": "6m"}}`, Shown: rolled},
	{Name: "update.autoRevert", Base: "image", Params: `{"update": {"autoRevert": false}}`, Shown: rolled},
	{Name: "update.autoPromote", Base: "image", Params: `{"update": {"autoPromote": false}}`, Shown: rolled},
	{Name: "update.maxParallel", Base: "image", Params: `{"update": {"maxParallel": 2}}`, Shown: rolled},
	{Name: "update.canary", Base: "image", Params: `{"update": {"canary": 0}}`, Shown: rolled},
	{
		Name: "templateStringVariables[].name", Base: "pattern",
		Params: `{"templateStringVariables": [{"name": "DSN", "pattern": "pg://db"}]}`, Shown: []string{"TestLinkedServicesReachTheEnvironment"},
	},
	{
		Name: "templateStringVariables[].pattern", Base: "pattern",
		Params: `{"templateStringVariables": [{"name": "DATABASE_URL", "pattern": "pg://other"}]}`, Shown: []string{"TestLinkedServicesReachTheEnvironment"},
	},
	{
		Name: "templateStringVariables[].serviceName", Base: "pattern",
		Params: `{"templateStringVariables": [{"name": "DATABASE_URL", "pattern": "pg://{{ .Address }}", "serviceName": "pg-5432"}]}`,
		Shown:  []string{"TestLinkedServicesReachTheEnvironment"},
	},
	{
		Name: "templateStringVariables[].serviceSecretPath", Base: "secret pattern", Params: `{"templateStringVariables": [
			{"name": "DATABASE_URL", "pattern": "pg://{{ $USER }}:{{ $PASSWORD }}@db", "serviceSecretPath": "other", "linkedVars": ["USER"]}]}`,
	},
	{
		Name: "templateStringVariables[].linkedVars", Base: "secret pattern", Params: `{"templateStringVariables": [
			{"name": "DATABASE_URL", "pattern": "pg://{{ $USER }}:{{ $PASSWORD }}@db", "serviceSecretPath": "pg", "linkedVars": ["USER", "PASSWORD"]}]}`,
	},
	{Name: "configFiles[].path", Base: "file", Params: `{"configFiles": [{"path": "srv/app.yaml", "content": ""}]}`, Shown: unchanged},
	{Name: "configFiles[].content", Base: "file", Params: `{"configFiles": [{"path": "etc/app.yaml", "content": "YTogMQo="}]}`, Shown: unchanged},
	{
		Name: "tls.cert_path", Base: "certificate",
		Params: `{"tls": {"cert_path": "local/cert.pem", "key_path": "etc/tls/key.pem", "common_name": "web.example", "pka_path": "pki/issue/web"}}`,
	},
	{
		Name: "tls.key_path", Base: "certificate",
		Params: `{"tls": {"cert_path": "etc/tls/cert.pem", "key_path": "local/key.pem", "common_name": "web.example", "pka_path": "pki/issue/web"}}`,
	},
	{
		Name: "tls.common_name", Base: "certificate",
		Params: `{"tls": {"cert_path": "etc/tls/cert.pem", "key_path": "etc/tls/key.pem", "common_name": "shop.example", "pka_path": "pki/issue/web"}}`,
	},
	{
		Name: "tls.pka_path", Base: "certificate",
		Params: `{"tls": {"cert_path": "etc/tls/cert.pem", "key_path": "etc/tls/key.pem", "common_name": "web.example", "pka_path": "pki/issue/shop"}}`,
	},
	{
		Name: "tls.ttl", Base: "certificate",
		Params: `{"tls": {"cert_path": "etc/tls/cert.pem", "key_path": "etc/tls/key.pem", "common_name": "web.example", "pka_path": "pki/issue/web", "ttl": "3h"}}`,
	},
}
