package circuits

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// formula is a parsed expression: a number, a token read by logit, prob or logprob, or an operation on others.
type formula struct {
	op    string // number, logit, prob, logprob, exp, log, max, min, neg, +, -, *, /
	value float64
	token string // answer, wrong, or 'text of a literal
	of    []*formula
}

// arguments of each function of a formula.
var formulaFunctions = map[string]int{"logit": 0, "prob": 0, "logprob": 0, "exp": 1, "log": 1, "max": 2, "min": 2}

// maxFormula bounds a formula's length, and so the depth of its tree.
const maxFormula = 2000

// formulaParser is a recursive-descent parser of
//
//	sum     = product { ("+" | "-") product }
//	product = unary { ("*" | "/") unary }
//	unary   = "-" unary | number | "(" sum ")" | function "(" arguments ")"
//	token   = "answer" | "wrong" | 'text' | "text"        the argument of logit, prob and logprob
type formulaParser struct {
	text string
	at   int
}

// parseFormula reads an expression. Errors name the position, counted from 1 in bytes.
func parseFormula(text string) (f *formula, err error) {
	if len(text) > maxFormula {
		return nil, fmt.Errorf("circuits: a formula of %d bytes; at most %d are read", len(text), maxFormula)
	}
	p := &formulaParser{text: text}
	if f, err = p.sum(); err == nil && p.next() != 0 {
		err = p.fail("expected an operator")
	}
	if err == nil && len(f.tokens()) == 0 {
		err = fmt.Errorf("circuits: formula %q names no token, so it is the same for every input; write for example logit(answer) - logit(wrong)", text)
	}
	return f, err
}

// fail is an error at the parser's place.
func (p *formulaParser) fail(what string) error {
	found := "the end"
	if p.next() != 0 {
		found = strconv.Quote(p.text[p.at:min(len(p.text), p.at+10)])
	}
	return fmt.Errorf("circuits: formula %q, position %d: %s, found %s", p.text, p.at+1, what, found)
}

// next skips blanks and returns the byte there, 0 at the end.
func (p *formulaParser) next() byte {
	for p.at < len(p.text) && strings.IndexByte(" \t\n", p.text[p.at]) >= 0 {
		p.at++
	}
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

// take steps over c if it comes next.
func (p *formulaParser) take(c byte) bool {
	if p.next() != c || c == 0 {
		return false
	}
	p.at++
	return true
}

func (p *formulaParser) sum() (*formula, error) { return p.chain("+-", p.product) }

func (p *formulaParser) product() (*formula, error) { return p.chain("*/", p.unary) }

// chain reads terms joined by operators, from the left.
func (p *formulaParser) chain(operators string, term func() (*formula, error)) (*formula, error) {
	left, err := term()
	for err == nil {
		c := p.next()
		if c == 0 || strings.IndexByte(operators, c) < 0 {
			return left, nil
		}
		p.at++
		var right *formula
		if right, err = term(); err == nil {
			left = &formula{op: string(c), of: []*formula{left, right}}
		}
	}
	return nil, err
}

func (p *formulaParser) unary() (*formula, error) {
	if p.take('-') {
		x, err := p.unary()
		return &formula{op: "neg", of: []*formula{x}}, err
	}
	if p.take('(') {
		x, err := p.sum()
		if err == nil && !p.take(')') {
			err = p.fail("expected )")
		}
		return x, err
	}
	if c := p.next(); c >= '0' && c <= '9' || c == '.' {
		return p.number()
	}
	from := p.at
	name := p.word()
	n, ok := formulaFunctions[name]
	if !ok {
		p.at = from
		return nil, p.fail("expected a number, ( or one of exp, log, logit, logprob, max, min, prob")
	}
	if !p.take('(') {
		return nil, p.fail("expected ( after " + name)
	}
	f := &formula{op: name}
	var err error
	if n == 0 {
		f.token, err = p.literal()
	}
	for i := 0; i < n && err == nil; i++ {
		if i > 0 && !p.take(',') {
			return nil, p.fail(fmt.Sprintf("expected , before argument %d of %s", i+1, name))
		}
		var x *formula
		x, err = p.sum()
		f.of = append(f.of, x)
	}
	if err == nil && !p.take(')') {
		err = p.fail("expected ) after the arguments of " + name)
	}
	return f, err
}

// word reads letters.
func (p *formulaParser) word() string {
	p.next()
	from := p.at
	for p.at < len(p.text) && p.text[p.at] >= 'a' && p.text[p.at] <= 'z' {
		p.at++
	}
	return p.text[from:p.at]
}

func (p *formulaParser) number() (*formula, error) {
	from := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		exponent := p.at > from && (p.text[p.at-1] == 'e' || p.text[p.at-1] == 'E')
		if !(c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || exponent && (c == '-' || c == '+')) {
			break
		}
		p.at++
	}
	v, err := strconv.ParseFloat(p.text[from:p.at], 32)
	if err != nil {
		p.at = from
		return nil, p.fail("expected a number that float32 holds")
	}
	return &formula{op: "number", value: v}, nil
}

// literal reads a token: answer, wrong, or a text in single or double quotes, blanks kept and nothing escaped.
func (p *formulaParser) literal() (string, error) {
	quote := p.next()
	if quote != '\'' && quote != '"' {
		from := p.at
		if name := p.word(); name == "answer" || name == "wrong" {
			return name, nil
		}
		p.at = from
		return "", p.fail("expected answer, wrong or a token in quotes")
	}
	end := strings.IndexByte(p.text[p.at+1:], quote)
	if end <= 0 {
		return "", p.fail("expected a token and its closing quote")
	}
	text := p.text[p.at+1 : p.at+1+end]
	p.at += end + 2
	return "'" + text, nil
}

// tokens lists the tokens that the formula names, each once, in order.
func (f *formula) tokens() []string {
	var out []string
	if f.token != "" {
		out = append(out, f.token)
	}
	for _, x := range f.of {
		for _, name := range x.tokens() {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}
