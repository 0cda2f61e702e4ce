package jinja

import (
	"fmt"
	"strings"
)

// maxSource is the longest template in bytes; the longest published ones have some 20 kB.
const maxSource = 1 << 20

// Template is a parsed template. It does not change and may be rendered from many goroutines.
type Template struct {
	body []statement
}

// Parse reads a template. An unknown statement, filter or test is an error here.
func Parse(source string) (*Template, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("jinja: a template of %d bytes; at most %d are read", len(source), maxSource)
	}
	toks, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks}
	body, err := p.statements()
	if err != nil {
		return nil, err
	}
	if p.now().kind != end {
		return nil, p.fail("unexpected %q", p.now().text)
	}
	return &Template{body}, nil
}

type parser struct {
	toks  []tok
	pos   int
	depth int
	loops int // open for loops around this place
}

func (p *parser) now() tok { return p.toks[p.pos] }

func (p *parser) next() tok {
	t := p.toks[p.pos]
	if t.kind != end {
		p.pos++
	}
	return t
}

func (p *parser) fail(format string, args ...any) error {
	return fmt.Errorf("jinja: line %d: %s", p.now().line, fmt.Sprintf(format, args...))
}

// deeper counts nesting; the caller must call the result.
func (p *parser) deeper() (func(), error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail("nested deeper than %d", maxDepth)
	}
	return func() { p.depth-- }, nil
}

// is tells whether the token here is that operator or keyword.
func (p *parser) is(text string) bool {
	t := p.now()
	return (t.kind == operator || t.kind == name) && t.text == text
}

func (p *parser) accept(text string) bool {
	if !p.is(text) {
		return false
	}
	p.pos++
	return true
}

func (p *parser) expect(text string) error {
	if !p.accept(text) {
		return p.fail("expected %q, not %q", text, p.now().text)
	}
	return nil
}

func (p *parser) name() (string, error) {
	if t := p.now(); t.kind != name {
		return "", p.fail("expected a name, not %q", t.text)
	}
	return p.next().text, nil
}

func (p *parser) endBlock() error {
	if p.now().kind != blockEnd {
		return p.fail("expected the end of the tag, not %q", p.now().text)
	}
	p.pos++
	return nil
}

// statements reads up to the end or a block that begins with one of the words, which is left at its word.
func (p *parser) statements(until ...string) ([]statement, error) {
	leave, err := p.deeper()
	if err != nil {
		return nil, err
	}
	defer leave()
	var out []statement
	for {
		switch t := p.next(); t.kind {
		case end:
			if len(until) > 0 {
				return nil, p.fail("the template ends before %s", strings.Join(until, " or "))
			}
			return out, nil
		case text:
			out = append(out, textNode(t.text))
		case outputOpen:
			e, err := p.tuple()
			if err != nil {
				return nil, err
			}
			if p.now().kind != outputEnd {
				return nil, p.fail("expected the end of the tag, not %q", p.now().text)
			}
			p.pos++
			out = append(out, outputNode{e, t.line})
		case blockOpen:
			for _, word := range until {
				if p.is(word) {
					return out, nil
				}
			}
			s, err := p.block(t.line)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
}

// body reads statements up to {% word %} and that tag.
func (p *parser) body(word string) ([]statement, error) {
	if err := p.endBlock(); err != nil {
		return nil, err
	}
	body, err := p.statements(word)
	if err != nil {
		return nil, err
	}
	p.pos++
	return body, p.endBlock()
}

func (p *parser) block(line int) (statement, error) {
	word, err := p.name()
	if err != nil {
		return nil, err
	}
	switch word {
	case "if":
		return p.ifBlock(line)
	case "for":
		return p.forBlock(line)
	case "set":
		return p.setBlock(line)
	case "macro":
		return p.macroBlock()
	case "generation":
		body, err := p.body("endgeneration")
		return scopeNode{body}, err
	case "break", "continue":
		if p.loops == 0 {
			return nil, p.fail("%s outside a loop", word)
		}
		return jumpNode(word), p.endBlock()
	case "include", "import", "from", "extends", "block":
		return nil, p.fail("%s: a chat template stands alone and reads no other", word)
	}
	return nil, p.fail("unknown statement %q", word)
}

func (p *parser) ifBlock(line int) (statement, error) {
	n := ifNode{line: line}
	for {
		cond, err := p.tuple()
		if err != nil {
			return nil, err
		}
		if err := p.endBlock(); err != nil {
			return nil, err
		}
		body, err := p.statements("elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		n.conds, n.bodies = append(n.conds, cond), append(n.bodies, body)
		switch p.next().text {
		case "elif":
			continue
		case "else":
			n.otherwise, err = p.body("endif")
			return n, err
		}
		return n, p.endBlock()
	}
}

func (p *parser) forBlock(line int) (statement, error) {
	n := &forNode{line: line}
	var err error
	if n.target, err = p.targets(); err != nil {
		return nil, err
	}
	if err := p.expect("in"); err != nil {
		return nil, err
	}
	if n.over, err = p.tupleOf(p.or); err != nil {
		return nil, err
	}
	if p.accept("if") {
		if n.cond, err = p.expression(); err != nil {
			return nil, err
		}
	}
	if p.is("recursive") {
		return nil, p.fail("recursive loops are not supported")
	}
	if err := p.endBlock(); err != nil {
		return nil, err
	}
	p.loops++
	n.body, err = p.statements("else", "endfor")
	p.loops--
	if err != nil {
		return nil, err
	}
	if p.next().text == "else" {
		n.otherwise, err = p.body("endfor")
		return n, err
	}
	return n, p.endBlock()
}

// targets reads the names that a loop or an assignment fills.
func (p *parser) targets() ([]string, error) {
	paren := p.accept("(")
	var names []string
	for {
		s, err := p.name()
		if err != nil {
			return nil, err
		}
		names = append(names, s)
		if !p.accept(",") {
			break
		}
	}
	if paren {
		return names, p.expect(")")
	}
	return names, nil
}

func (p *parser) setBlock(line int) (statement, error) {
	n := setNode{line: line}
	var err error
	if n.names, err = p.targets(); err != nil {
		return nil, err
	}
	if len(n.names) == 1 && p.accept(".") {
		if n.attr, err = p.name(); err != nil {
			return nil, err
		}
	}
	if p.accept("=") {
		if n.value, err = p.tuple(); err != nil {
			return nil, err
		}
		return n, p.endBlock()
	}
	var input expression = capturedNode{}
	if input, err = p.filters(input); err != nil {
		return nil, err
	}
	n.value = input
	n.captured, err = p.body("endset")
	n.capture = true
	return n, err
}

func (p *parser) macroBlock() (statement, error) {
	n := &macroNode{}
	var err error
	if n.name, err = p.name(); err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	for !p.accept(")") {
		if len(n.params) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		param, err := p.name()
		if err != nil {
			return nil, err
		}
		var value expression
		if p.accept("=") {
			if value, err = p.expression(); err != nil {
				return nil, err
			}
		}
		n.params, n.defaults = append(n.params, param), append(n.defaults, value)
	}
	loops := p.loops
	p.loops = 0
	n.body, err = p.body("endmacro")
	p.loops = loops
	return n, err
}
