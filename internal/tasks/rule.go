package tasks

import (
	"reflect"
	"strconv"
	"strings"
)

// fieldRule is what a field's `dispatch` tag says, items separated by commas:
//
//	required            must be given; required=image, by deploy-image alone
//	only=repository     read for the repository kinds, ignored for the others
//	enum=a|b            the values allowed beside empty
//	alias=old:new       old is accepted and decoded as new
//	range=0:65535       the least and the greatest integer
//	default=text        the value where none, or an empty one, is given
//	string              a Text that may not be a number
//	hidden              an error never shows the value
type fieldRule struct {
	required   string
	only       string
	enum       []string
	aliasOld   string
	aliasNew   string
	ranged     bool
	min, max   int64
	byDefault  string
	stringOnly bool
	hidden     bool
}

// ruleOf reads the tag of a field.
func ruleOf(field reflect.StructField) fieldRule {
	var rule fieldRule
	for item := range strings.SplitSeq(field.Tag.Get("dispatch"), ",") {
		key, value, _ := strings.Cut(item, "=")
		switch key {
		case "required":
			rule.required = "always"
			if value != "" {
				rule.required = value
			}
		case "only":
			rule.only = value
		case "enum":
			rule.enum = strings.Split(value, "|")
		case "alias":
			rule.aliasOld, rule.aliasNew, _ = strings.Cut(value, ":")
		case "range":
			rule.setRange(value)
		case "default":
			rule.byDefault = value
		case "string":
			rule.stringOnly = true
		case "hidden":
			rule.hidden = true
		}
	}
	return rule
}

func (r *fieldRule) setRange(text string) {
	low, high, _ := strings.Cut(text, ":")
	r.min, _ = strconv.ParseInt(low, 10, 64)
	r.max, _ = strconv.ParseInt(high, 10, 64)
	r.ranged = true
}

// concerns reports whether tasks of the kind have the field at all.
func (r fieldRule) concerns(kind Kind) bool {
	return r.only != "repository" || kind.FromRepository()
}

// requiredOf reports whether tasks of the kind must have the field.
func (r fieldRule) requiredOf(kind Kind) bool {
	return r.required == "always" || (r.required == "image" && kind == KindDeployImage)
}

// accepted lists every spelling that a sender may use.
func (r fieldRule) accepted() []string {
	if r.aliasOld == "" {
		return r.enum
	}
	return append(append([]string(nil), r.enum...), r.aliasOld)
}

// isEmpty reports whether a decoded field holds nothing.
func isEmpty(field reflect.Value) bool {
	if field.Kind() == reflect.Slice {
		return field.Len() == 0
	}
	return field.IsZero()
}
