package jinja

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	text       kind = iota // template text outside tags
	blockOpen              // {%
	blockEnd               // %}
	outputOpen             // {{
	outputEnd              // }}
	name
	stringLit
	intLit
	floatLit
	operator
	end
)

// tok is a lexical token. For string literals text is the value, for everything else the source.
type tok struct {
	kind kind
	text string
	line int
}

// lexer cuts a template into tokens, with block trimming and left-stripping on.
type lexer struct {
	src   string
	pos   int
	line  int
	out   []tok
	lined bool // the last tag took the line break after it, or nothing came before
}

var (
	newlines = regexp.MustCompile(`\r\n|\r`)
	rawOpen  = regexp.MustCompile(`^\{%([-+]?)\s*raw\s*(-%\}\s*|%\})`)
	rawEnd   = regexp.MustCompile(`\{%([-+]?)\s*endraw\s*(\+%\}|-%\}\s*|%\}\n?)`)
	floats   = regexp.MustCompile(`^[0-9](_?[0-9])*((\.[0-9](_?[0-9])*)([eE][+-]?[0-9](_?[0-9])*)?|[eE][+-]?[0-9](_?[0-9])*)`)
	integers = regexp.MustCompile(`^(0[bB](_?[01])+|0[oO](_?[0-7])+|0[xX](_?[0-9a-fA-F])+|[1-9](_?[0-9])*|0(_?0)*)`)
)

func lex(src string) ([]tok, error) {
	src = newlines.ReplaceAllString(src, "\n")
	src = strings.TrimSuffix(src, "\n")
	l := &lexer{src: src, line: 1, lined: true}
	for l.pos < len(l.src) {
		if err := l.next(); err != nil {
			return nil, err
		}
	}
	l.emit(end, "")
	return l.out, nil
}

func (l *lexer) emit(k kind, text string) { l.out = append(l.out, tok{k, text, l.line}) }

// advance moves past n bytes of source.
func (l *lexer) advance(n int) string {
	s := l.src[l.pos : l.pos+n]
	l.pos += n
	l.line += strings.Count(s, "\n")
	if s != "" {
		l.lined = s[len(s)-1] == '\n'
	}
	return s
}

func (l *lexer) fail(format string, args ...any) error {
	return fmt.Errorf("jinja: line %d: %s", l.line, fmt.Sprintf(format, args...))
}

// next reads text up to a tag, and the tag.
func (l *lexer) next() error {
	rest := l.src[l.pos:]
	open := -1
	for i := 0; i+1 < len(rest); i++ {
		if rest[i] == '{' && (rest[i+1] == '{' || rest[i+1] == '%' || rest[i+1] == '#') {
			open = i
			break
		}
	}
	if open < 0 {
		l.data(l.advance(len(rest)))
		return nil
	}
	sign := byte(0)
	if open+2 < len(rest) {
		sign = rest[open+2]
	}
	before := rest[:open]
	switch {
	case sign == '-':
		before = strings.TrimRightFunc(before, unicode.IsSpace)
	case sign != '+' && rest[open+1] != '{':
		before = l.leftStrip(before)
	}
	l.data(before)
	l.advance(open)
	tag := l.src[l.pos:]
	if m := rawOpen.FindString(tag); m != "" {
		return l.raw(m)
	}
	size := 2
	if sign == '-' || sign == '+' {
		size = 3
	}
	switch tag[1] {
	case '#':
		return l.comment(tag)
	case '%':
		l.advance(size)
		l.emit(blockOpen, "")
		return l.inside(blockEnd)
	}
	l.advance(size)
	l.emit(outputOpen, "")
	return l.inside(outputEnd)
}

// leftStrip drops white space between the last line break and a tag.
func (l *lexer) leftStrip(before string) string {
	line := strings.LastIndexByte(before, '\n') + 1
	if (line > 0 || l.lined) && strings.TrimSpace(before[line:]) == "" {
		return before[:line]
	}
	return before
}

func (l *lexer) data(s string) {
	if s != "" {
		l.emit(text, s)
	}
}

func (l *lexer) comment(tag string) error {
	i := strings.Index(tag[2:], "#}")
	if i < 0 {
		return l.fail("a comment without end")
	}
	n := 2 + i + 2
	l.advance(n + l.trimmed(tag[n-3], tag[n:]))
	return nil
}

// trimmed returns how much of the text behind a tag goes with it, given the character before the closing bracket.
func (l *lexer) trimmed(sign byte, rest string) int {
	switch {
	case sign == '-':
		return len(rest) - len(strings.TrimLeftFunc(rest, unicode.IsSpace))
	case sign != '+' && strings.HasPrefix(rest, "\n"):
		return 1
	}
	return 0
}

func (l *lexer) raw(open string) error {
	l.advance(len(open))
	rest := l.src[l.pos:]
	m := rawEnd.FindStringSubmatchIndex(rest)
	if m == nil {
		return l.fail("raw without endraw")
	}
	body := rest[:m[0]]
	switch rest[m[2]:m[3]] {
	case "-":
		body = strings.TrimRightFunc(body, unicode.IsSpace)
	case "":
		body = l.leftStrip(body)
	}
	l.data(body)
	l.advance(m[1])
	return nil
}

// inside reads the tokens of a tag up to its end.
func (l *lexer) inside(closing kind) error {
	bracket := "%}"
	if closing == outputEnd {
		bracket = "}}"
	}
	var open []byte // brackets to be closed
	for {
		for l.pos < len(l.src) {
			r, n := utf8.DecodeRuneInString(l.src[l.pos:])
			if !unicode.IsSpace(r) {
				break
			}
			l.advance(n)
		}
		rest := l.src[l.pos:]
		if rest == "" {
			return l.fail("a tag without end")
		}
		if len(open) == 0 {
			sign, n := byte(0), 0
			if rest[0] == '-' || rest[0] == '+' && closing == blockEnd {
				sign, n = rest[0], 1
			}
			if strings.HasPrefix(rest[n:], bracket) {
				l.emit(closing, "")
				n += 2
				if closing == blockEnd || sign == '-' {
					n += l.trimmed(sign, rest[n:])
				}
				l.advance(n)
				return nil
			}
		}
		if err := l.token(rest, &open); err != nil {
			return err
		}
	}
}

// operators, longest first.
var operators = []string{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=",
	".", ":", "|", ",", ";"}

func (l *lexer) token(rest string, open *[]byte) error {
	if m := floats.FindString(rest); m != "" {
		l.emit(floatLit, l.advance(len(m)))
		return nil
	}
	if m := integers.FindString(rest); m != "" {
		l.emit(intLit, l.advance(len(m)))
		return nil
	}
	if r, _ := utf8.DecodeRuneInString(rest); r == '_' || unicode.IsLetter(r) {
		n := strings.IndexFunc(rest, func(r rune) bool {
			return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
		})
		if n < 0 {
			n = len(rest)
		}
		l.emit(name, l.advance(n))
		return nil
	}
	if rest[0] == '\'' || rest[0] == '"' {
		return l.stringLiteral(rest)
	}
	for _, op := range operators {
		if !strings.HasPrefix(rest, op) {
			continue
		}
		switch op {
		case "(":
			*open = append(*open, ')')
		case "[":
			*open = append(*open, ']')
		case "{":
			*open = append(*open, '}')
		case ")", "]", "}":
			n := len(*open)
			if n == 0 || (*open)[n-1] != op[0] {
				return l.fail("unexpected %q", op)
			}
			*open = (*open)[:n-1]
		}
		l.emit(operator, op)
		l.advance(len(op))
		return nil
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return l.fail("unexpected character %q", r)
}

func (l *lexer) stringLiteral(rest string) error {
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case rest[0]:
			s, err := unescape(rest[1:i])
			if err != nil {
				return l.fail("string: %v", err)
			}
			l.emit(stringLit, s)
			l.advance(i + 1)
			return nil
		}
	}
	return l.fail("a string without end")
}

// unescape reads the backslash escapes of Python's string literals. An unknown escape stands for itself.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	simple := map[byte]string{'\n': "", '\\': `\`, '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if to, ok := simple[s[i]]; ok {
			b.WriteString(to)
			continue
		}
		if n, ok := digits[s[i]]; ok {
			if i+1+n > len(s) {
				return "", fmt.Errorf("escape \\%c is cut off", s[i])
			}
			code, err := strconv.ParseUint(s[i+1:i+1+n], 16, 32)
			if err != nil || !utf8.ValidRune(rune(code)) {
				return "", fmt.Errorf("escape \\%s", s[i:i+1+n])
			}
			b.WriteRune(rune(code))
			i += n
			continue
		}
		if '0' <= s[i] && s[i] <= '7' {
			n := 1
			for n < 3 && i+n < len(s) && '0' <= s[i+n] && s[i+n] <= '7' {
				n++
			}
			code, _ := strconv.ParseUint(s[i:i+n], 8, 32)
			b.WriteRune(rune(code))
			i += n - 1
			continue
		}
		b.WriteByte('\\')
		b.WriteByte(s[i])
	}
	return b.String(), nil
}
