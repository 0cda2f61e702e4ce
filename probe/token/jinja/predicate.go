package jinja

import (
	"fmt"
	"strings"
	"unicode"
)

// predicate is a test of one value.
type predicate func(v value) bool

// tests are the tests that templates may use: of a value alone, or nil for those that compare with an argument.
var tests = map[string]predicate{
	"defined":   func(v value) bool { _, missing := v.(undefined); return !missing },
	"undefined": func(v value) bool { _, missing := v.(undefined); return missing },
	"none":      func(v value) bool { return v == nil },
	"true":      func(v value) bool { return v == true },
	"false":     func(v value) bool { return v == false },
	"boolean":   func(v value) bool { _, ok := v.(bool); return ok },
	"integer":   func(v value) bool { _, ok := v.(int64); return ok },
	"float":     func(v value) bool { _, ok := v.(float64); return ok },
	"number":    func(v value) bool { _, _, _, ok := number(v); return ok },
	"string":    func(v value) bool { _, ok := v.(string); return ok },
	"mapping":   func(v value) bool { _, ok := v.(*Dict); return ok },
	"callable":  func(v value) bool { _, ok := v.(function); return ok },
	"iterable":  func(v value) bool { _, err := items(v); return err == nil },
	"sequence": func(v value) bool {
		_, err := length(v)
		return err == nil
	},
	"lower": func(v value) bool {
		s := toString(v)
		return strings.ToLower(s) == s && strings.ContainsFunc(s, unicode.IsLetter)
	},
	"upper": func(v value) bool {
		s := toString(v)
		return strings.ToUpper(s) == s && strings.ContainsFunc(s, unicode.IsLetter)
	},

	"odd": nil, "even": nil, "divisibleby": nil, "in": nil, "sameas": nil, "filter": nil, "test": nil,
	"eq": nil, "equalto": nil, "ne": nil, "lt": nil, "lessthan": nil, "le": nil, "gt": nil, "greaterthan": nil, "ge": nil,
}

// test tells whether v is name(args).
func (r *renderer) test(name string, v value, args []value) (bool, error) {
	if err := r.spendOn(v); err != nil {
		return false, err
	}
	if p := tests[name]; p != nil {
		if len(args) > 0 {
			return false, fmt.Errorf("takes no argument")
		}
		return p(v), nil
	}
	if name == "odd" || name == "even" {
		rest, err := r.arithmetic("%", v, int64(2))
		if err != nil {
			return false, err
		}
		want := map[string]int64{"odd": 1, "even": 0}[name]
		return equal(rest, want), nil
	}
	if len(args) != 1 {
		return false, fmt.Errorf("takes one argument, not %d", len(args))
	}
	switch name {
	case "divisibleby":
		rest, err := r.arithmetic("%", v, args[0])
		return !truthy(rest), err
	case "in":
		return contains(args[0], v)
	case "sameas":
		return typeName(v) == typeName(args[0]) && equal(v, args[0]), nil
	case "filter":
		s, _ := args[0].(string)
		_, ok := filters[s]
		return ok, nil
	case "test":
		s, _ := args[0].(string)
		_, ok := tests[s]
		return ok, nil
	}
	op := map[string]string{"eq": "==", "equalto": "==", "ne": "!=", "lt": "<", "lessthan": "<", "le": "<=", "gt": ">",
		"greaterthan": ">", "ge": ">="}[name]
	return holds(op, v, args[0])
}
