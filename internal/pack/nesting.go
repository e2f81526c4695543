package pack

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const (
	// deepest is how deep brackets, and signs before a value, may lie in each
	// other. HCL's parser goes down with them, and a stack that is used up ends
	// the whole process, with every task in it.
	deepest = 250
	// mostBranches is the same for conditions, which need no brackets.
	mostBranches = 10_000
)

// parseHCL reads a text that a stranger may have written.
func parseHCL(text []byte, name string) (*hcl.File, error) {
	if err := checkNesting(text, name); err != nil {
		return nil, err
	}
	parsed, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, place(diags)
	}
	return parsed, nil
}

// checkNesting refuses what the parser would go down too deep for. The scanner
// does not go down at all; what is wrong otherwise is left to the parser.
func checkNesting(text []byte, name string) error {
	signs := 0
	for _, sign := range []string{"[", "(", "{", "!", "-", "?"} {
		signs += bytes.Count(text, []byte(sign))
	}
	if signs <= deepest {
		return nil
	}
	tokens, _ := hclsyntax.LexConfig(text, name, hcl.InitialPos)
	depth, run, branches := 0, 0, 0
	for _, token := range tokens {
		switch token.Type {
		case hclsyntax.TokenBang, hclsyntax.TokenMinus:
			run++
		case hclsyntax.TokenComment, hclsyntax.TokenNewline:
		default:
			run = 0
		}
		depth += deeper(token.Type)
		if token.Type == hclsyntax.TokenQuestion || token.Type == hclsyntax.TokenTemplateControl {
			branches++
		}
		if depth > deepest || run > deepest || branches > mostBranches {
			return fmt.Errorf("%s:%d: it is nested too deep", name, token.Range.Start.Line)
		}
	}
	return nil
}

// deeper is how a token changes the depth.
func deeper(of hclsyntax.TokenType) int {
	switch of {
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		return 1
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
		return -1
	default:
		return 0
	}
}
