package jinja

import (
	"slices"
	"strconv"
	"strings"
)

// expression is a node that has a value.
type expression interface {
	eval(r *renderer) (value, error)
}

type (
	constNode struct{ v value }
	nameNode  string
	listNode  []expression
	tupleNode []expression
	dictNode  [][2]expression
	attrNode  struct {
		of   expression
		name string
	}
	indexNode struct{ of, at expression }
	sliceNode struct {
		of       expression
		from, to expression // nil: open
		step     expression
	}
	callNode struct {
		fn     expression
		args   []expression
		kwargs []keyword
	}
	filterNode struct {
		input  expression
		name   string
		args   []expression
		kwargs []keyword
	}
	testNode struct {
		input  expression
		name   string
		args   []expression
		negate bool
	}
	unaryNode struct {
		op string
		of expression
	}
	binaryNode struct {
		op          string
		left, right expression
	}
	// compareNode is a chain: a < b <= c.
	compareNode struct {
		first expression
		ops   []string
		rest  []expression
	}
	condNode struct{ then, cond, otherwise expression }
	// capturedNode is the text of a block assignment.
	capturedNode struct{}
)

type keyword struct {
	name  string
	value expression
}

// expression reads: or [if or [else expression]].
func (p *parser) expression() (expression, error) {
	leave, err := p.deeper()
	if err != nil {
		return nil, err
	}
	defer leave()
	e, err := p.or()
	for err == nil && p.accept("if") {
		n := condNode{then: e}
		if n.cond, err = p.or(); err != nil {
			return nil, err
		}
		if p.accept("else") {
			if n.otherwise, err = p.expression(); err != nil {
				return nil, err
			}
		}
		e = n
	}
	return e, err
}

// tuple reads expressions with commas between them: a tuple, or the only one.
func (p *parser) tuple() (expression, error) { return p.tupleOf(p.expression) }

func (p *parser) tupleOf(element func() (expression, error)) (expression, error) {
	first, err := element()
	if err != nil || !p.is(",") {
		return first, err
	}
	all := tupleNode{first}
	for p.accept(",") {
		if k := p.now().kind; k == blockEnd || k == outputEnd || p.is(")") {
			break
		}
		e, err := element()
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// chain reads a left-associative run of operators.
func (p *parser) chain(element func() (expression, error), ops ...string) (expression, error) {
	left, err := element()
	for err == nil && slices.ContainsFunc(ops, p.is) {
		op := p.next().text
		var right expression
		if right, err = element(); err == nil {
			left = binaryNode{op, left, right}
		}
	}
	return left, err
}

func (p *parser) or() (expression, error)  { return p.chain(p.and, "or") }
func (p *parser) and() (expression, error) { return p.chain(p.not, "and") }

func (p *parser) not() (expression, error) {
	if !p.accept("not") {
		return p.comparison()
	}
	leave, err := p.deeper()
	if err != nil {
		return nil, err
	}
	defer leave()
	e, err := p.not()
	return unaryNode{"not", e}, err
}

func (p *parser) comparison() (expression, error) {
	first, err := p.sum()
	if err != nil {
		return nil, err
	}
	n := compareNode{first: first}
	for {
		op := ""
		switch t := p.now(); {
		case t.kind == operator && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, t.text), p.is("in"):
			op = p.next().text
		case p.is("not") && p.toks[p.pos+1].kind == name && p.toks[p.pos+1].text == "in":
			p.pos += 2
			op = "not in"
		}
		if op == "" {
			if len(n.ops) == 0 {
				return first, nil
			}
			return n, nil
		}
		e, err := p.sum()
		if err != nil {
			return nil, err
		}
		n.ops, n.rest = append(n.ops, op), append(n.rest, e)
	}
}

func (p *parser) sum() (expression, error)     { return p.chain(p.concat, "+", "-") }
func (p *parser) concat() (expression, error)  { return p.chain(p.product, "~") }
func (p *parser) product() (expression, error) { return p.chain(p.power, "*", "/", "//", "%") }
func (p *parser) power() (expression, error) {
	return p.chain(func() (expression, error) { return p.unary(true) }, "**")
}

func (p *parser) unary(withFilter bool) (expression, error) {
	leave, err := p.deeper()
	if err != nil {
		return nil, err
	}
	defer leave()
	var e expression
	if t := p.now(); t.kind == operator && (t.text == "-" || t.text == "+") {
		p.pos++
		if e, err = p.unary(false); err == nil {
			e = unaryNode{t.text, e}
		}
	} else {
		e, err = p.primary()
	}
	if err == nil {
		e, err = p.postfix(e)
	}
	if err == nil && withFilter {
		e, err = p.filters(e)
	}
	return e, err
}

func (p *parser) primary() (expression, error) {
	t := p.next()
	switch {
	case t.kind == name:
		switch t.text {
		case "true", "True":
			return constNode{true}, nil
		case "false", "False":
			return constNode{false}, nil
		case "none", "None":
			return constNode{nil}, nil
		}
		return nameNode(t.text), nil
	case t.kind == stringLit:
		s := t.text
		for p.now().kind == stringLit {
			s += p.next().text
		}
		return constNode{s}, nil
	case t.kind == intLit:
		i, err := strconv.ParseInt(strings.ReplaceAll(t.text, "_", ""), 0, 64)
		if err != nil {
			return nil, p.fail("number %s: %v", t.text, err)
		}
		return constNode{i}, nil
	case t.kind == floatLit:
		f, err := strconv.ParseFloat(strings.ReplaceAll(t.text, "_", ""), 64)
		if err != nil {
			return nil, p.fail("number %s: %v", t.text, err)
		}
		return constNode{f}, nil
	case t.kind == operator && t.text == "(":
		if p.accept(")") {
			return tupleNode{}, nil
		}
		e, err := p.tuple()
		if err != nil {
			return nil, err
		}
		return e, p.expect(")")
	case t.kind == operator && t.text == "[":
		all, err := p.series("]")
		return listNode(all), err
	case t.kind == operator && t.text == "{":
		return p.dict()
	}
	return nil, p.fail("unexpected %q", t.text)
}

// series reads expressions with commas between them up to a closing bracket.
func (p *parser) series(closing string) ([]expression, error) {
	var all []expression
	for !p.accept(closing) {
		if len(all) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
			if p.accept(closing) {
				break
			}
		}
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func (p *parser) dict() (expression, error) {
	var n dictNode
	for !p.accept("}") {
		if len(n) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
			if p.accept("}") {
				break
			}
		}
		k, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.expect(":"); err != nil {
			return nil, err
		}
		v, err := p.expression()
		if err != nil {
			return nil, err
		}
		n = append(n, [2]expression{k, v})
	}
	return n, nil
}

// postfix reads attributes, subscripts and calls.
func (p *parser) postfix(e expression) (expression, error) {
	for {
		switch {
		case p.accept("."):
			t := p.next()
			switch t.kind {
			case name:
				e = attrNode{e, t.text}
			case intLit:
				i, err := strconv.ParseInt(t.text, 10, 64)
				if err != nil {
					return nil, p.fail("number %s: %v", t.text, err)
				}
				e = indexNode{e, constNode{i}}
			default:
				return nil, p.fail("expected a name after the dot, not %q", t.text)
			}
		case p.accept("["):
			var err error
			if e, err = p.subscript(e); err != nil {
				return nil, err
			}
		case p.is("("):
			n := callNode{fn: e}
			var err error
			if n.args, n.kwargs, err = p.arguments(); err != nil {
				return nil, err
			}
			e = n
		default:
			return e, nil
		}
	}
}

func (p *parser) subscript(of expression) (expression, error) {
	var parts [3]expression
	colons := 0
	for !p.accept("]") {
		if p.accept(":") {
			if colons++; colons > 2 {
				return nil, p.fail("a slice with more than two colons")
			}
			continue
		}
		if parts[colons] != nil {
			return nil, p.fail("expected ], not %q", p.now().text)
		}
		var err error
		if parts[colons], err = p.expression(); err != nil {
			return nil, err
		}
	}
	if colons > 0 {
		return sliceNode{of, parts[0], parts[1], parts[2]}, nil
	}
	if parts[0] == nil {
		return nil, p.fail("an empty subscript")
	}
	return indexNode{of, parts[0]}, nil
}

func (p *parser) arguments() (args []expression, kwargs []keyword, err error) {
	if err := p.expect("("); err != nil {
		return nil, nil, err
	}
	for first := true; !p.accept(")"); first = false {
		if !first {
			if err := p.expect(","); err != nil {
				return nil, nil, err
			}
			if p.accept(")") {
				break
			}
		}
		if p.is("*") || p.is("**") {
			return nil, nil, p.fail("unpacked arguments are not supported")
		}
		if t, after := p.now(), p.toks[min(p.pos+1, len(p.toks)-1)]; t.kind == name && after.kind == operator && after.text == "=" {
			p.pos += 2
			v, err := p.expression()
			if err != nil {
				return nil, nil, err
			}
			kwargs = append(kwargs, keyword{t.text, v})
			continue
		}
		if len(kwargs) > 0 {
			return nil, nil, p.fail("an argument without a name after one with a name")
		}
		e, err := p.expression()
		if err != nil {
			return nil, nil, err
		}
		args = append(args, e)
	}
	return args, kwargs, nil
}

// filters reads | filter and is test.
func (p *parser) filters(e expression) (expression, error) {
	for {
		switch {
		case p.accept("|"):
			word, err := p.name()
			if err != nil {
				return nil, err
			}
			n := filterNode{input: e, name: word}
			if _, ok := filters[word]; !ok {
				return nil, p.fail("unknown filter %q", word)
			}
			if p.is("(") {
				if n.args, n.kwargs, err = p.arguments(); err != nil {
					return nil, err
				}
			}
			e = n
		case p.accept("is"):
			n, err := p.test(e)
			if err != nil {
				return nil, err
			}
			e = n
		case p.is("("):
			n := callNode{fn: e}
			var err error
			if n.args, n.kwargs, err = p.arguments(); err != nil {
				return nil, err
			}
			e = n
		default:
			return e, nil
		}
	}
}

func (p *parser) test(input expression) (expression, error) {
	n := testNode{input: input, negate: p.accept("not")}
	var err error
	if n.name, err = p.name(); err != nil {
		return nil, err
	}
	if _, ok := tests[n.name]; !ok {
		return nil, p.fail("unknown test %q", n.name)
	}
	if p.is("(") {
		var kwargs []keyword
		n.args, kwargs, err = p.arguments()
		if err == nil && len(kwargs) > 0 {
			err = p.fail("test %s takes no named arguments", n.name)
		}
		return n, err
	}
	// One argument may stand without brackets: "is divisibleby 3".
	t := p.now()
	starts := t.kind == stringLit || t.kind == intLit || t.kind == floatLit || t.kind == operator && (t.text == "[" || t.text == "{") ||
		t.kind == name && !slices.Contains([]string{"else", "or", "and", "is", "if", "in", "not", "recursive"}, t.text)
	if !starts {
		return n, nil
	}
	arg, err := p.primary()
	if err == nil {
		arg, err = p.postfix(arg)
	}
	n.args = []expression{arg}
	return n, err
}
