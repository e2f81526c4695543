package pack

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// oneJob returns the formatted text of the only job among a pack's outputs.
func oneJob(outputs []file, foreign bool) ([]byte, error) {
	if len(outputs) == 0 {
		return nil, fmt.Errorf("the pack's templates give no job")
	}
	if len(outputs) > 1 {
		return nil, fmt.Errorf("the pack gives %d jobs (%s and %s): a task deploys one", len(outputs), outputs[0].path, outputs[1].path)
	}
	text := hclwrite.Format([]byte(strings.TrimSpace(outputs[0].text) + "\n"))
	allow := onlyConstants
	if foreign {
		allow = constantsAndReferences
	}
	if err := checkJob(text, outputs[0].path, allow); err != nil {
		return nil, err
	}
	return text, nil
}

// checkJob holds a rendered text to its shape: one job block with its name and
// nothing beside it, made of what allow lets pass. An embedded pack that wants
// Nomad's client to replace ${node.class} writes it as text, $${node.class}.
func checkJob(text []byte, path string, allow func(hclsyntax.Node) hcl.Diagnostics) error {
	parsed, err := parseHCL(text, path+" (rendered)")
	if err != nil {
		return err
	}
	body, ok := parsed.Body.(*hclsyntax.Body)
	if !ok || len(body.Attributes) != 0 || len(body.Blocks) != 1 {
		return fmt.Errorf("%s gives %d blocks and %d attributes: one job block is expected", path, len(body.Blocks), len(body.Attributes))
	}
	job := body.Blocks[0]
	if job.Type != "job" || len(job.Labels) != 1 || job.Labels[0] == "" {
		return fmt.Errorf("%s gives a block %q with %d names: a job block with one name is expected", path, job.Type, len(job.Labels))
	}
	if diags := hclsyntax.VisitAll(job.Body, allow); diags.HasErrors() {
		return place(diags)
	}
	return nil
}

// constantsAndReferences lets ${attr.kernel.name} and its like pass too: Nomad's
// parser leaves them to its client. var and local would be read by the parser.
func constantsAndReferences(node hclsyntax.Node) hcl.Diagnostics {
	switch n := node.(type) {
	case *hclsyntax.TemplateWrapExpr:
		return nil
	case *hclsyntax.ScopeTraversalExpr:
		if root := n.Traversal.RootName(); root != "var" && root != "local" {
			return nil
		}
	}
	return onlyConstants(node)
}

func onlyConstants(node hclsyntax.Node) hcl.Diagnostics {
	switch node.(type) {
	case *hclsyntax.Body, hclsyntax.Attributes, *hclsyntax.Attribute, hclsyntax.Blocks, *hclsyntax.Block,
		*hclsyntax.LiteralValueExpr, *hclsyntax.TemplateExpr, *hclsyntax.TupleConsExpr,
		*hclsyntax.ObjectConsExpr, *hclsyntax.ObjectConsKeyExpr:
		return nil
	}
	at := node.Range()
	return hcl.Diagnostics{{
		Severity: hcl.DiagError,
		Summary:  "an expression that is not a constant",
		Detail:   fmt.Sprintf("a job is made of constants, this is a %T", node),
		Subject:  &at,
	}}
}
