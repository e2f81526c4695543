package pack_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"text/template"

	"github.com/dispatchd/dispatchd/internal/pack"
)

// helpers have every kind of parameter that a pack's functions have.
var helpers = template.FuncMap{
	"list":   func(v ...any) []any { return v },
	"maps":   func(v map[string]any) []map[string]any { return []map[string]any{v, nil} },
	"half":   func(f float64) float64 { return f / 2 },
	"twice":  func(n int) int { return 2 * n },
	"small":  func(n int8) int8 { return n },
	"count":  func(n uint) uint { return n },
	"invert": func(b bool) bool { return !b },
	"join":   func(between string, parts ...string) string { return strings.Join(parts, between) },
	"size":   func(m map[string]any) int { return len(m) },
	"null":   func() any { return nil },
	"fail":   func(text string) (string, error) { return text, errors.New(text) },
	"panic":  func() string { panic("p") },
	"words":  strings.Fields,
	"lines":  func(lines []string) int { return len(lines) },
	"err":    func(err error) string { return fmt.Sprint(err) },
	"slot":   func(to *int) bool { return to == nil },
	"kind":   func(v any) string { return fmt.Sprintf("%T", v) },
	"where":  func(v ...any) string { return fmt.Sprintf("%v", v) },
}

// sample has every kind of value that a pack has.
func sample() map[string]any {
	return map[string]any{
		"s": "text <&> 'é'", "empty": "", "n": 7, "zero": 0, "neg": -3, "f": 1.5, "yes": true, "no": false, "nil": nil,
		"list": []any{"a", 2, nil, 1.5, []any{"x"}}, "none": []any{}, "strings": []string{"b", "a"}, "bytes": []byte("hi"),
		"m": map[string]any{"b": 1, "a": map[string]any{"c": "deep"}, "nil": nil}, "nilmap": map[string]any(nil),
		"maps": []map[string]any{{"port": 80}, {"port": 443}}, "ints": map[int]string{2: "two", 1: "one"},
		"i8": int8(5), "u": uint(9), "i64": int64(1) << 40, "spare": make([]any, 1, 4), "add": func(a, b int) int { return a + b },
		"sum": func(n ...int64) int64 { return int64(len(n)) }, "bad": func() {}, "error": func() (int, error) { return 0, errors.New("e") },
	}
}

// byTextTemplate renders as the standard library does.
func byTextTemplate(text string, functions map[string]any, data any) (string, error) {
	parsed, err := template.New("t").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := parsed.Execute(&out, data); err != nil {
		return "", err
	}
	return out.String(), nil
}

// same reports how the evaluator differs from text/template: it gives the same
// text, or both fail.
func same(text string, functions map[string]any, data func() map[string]any) error {
	got, err := pack.Evaluate(text, functions, data())
	if errors.Is(err, pack.ErrLimit) {
		return err // text/template has no limits: it would go on.
	}
	want, wantErr := byTextTemplate(text, functions, data())
	switch {
	case (err == nil) != (wantErr == nil):
		return fmt.Errorf("%s\n gives %q, %w\nwant   %q, %w", text, got, err, want, wantErr)
	case err == nil && got != want:
		return fmt.Errorf("%s\n gives %q\nwant   %q", text, got, want)
	case err != nil && !errors.Is(err, pack.ErrParse) && !strings.HasPrefix(err.Error(), "t:"):
		return fmt.Errorf("%s: the error %w has no place", text, err)
	}
	return nil
}

var templatesOfEachKind = []string{
	// Text, comments and trim markers.
	``, `plain`, "a {{- /* c */ -}} b", "{{/* c */}}x", "a \n {{- 1 -}} \n b", `{{"{{"}}`, "{{`raw\n`}}",
	// Values and how they print.
	`{{.}}`, `{{.s}} {{.n}} {{.f}} {{.yes}} {{.nil}} {{.none}} {{.m}} {{.nilmap}} {{.bytes}} {{.strings}}`, `{{.list}}`, `{{.add}}`,
	`{{1}} {{-2}} {{1.0}} {{1e3}} {{0x1F}} {{0x1e}} {{-0x1e}} {{'a'}} {{'.'}} {{1_000}} {{0b11}} {{0x1p4}} {{1i}} {{true}} {{"s\n"}}`,
	`{{kind 1}} {{kind 1.0}} {{kind 1e3}} {{kind 0x1e}} {{kind -0x1e}} {{kind 'a'}} {{kind '.'}} {{kind 2i}} {{kind nil}} {{kind .u}}`,
	`{{18446744073709551615}}`, `{{9223372036854775807}}`, `{{nil}}`, `{{print nil}}`, `{{(nil)}}`, `{{null}}`, `{{print (null)}}`, `{{$}}`,
	// Fields and chains.
	`{{.m.a.c}} {{(.m.a).c}} {{$.m.a.c}}`, `{{.missing}}`, `{{.m.missing}}`, `{{.m.a.c.d}}`, `{{.nil.a}}`, `{{.n.a}}`, `{{.nilmap.a}}`,
	`{{.m.nil}}`, `{{.ints.a}}`, `{{(index .maps 0).port}}`, `{{(list .m).a}}`, `{{.s 1}}`, `{{1 | .s}}`, `{{(.m) .n}}`, `{{.m.nil.x}}`,
	// Variables.
	`{{$x := 1}}{{$x}}{{$x = 2}}{{$x}}`, `{{$x := 1}}{{if .yes}}{{$x = 2}}{{$y := 3}}{{$y}}{{end}}{{$x}}`, `{{$x := .m}}{{$x.a.c}}{{$x.b}}`,
	`{{$x := 1}}{{if .yes}}{{$x := 2}}{{$x}}{{end}}{{$x}}`, `{{print ($x := 4) $x}}`, `{{$x}}`, `{{and .no ($x := 4)}}{{$x}}`, `{{$x := .nil}}{{$x}}`,
	// if and with.
	`{{if .empty}}a{{else if .zero}}b{{else if .f}}c{{else}}d{{end}}`, `{{if .nil}}a{{else}}b{{end}}{{if .nilmap}}c{{end}}{{if .add}}d{{end}}`,
	`{{with .m.a}}{{.c}}{{end}}{{with .none}}x{{else with .s}}{{.}}{{else}}y{{end}}`, `{{with $x := .n}}{{$x}}{{.}}{{$.s}}{{end}}`, `{{if not .s}}x{{end}}`,
	`{{if index .list 2}}a{{else}}b{{end}}`, `{{with index .maps 1}}{{.port}}{{end}}`, `{{if $x := .n}}{{$x}}{{else}}{{$x}}{{end}}`,
	// range.
	`{{range .list}}[{{.}}]{{end}}`, `{{range $i, $x := .list}}{{$i}}={{$x}} {{end}}`, `{{range $x := .strings}}{{$x}}{{end}}`, `{{range .none}}a{{else}}b{{end}}`,
	`{{range $k, $v := .m}}{{$k}}:{{$v}};{{end}}`, `{{range $k, $v := .ints}}{{$k}}:{{$v}};{{end}}`, `{{range .maps}}{{.port}},{{end}}`, `{{range 3}}{{.}}{{end}}`,
	`{{range $i := 3}}{{$i}}{{end}}`, `{{range $i, $x := 3}}{{end}}`, `{{range 0}}a{{else}}b{{end}}`, `{{range -1}}a{{else}}b{{end}}`, `{{range .i8}}{{kind .}}{{end}}`,
	`{{range .list}}{{if eq (kind .) "int"}}{{continue}}{{end}}{{.}}{{if not .}}{{break}}{{end}}{{end}}`, `{{range .nil}}a{{else}}b{{end}}`, `{{range .nilmap}}a{{else}}b{{end}}`,
	`{{range .s}}{{end}}`, `{{range .f}}{{end}}`, `{{range $x := .none}}{{else}}{{$x}}{{end}}`, `{{$x := 1}}{{range $x = .list}}{{end}}{{$x}}`,
	`{{$i := 0}}{{$x := 1}}{{range $i, $x = .strings}}{{end}}{{$i}}{{$x}}`, `{{$x := 1}}{{range $x = .none}}{{end}}{{$x}}`, `{{range $x := .list}}{{size $x}}{{end}}`,
	`{{range .list}}{{range $.strings}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{break}}{{end}}{{end}}`, `{{range $a, $a := .strings}}{{$a}}{{end}}`,
	`{{range .maps}}{{$x := .port}}{{if gt $x 80}}{{break}}{{end}}{{$x}}{{end}}`, `{{range (index .list 4)}}{{.}}{{end}}`, `{{range .bytes}}{{.}} {{end}}`, `{{range .add}}{{end}}`,
	`{{$x := 1}}{{range .strings}}{{$x := 2}}{{$x}}{{end}}{{$x}}`, `{{range $i, $s := .strings}}{{$y := $i}}{{$s}}{{$y}}{{end}}`,
	`{{$x := 1}}{{with .s}}{{$x := 2}}{{end}}{{$x}}`, `{{$x := 1}}{{range $x := .strings}}{{end}}{{$x}}`, `{{$x := 1}}{{range .strings}}{{$x := 2}}{{break}}{{end}}{{$x}}`,
	// Other templates.
	`{{define "x"}}<{{.}}>{{end}}{{template "x" .s}}{{template "x"}}`, `{{block "b" .m}}{{.b}}{{end}}{{template "b" .m}}`, `{{template "missing"}}`,
	`{{define "x"}}{{$}}{{$y}}{{end}}{{$y := 1}}{{template "x" $y}}`, `{{define "x"}}{{.missing}}{{end}}{{template "x" .m}}`, `{{define "e"}} {{end}}a{{template "e"}}b`,
	`{{define "down"}}{{.}}{{if gt . 0}}{{template "down" (twice -1)}}{{end}}{{end}}{{template "down" 3}}`, `{{template "x" $z := 1}}{{define "x"}}{{.}}{{end}}{{$z}}`,
	// Calls and their arguments.
	`{{twice 2}} {{2 | twice | twice}} {{half 3}} {{half 3.5}} {{count 3}} {{small 300}} {{invert true}} {{join "-" "a" "b"}} {{"c" | join "-" "a"}} {{"-" | join}}`,
	`{{twice}}`, `{{twice 1 2}}`, `{{twice 1.5}}`, `{{twice "a"}}`, `{{twice .f}}`, `{{twice nil}}`, `{{twice .nil}}`, `{{half .n}}`, `{{count -1}}`, `{{twice .i64}}`,
	`{{size .m}} {{size nil}} {{size (null)}} {{size .nilmap}}`, `{{size .m.nil}}`, `{{size (.m.nil)}}`, `{{.m.nil | size}}`, `{{size .s}}`, `{{lines (words "a b")}}`,
	`{{lines .list}}`, `{{err nil}}`, `{{err "x"}}`, `{{slot nil}}`, `{{slot .nil}}`, `{{join .empty .s (print .n)}}`, `{{join 1}}`, `{{join}}`, `{{join "a" .list}}`,
	`{{fail "x"}}`, `{{panic}}`, `{{list 1 nil .nil (null) | where}}`, `{{where 1 "a" nil .m.a.c $ .}}`, `{{undefined 1}}`, `{{null.a}}`, `{{(words "a").b}}`, `{{"a" "b"}}`,
	`{{range maps .m}}{{len .}}{{end}}`, `{{list | len}}`, `{{true 1}}`, `{{1 | 2}}`, `{{kind "a" | print | len}}`,
	// The language's own functions.
	`{{and}}`, `{{or}}`, `{{and 1}} {{and 1 0 (fail "x")}} {{or 0 "" "x" (fail "y")}} {{or .nil .empty}} {{and .n .s}} {{0 | or 1}} {{0 | and 1}} {{or nil 1}} {{and nil 1}}`,
	`{{or .no (fail "x")}}`, `{{not 0}} {{not .s}} {{not nil}} {{not .nil}}`, `{{not}}`, `{{not 1 2}}`,
	`{{len .s}} {{len .list}} {{len .m}} {{len .nilmap}} {{len "é"}}`, `{{len 3}}`, `{{len nil}}`, `{{len .nil}}`, `{{len .add}}`,
	`{{index .list 0}} {{index .m "a" "c"}} {{index .m "x"}} {{index .ints 1}} {{index .ints 5}} {{index .s 0}} {{index .list}} {{index .list 4 0}} {{index .nilmap "x"}}`,
	`{{index .list 5}}`, `{{index .list -1}}`, `{{index .list "a"}}`, `{{index .list nil}}`, `{{index .m 1}}`, `{{index .m nil}}`, `{{index nil}}`, `{{index .nil 1}}`, `{{index 1 1}}`,
	`{{index .none 0}}`, `{{index .ints .i8}} {{index .list .u}}`, `{{index .list .i8}}`, `{{index .m.a "c" 1}}`, `{{index .s 100}}`, `{{index .list 2 1}}`, `{{index 1}}`,
	`{{slice .list 1 2}} {{slice .s 0 4}} {{slice .list}} {{slice .list 1}} {{slice .list 1 2 3}} {{slice .none 0 0}}`, `{{slice .s 3 2}}`, `{{slice .s 0 1 2}}`, `{{slice .list 0 9}}`,
	`{{slice .spare 0 3}} {{slice .spare 0 1 4}}`, `{{slice .spare 0 5}}`, `{{slice .list 0 1 2 3}}`, `{{slice 1}}`, `{{slice nil}}`, `{{slice .list 2 1 3}}`, `{{slice .list 1 3 2}}`, `{{slice .s "a"}}`,
	`{{eq 1 1}} {{eq 1 2 1}} {{eq "a" "b"}} {{eq .u 9}} {{eq .i8 .u}} {{eq .nil nil}} {{eq .nil 1}} {{eq 1 nil}} {{eq .f 1.5}} {{eq true .yes}} {{eq 1i 1i}} {{eq .nilmap nil}} {{eq nil .m}}`,
	`{{eq}}`, `{{eq 1}}`, `{{eq 1 "a"}}`, `{{eq 1 1.0}}`, `{{eq .m .m}}`, `{{eq .nilmap .m}}`, `{{eq .list .m}}`, `{{eq .add .add}}`, `{{eq .list 1}}`, `{{ne 1 2}} {{ne "a" "a"}}`, `{{ne 1 "a"}}`, `{{ne 1 2 3}}`,
	`{{lt 1 2}} {{le 2 2}} {{gt 3 2}} {{ge 1 2}} {{lt "a" "b"}} {{lt 1.5 2.5}} {{lt .neg .u}} {{lt .u .neg}} {{ge .u 9}} {{le .u .n}} {{le 1 2}} {{gt 1 2}} {{gt 2 1}} {{le 2 1}}`, `{{lt 1 "a"}}`, `{{lt true false}}`, `{{le nil 1}}`,
	`{{gt .nil .nil}}`, `{{lt 1i 2i}}`, `{{ge .list 1}}`, `{{print 1 2 "a" "b" 3 nil}} {{println .s .n}}{{printf "%05d|%q|%v|%T" 7 .s .list .f}}`, `{{printf}}`, `{{printf 1}}`, `{{printf "%d"}}`,
	`{{printf "%s" .nil}} {{printf "%v" .m.nil}}`, `{{html .s "<" .n}} {{js .s "\x01=" .list}} {{urlquery .s "a b" 1}} {{html nil}} {{html .add | len | kind}}`,
	`{{call .add 1 2}} {{call .sum}} {{call .sum 1 2 3}} {{call .sum .n}} {{.add | kind}}`, `{{call .add 1}}`, `{{call .add 1 "a"}}`, `{{call .add .u .i8}}`, `{{call nil}}`, `{{call .n}}`,
	`{{call .bad}}`, `{{call .error}}`, `{{call .add nil 1}}`, `{{call}}`, `{{1 | call .add 2}}`,
	// No templates.
	`{{`, `{{if}}`, `{{end}}`, `{{range .list}}`, `{{break}}`, `{{.a.}}`, `{{define "x"}}`, `{{template}}`, `{{1 +}}`, `{{"a}}`,
}

func TestEvaluatorIsTextTemplate(t *testing.T) {
	t.Parallel()
	for _, text := range templatesOfEachKind {
		if err := same(text, helpers, sample); err != nil {
			t.Error(err)
		}
	}
}

func FuzzEvaluate(f *testing.F) {
	for _, text := range templatesOfEachKind {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := same(text, helpers, sample); err != nil && !errors.Is(err, pack.ErrLimit) {
			t.Error(err)
		}
	})
}

func TestRunawayTemplatesEnd(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"recursion":         `{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`,
		"steps":             `{{range 1000000000000}}{{end}}`,
		"output":            `{{range 100}}{{printf "%0100000d" 1}}{{end}}`,
		"text that doubles": `{{$x := "a"}}{{range 100}}{{$x = print $x $x}}{{end}}`,
		"list that doubles": `{{$x := list 1}}{{range 100}}{{$x = concat $x $x}}{{end}}`,
		"repeat":            `{{repeat 1000000000 "x"}}`,
		"numbers":           `{{until 1000000000}}`,
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := pack.Evaluate(text, pack.Functions(), nil); err == nil {
				t.Errorf("%s gives %d bytes, want an error", text, len(out))
			}
		})
	}
}

func TestErrorsOfTemplatesNameTheirPlace(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"a\n b {{ .m.prot }}":     `t:2:8: at <.m.prot>: map has no entry for key "prot", did you mean "port"?`,
		`{{ len 3 }}`:             `t:1:3: at <len 3>: len: a value of type int has no length`,
		`{{ twice "a" }}`:         `t:1:9: at <"a">: the constant has another type than the parameter: "a" for a int`,
		`{{ template "x" }}`:      `t:1:12: at <{{template "x"}}>: template "x" is not defined`,
		`{{ fail "no" }}`:         `t:1:3: at <fail "no">: fail: no`,
		`{{ twice }}`:             `t:1:3: at <twice>: twice takes 1 arguments, it is given 0`,
		`{{ range .s }}{{ end }}`: `t:1:9: at <{{range .s}}{{end}}>: range cannot go through a value of type string`,
		`{{ eq 1 "a" }}`:          `t:1:3: at <eq 1 "a">: eq: a value of type int cannot be compared with a value of type string`,
		`{{ .s.x }}`:              `t:1:5: at <.s.x>: "x" is asked of a value of type`,
	}
	data := map[string]any{"m": map[string]any{"port": 1}, "s": "text"}
	for text, want := range cases {
		_, err := pack.Evaluate(text, helpers, data)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q gives the error %v\nwant %s", text, err, want)
		}
	}
}
