package pack_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/sprig/v3"

	"github.com/dispatchd/dispatchd/internal/pack"
)

// TestFunctionsAreSprigs compares each function with sprig's, in whose words
// packs are written.
func TestFunctionsAreSprigs(t *testing.T) {
	t.Parallel()
	ours, theirs := pack.Functions(), sprig.TxtFuncMap()
	for _, call := range sprigCalls {
		text := "{{ " + call + ` | printf "%[1]T %#[1]v" }}`
		got, err := pack.Evaluate(text, ours, sample())
		want, wantErr := byTextTemplate(text, theirs, sample())
		if (err == nil) != (wantErr == nil) || got != want {
			t.Errorf("%s\n gives %s, %v\nwant   %s, %v", call, got, err, want, wantErr)
		}
	}
}

// different are offered with results of our own: in an order, or as a refusal.
var different = []string{"keys", "values", "fail"}

func TestEveryFunctionOfSprigIsKnown(t *testing.T) {
	t.Parallel()
	ours := pack.Functions()
	for name := range sprig.TxtFuncMap() {
		if _, ok := ours[name]; !ok {
			t.Errorf("sprig's function %s is neither offered nor refused by its name", name)
		}
		refused := slices.Contains(pack.Unavailable(), name) || slices.Contains(different, name)
		compared := slices.ContainsFunc(sprigCalls, func(call string) bool {
			return slices.Contains(strings.FieldsFunc(call, func(r rune) bool { return strings.ContainsRune(" ()|", r) }), name)
		})
		if refused == compared {
			t.Errorf("sprig's function %s is refused: %t, compared: %t", name, refused, compared)
		}
	}
}

func TestUnavailableFunctionsSaySo(t *testing.T) {
	t.Parallel()
	for _, name := range pack.Unavailable() {
		_, err := pack.Evaluate(fmt.Sprintf(`{{ %s }}`, name), pack.Functions(), nil)
		if want := "the function " + name + " is not available"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %s", name, err, want)
		}
	}
}

var sprigCalls = []string{
	`trim " a "`, `upper "aé"`, `lower "AÉ"`, `trimAll "-" "-a-"`, `trimall "-" "-a-"`, `trimSuffix "b" "ab"`, `trimPrefix "a" "ab"`, `contains "b" "abc"`,
	`hasPrefix "a" "ab"`, `hasSuffix "a" "ab"`, `replace "a" "b" "aa"`, `repeat 3 "ab"`, `repeat -1 "a"`, `trunc 2 "abc"`, `trunc -2 "abc"`, `trunc 9 "abc"`, `trunc -9 "abc"`, `trunc -3 "abc"`,
	`substr 1 2 "abc"`, `substr -1 2 "abc"`, `substr 1 -1 "abc"`, `substr 1 9 "abc"`, `substr 2 1 "abc"`, `substr 5 9 "abc"`, `substr -1 9 "abc"`, `substr -1 -1 "abc"`,
	`indent 2 "a\nb"`, `nindent 2 "a\nb"`, `quote "a\"" 1 nil 1.5`, `quote`, `squote "a'" 1 nil`, `cat "a" nil 1 " b"`, `cat`, `plural "one" "many" 1`, `plural "one" "many" 0`,
	`toString 1`, `toString .nil`, `toString .list`, `toString .f`, `toString .bytes`, `toStrings .list`, `toStrings "a"`, `toStrings .nil`, `toStrings .strings`, `toStrings .bytes`,
	`join "-" .list`, `join "-" "a"`, `join "-" .none`, `sortAlpha .strings`, `sortAlpha "x"`, `sortAlpha .list`, `splitList "," "a,b"`, `split "," "a,b"`, `splitn "," 2 "a,b,c"`,
	`base "/a/b.c"`, `dir "/a/b"`, `clean "a//b/.."`, `ext "a.b"`, `isAbs "/a"`, `b64enc "a?>"`, `b64dec "YT8+"`, `sha256sum "a"`,
	`regexMatch "a+" "caat"`, `mustRegexMatch "a+" "caat"`, `mustRegexMatch "(" "a"`, `regexFind "a+" "caat"`, `mustRegexFind "a+" "x"`, `regexFindAll "a" "aXa" -1`, `mustRegexFindAll "a" "aXa" 1`,
	`regexReplaceAll "(a)" "cat" "${1}x"`, `mustRegexReplaceAll "a" "cat" "x"`, `regexReplaceAllLiteral "(a)" "cat" "${1}"`, `mustRegexReplaceAllLiteral "a" "cat" "x"`, `regexSplit "a" "cat" -1`, `mustRegexSplit "a" "cat" 1`,
	`regexFind "(" "a"`, `regexQuoteMeta "a.b"`,
	`default "d" ""`, `default "d" .nil`, `default "d" 0`, `default "d" "x"`, `default "d" false`, `default "d"`, `empty .none`, `empty 1`, `empty .nilmap`, `empty nil`, `coalesce nil "" 0 "x" "y"`, `coalesce`, `coalesce .zero .no`,
	`all 1 "a"`, `all 1 ""`, `all`, `any 0 "a"`, `any 0 ""`, `any`, `ternary 1 2 true`, `ternary 1 2 false`,
	`toJson .m`, `toJson "<"`, `toJson .nilmap`, `mustToJson .list`, `toPrettyJson .m`, `mustToPrettyJson .list`, `toRawJson "<&>"`, `mustToRawJson .m`, `fromJson "{\"a\":[1,\"b\"]}"`, `mustFromJson "[1]"`, `mustFromJson "{"`,
	`typeOf .m`, `typeIs "int" 1`, `kindOf .list`, `kindOf .nil`, `kindIs "map" .m`, `deepEqual .list .list`, `deepEqual 1 .i8`,
	`int "12"`, `int "x"`, `int 1.9`, `int -1.9`, `int true`, `int nil`, `int .u`, `int "0x10"`, `int "5.00"`, `int "-3"`, `int .list`, `int64 "7"`, `int64 .i8`, `float64 "1.5"`, `float64 2`, `float64 "x"`, `float64 true`, `float64 nil`, `atoi "5"`, `atoi "x"`,
	`add1 1`, `add 1 2 "3"`, `add`, `sub 5 2`, `mul 2 3 4`, `mul 2`, `div 7 2`, `div 1 0`, `mod 7 2`, `mod 1 0`, `max 1 5 3`, `biggest 1 5`, `min 4 2 3`, `ceil 1.2`, `floor 1.8`, `floor "1.8"`,
	`round 1.255 2`, `round 1.5 0`, `round 2.4 0 0.3`, `round "3.14159" 3`, `addf 0.1 0.2`, `add1f 0.1`, `subf 0.3 0.1`, `mulf 0.1 3`, `divf 1 3`, `divf 2 3`, `divf 7 2 2`, `divf 1 0`, `until 3`, `until -3`, `until 0`, `untilStep 1 6 2`, `untilStep 5 0 -2`, `untilStep 0 5 0`, `untilStep 0 5 -1`,
	`list 1 "a" nil`, `list`, `tuple 1`, `append .list 1`, `append "a" 1`, `append .nil 1`, `push .strings 1`, `prepend .list 1`, `first .list`, `first .none`, `first "a"`, `last .list`, `last .none`, `rest .list`, `rest .none`, `initial .strings`, `initial .none`,
	`reverse .list`, `reverse .none`, `uniq (list 1 1 "a" 1.0 nil nil)`, `uniq .none`, `without .list "a" nil`, `without .strings "a"`, `without .none`, `compact (list 0 1 "" "a" nil)`, `compact .none`, `has "a" .list`, `has 5 .list`, `has 1 nil`, `has 1 "a"`,
	`slice .list 1 2`, `slice .list 1`, `slice .list`, `slice .list 2 1`, `slice .list 0 9`, `slice .none`, `slice .strings 1`, `slice "abc" 1`, `slice .list "1"`, `concat .list .strings`, `concat`, `concat .none`, `concat "a"`, `chunk 2 .list`, `chunk 1 .strings`, `chunk 3 .none`,
	`mustAppend .list 1`, `mustPush .list 1`, `mustPrepend .list 1`, `mustFirst .list`, `mustLast .list`, `mustRest .list`, `mustInitial .list`, `mustReverse .list`, `mustUniq .list`, `mustWithout .list 2`, `mustCompact .list`, `mustHas 2 .list`, `mustSlice .list 1 2`, `mustChunk 2 .list`,
	`dict "a" 1 "b"`, `dict`, `dict 1 2`, `get .m "b"`, `get .m "x"`, `set (dict) "a" 1`, `unset (dict "a" 1) "a"`, `hasKey .m "a"`, `hasKey .nilmap "a"`, `pluck "port" (index .maps 0) (index .maps 1) (dict)`, `pick .m "b" "x"`, `omit .m "a" "nil"`, `omit .nilmap "a"`,
	`dig "a" "c" "no" .m`, `dig "a" "x" "no" .m`, `dig "b" "x" "no" .m`, `dig "a" .m`, `dig 1 2 .m`,
}
