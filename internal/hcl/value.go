package hcl

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// body is the content of a file or a block: its attributes, then its blocks.
type body struct {
	attributes []attribute
	blocks     []block
}

// attribute is one name with its value. Names are always ours.
type attribute struct {
	name  string
	value value
}

// block is a block with at most one label; an empty label is none, and the
// check for an empty job id keeps it from being a user's.
type block struct {
	kind  string
	label string
	body  body
}

// value is a node of the tree. Texts stay Go strings until they are compared,
// because cty changes what it is given.
type value interface {
	tokens() hclwrite.Tokens
	// mismatch returns the place of the first part of the value that got does
	// not hold, with what is wrong, or nil.
	mismatch(place string, got cty.Value) error
}

type (
	text   string
	number int64
	flag   bool
	list   []value
	object []attribute
	// mapping is an object whose keys are a user's.
	mapping map[string]string
	// reference is a name such as var.nomad_token; it is never evaluated.
	reference string
)

// manySigns is how many $ and % a text may hold before each is written as an
// escape: HCL's parser needs a time that grows with the square of their number.
const manySigns = 64

func (v text) tokens() hclwrite.Tokens {
	s := string(v)
	if strings.Count(s, "$")+strings.Count(s, "%") <= manySigns {
		return hclwrite.TokensForValue(cty.StringVal(s))
	}
	var literal []byte
	for len(s) > 0 {
		end := strings.IndexAny(s, "$%")
		if end < 0 {
			end = len(s)
		}
		if end > 0 {
			literal = append(literal, hclwrite.TokensForValue(cty.StringVal(s[:end]))[1].Bytes...)
		}
		if s = s[end:]; len(s) > 0 {
			literal = fmt.Appendf(literal, `\u%04x`, s[0])
			s = s[1:]
		}
	}
	return hclwrite.Tokens{
		{Type: hclsyntax.TokenOQuote, Bytes: []byte{'"'}},
		{Type: hclsyntax.TokenQuotedLit, Bytes: literal},
		{Type: hclsyntax.TokenCQuote, Bytes: []byte{'"'}},
	}
}

func (v number) tokens() hclwrite.Tokens { return hclwrite.TokensForValue(cty.NumberIntVal(int64(v))) }
func (v flag) tokens() hclwrite.Tokens   { return hclwrite.TokensForValue(cty.BoolVal(bool(v))) }

// tokens gives each object of a list lines of its own.
func (v list) tokens() hclwrite.Tokens {
	elements := make([]hclwrite.Tokens, len(v))
	for i, element := range v {
		elements[i] = element.tokens()
		if _, ok := element.(object); ok {
			elements[i] = slices.Concat(newline(), elements[i])
			if i == len(v)-1 {
				elements[i] = append(elements[i], newline()...)
			}
		}
	}
	return hclwrite.TokensForTuple(elements)
}

func newline() hclwrite.Tokens {
	return hclwrite.Tokens{{Type: hclsyntax.TokenNewline, Bytes: []byte{'\n'}}}
}

func (v object) tokens() hclwrite.Tokens {
	attributes := make([]hclwrite.ObjectAttrTokens, len(v))
	for i, a := range v {
		attributes[i] = hclwrite.ObjectAttrTokens{Name: hclwrite.TokensForIdentifier(a.name), Value: a.value.tokens()}
	}
	return hclwrite.TokensForObject(attributes)
}

// tokens writes every key in quotes: as bare words some keys, such as for,
// would be syntax.
func (v mapping) tokens() hclwrite.Tokens {
	var attributes []hclwrite.ObjectAttrTokens
	for _, key := range slices.Sorted(maps.Keys(v)) {
		attributes = append(attributes, hclwrite.ObjectAttrTokens{Name: text(key).tokens(), Value: text(v[key]).tokens()})
	}
	return hclwrite.TokensForObject(attributes)
}

func (v reference) tokens() hclwrite.Tokens {
	var path hcl.Traversal
	for i, name := range strings.Split(string(v), ".") {
		if i == 0 {
			path = append(path, hcl.TraverseRoot{Name: name})
			continue
		}
		path = append(path, hcl.TraverseAttr{Name: name})
	}
	return hclwrite.TokensForTraversal(path)
}

// bytes returns the tree as the text of a file.
func (b body) bytes() []byte {
	file := hclwrite.NewEmptyFile()
	b.appendTo(file.Body(), true)
	return hclwrite.Format(file.Bytes())
}

// appendTo writes the body; at the top of a file an empty line stands before
// each block.
func (b body) appendTo(out *hclwrite.Body, top bool) {
	for _, a := range b.attributes {
		out.SetAttributeRaw(a.name, a.value.tokens())
	}
	for _, inner := range b.blocks {
		if top {
			out.AppendNewline()
		}
		var labels []string
		if inner.label != "" {
			labels = []string{inner.label}
		}
		inner.body.appendTo(out.AppendNewBlock(inner.kind, labels).Body(), false)
	}
}

// texts makes a list of strings.
func texts[S ~string](from []S) list {
	out := make(list, len(from))
	for i, s := range from {
		out[i] = text(s)
	}
	return out
}

// listOf makes a list by way of one function for each element; it is never nil.
func listOf[T any](from []T, element func(T) value) list {
	out := make(list, len(from))
	for i, item := range from {
		out[i] = element(item)
	}
	return out
}
