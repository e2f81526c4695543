package pack_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A parser that runs out of its stack takes the process with it, so a test that
// fails here may not be able to say so.
func TestAPackCannotNestWithoutEnd(t *testing.T) {
	t.Parallel()
	const most = 200 << 10
	for name, text := range map[string]string{
		"lists": "[", "brackets": "(", "objects": "{a=", "signs": "!", "minus": "- ", "templates": `"${`, "conditions": "a?", "branches": "%{if a}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := "variable \"x\" {\n default = "
			if name == "branches" {
				begin += `"`
			}
			g := &registry{change: func(dir string) error {
				deep := begin + strings.Repeat(text, (most-len(begin))/len(text))
				return os.WriteFile(filepath.Join(dir, "packs/webapp/variables.hcl"), []byte(deep), 0o600)
			}}
			_, _, err := g.render(t, webapp(), vars(t), "github.com/acme/packs")
			if err == nil || !strings.Contains(err.Error(), "variables.hcl:2: it is nested too deep") {
				t.Errorf("error = %v, want one about the nesting", err)
			}
		})
	}
}

func TestAPackCannotFillTheMemory(t *testing.T) {
	t.Parallel()
	g := &registry{change: func(dir string) error {
		names, err := filepath.Glob(filepath.Join(dir, "packs/webapp/templates/*.nomad.tpl"))
		if err != nil {
			return err
		}
		return os.WriteFile(names[0], []byte(`[[ $l := list ]][[ range until 65000 ]][[ $l = append $l (repeat 4194303 "x") ]][[ end ]]`), 0o600)
	}}
	_, _, err := g.render(t, webapp(), vars(t), "github.com/acme/packs")
	if err == nil || !strings.Contains(err.Error(), "the template runs away") {
		t.Errorf("error = %v, want one about the limit", err)
	}
}
