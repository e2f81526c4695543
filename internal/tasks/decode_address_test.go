package tasks_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Addresses of registries become parts of names, files and messages: what
// carries a password is refused, and never shown.
func TestDecodeRefusesPasswordsInRegistries(t *testing.T) {
	t.Parallel()
	const params = `{"jobId":"web","deploymentId":"d","serviceId":"s","repository":"acme/web","branch":"main",`
	const unfit = ": must not hold a user or password"
	rows := map[string]string{
		`"build":{"privateRegistry":true,"registryUrl":"https://u:geheim@reg.example"}}`:       "params.build.registryUrl" + unfit,
		`"build":{"privateRegistry":true,"registryUrl":"u:geheim@reg.example"}}`:               "params.build.registryUrl" + unfit,
		`"build":{"privateRegistry":true,"registryUrl":"https://u:gehe%im@reg.example"}}`:      "params.build.registryUrl" + unfit,
		`"build":{"privateRegistry":true,"registryUrl":"r.io","registryNamespace":"geheim@"}}`: "params.build.registryNamespace" + unfit,
		`"registry":{"registrySource":"https://u:geheim@git.example/packs"}}`:                  "params.registry.registrySource" + unfit,
		`"registry":{"registrySource":"https://geheim@git.example/packs"}}`:                    "params.registry.registrySource" + unfit,
		`"registry":{"registrySource":"u:geheim@git.example/packs"}}`:                          "params.registry.registrySource" + unfit,
		`"registry":{"registrySource":"git::https://u:gehe/im@git.example/packs"}}`:            "params.registry.registrySource" + unfit,
	}
	for text, want := range rows {
		got := problemsOf(t, bodyOf("deploy-repository", params+text))
		if diff := cmp.Diff([]string{want}, got); diff != "" || strings.Contains(strings.Join(got, ""), "geheim") {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestDecodeTakesRegistriesWithoutPasswords(t *testing.T) {
	t.Parallel()
	const params = `{"jobId":"web","deploymentId":"d","serviceId":"s","repository":"acme/web","branch":"main",`
	for _, text := range []string{
		`"build":{"registryUrl":"https://index.docker.io/v1/","registryNamespace":"team/a"}}`,
		`"build":{"registryUrl":"reg.example:5000"}}`,
		`"registry":{"registrySource":"https://git.example/packs"}}`,
		`"registry":{"registrySource":"https://git.example/packs@v1"}}`,
		`"registry":{"registrySource":"git.example/acme/packs@v1"}}`,
		`"registry":{"registrySource":"git@git.example:acme/packs.git"}}`,
		`"registry":{"registrySource":"ssh://git@git.example/acme/packs.git"}}`,
	} {
		mustDecode(t, bodyOf("deploy-repository", params+text))
	}
}
