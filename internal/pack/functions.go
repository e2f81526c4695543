package pack

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// unavailable are the functions of nomad-pack that reach the host, its clock,
// its randomness or its network, that read a text as a template, or that no
// job needs. A template that calls one fails with its name.
var unavailable = []string{
	// The host and its files.
	"env", "expandenv", "getHostByName", "fileContents", "fileRelative", "packPath",
	// The clock and the time zone.
	"ago", "date", "date_in_zone", "date_modify", "dateInZone", "dateModify", "durationRound", "htmlDate",
	"htmlDateInZone", "must_date_modify", "mustDateModify", "mustToDate", "now", "toDate", "unixEpoch",
	// Randomness.
	"randAlphaNum", "randAlpha", "randAscii", "randNumeric", "randBytes", "randInt", "shuffle", "uuidv4",
	"bcrypt", "htpasswd", "encryptAES", "genPrivateKey", "genCA", "genCAWithKey", "genSelfSignedCert",
	"genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey", "buildCustomCert",
	// A running Nomad.
	"nomadNamespaces", "nomadNamespace", "nomadRegions", "nomadVariable", "nomadVariables",
	// Text that becomes a template, other packs, and the debugger.
	"tpl", "deps", "deps_tree", "spewDump", "spewPrintf", "customSpew", "withIndent", "withMaxDepth",
	"withDisableMethods", "withDisablePointerMethods", "withDisablePointerAddresses", "withDisableCapacities",
	"withContinueOnMethod", "withSortKeys", "withSpewKeys",
	// What no job needs, or would link a library for itself alone.
	"abbrev", "abbrevboth", "adler32sum", "b32dec", "b32enc", "camelcase", "decryptAES",
	"deepCopy", "derivePassword", "duration", "hello", "initials", "kebabcase", "maxf", "merge",
	"mergeOverwrite", "minf", "mustDeepCopy", "mustMerge", "mustMergeOverwrite", "nospace", "osBase",
	"osClean", "osDir", "osExt", "osIsAbs", "semver", "semverCompare", "seq", "sha1sum", "sha512sum",
	"snakecase", "swapcase", "title", "toDecimal", "typeIsLike", "untitle", "urlJoin", "urlParse", "wrap",
	"wrapWith",
}

// functions are what a pack's templates may call.
func functions() map[string]any {
	all := map[string]any{}
	for _, group := range []map[string]any{
		textFunctions(), regexFunctions(), valueFunctions(), numberFunctions(), listFunctions(), dictFunctions(), ownFunctions(),
	} {
		maps.Copy(all, group)
	}
	for _, name := range unavailable {
		all[name] = notAvailable(name)
	}
	return all
}

// ownFunctions are those of nomad-pack and of this renderer.
func ownFunctions() map[string]any {
	return map[string]any{
		"var":          lookup,
		"must_var":     lookup,
		"vars":         allValues,
		"meta":         meta,
		"must_meta":    meta,
		"metas":        metas,
		"toStringList": toStringList,
		"keys":         sortedKeys,
		"values":       sortedValues,
		"fail":         fail,

		"hcl":            literal,
		"hclDriver":      driverLiteral,
		"hclPlain":       plainLiteral,
		"hclDuration":    durationLiteral,
		"durationWithin": durationWithin,
		"ctText":         ctText,
		"ctName":         ctName,
		"ctService":      ctService,
		"ctPath":         ctPath,
		"ctParameter":    ctParameter,
		"ctPattern":      ctPattern,
		"vaultPath":      tasks.VaultPath,
		"fromBase64":     fromBase64,
		"serviceName":    serviceName,
		"inContainer":    inContainer,
	}
}

func notAvailable(name string) func(...any) (string, error) {
	return func(...any) (string, error) {
		return "", fmt.Errorf("the function %s is not available in a pack", name)
	}
}

// fail ends the rendering with a sentence of the pack's own.
func fail(message string) (string, error) { return "", refuse("%s", message) }

// toStringList returns a list of quoted strings; a single value is a list of one.
func toStringList(v any) (string, error) {
	items, ok := v.([]any)
	if !ok {
		items = []any{v}
	}
	quoted := make([]string, len(items))
	for i, item := range items {
		text, err := literal(fmt.Sprint(item))
		if err != nil {
			return "", err
		}
		quoted[i] = text
	}
	return "[" + strings.Join(quoted, ", ") + "]", nil
}

// sortedKeys is sprig's keys in an order that does not change.
func sortedKeys(dicts ...map[string]any) []string {
	var keys []string
	for _, dict := range dicts {
		keys = append(keys, slices.Sorted(maps.Keys(dict))...)
	}
	return keys
}

// sortedValues is sprig's values in the order of the keys.
func sortedValues(dict map[string]any) []any {
	values := make([]any, 0, len(dict))
	for _, key := range slices.Sorted(maps.Keys(dict)) {
		values = append(values, dict[key])
	}
	return values
}
