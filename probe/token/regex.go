package token

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// translate rewrites a regular expression of Oniguruma (Ruby syntax, the dialect of tokenizer.json) for Go's regexp package, so
// that it matches exactly the same. Both prefer the leftmost match and the first alternative; what differs is Unicode in \s, \w
// and \d, and what RE2 cannot say. Whatever is not known to be equal is an error.
func translate(pattern string) (string, error) {
	t := translator{in: pattern}
	for t.pos < len(t.in) {
		if err := t.next(); err != nil {
			return "", err
		}
	}
	return t.out.String(), nil
}

type translator struct {
	in         string
	pos        int
	out        strings.Builder
	quantified bool // the last thing written was a quantifier
}

func (t *translator) reject(what string) error {
	return fmt.Errorf("%s at byte %d: %w in Go's regular expressions; a scanner for this pattern has to be written", what, t.pos, ErrUnsupported)
}

// next translates one element.
func (t *translator) next() error {
	c := t.in[t.pos]
	quantified := t.quantified
	t.quantified = false
	switch c {
	case '^', '$':
		return t.reject("anchor")
	case ']', '}':
		return t.reject("stray bracket")
	case '*', '+', '?', '{':
		if quantified {
			return t.reject("possessive or nested quantifier")
		}
		return t.quantifier()
	case '(':
		return t.group()
	case '[':
		return t.class()
	case ')', '|', '.':
		t.out.WriteByte(c)
		t.pos++
		return nil
	case '\\':
		set, err := t.escape()
		if err != nil {
			return err
		}
		if set.literal() {
			t.out.WriteString(regexp.QuoteMeta(string(set.first)))
			return nil
		}
		t.out.WriteString(set.class())
		return nil
	}
	r, n := utf8.DecodeRuneInString(t.in[t.pos:])
	t.out.WriteString(regexp.QuoteMeta(string(r)))
	t.pos += n
	return nil
}

var counted = regexp.MustCompile(`^\{[0-9]{1,3}(,[0-9]{0,3})?\}`)

func (t *translator) quantifier() error {
	q := t.in[t.pos : t.pos+1]
	if q == "{" {
		if q = counted.FindString(t.in[t.pos:]); q == "" {
			return t.reject("curly bracket")
		}
	}
	end := t.pos + len(q)
	if end < len(t.in) && t.in[end] == '?' {
		if q[0] == '{' && !strings.Contains(q, ",") {
			return t.reject("optional repetition")
		}
		q += "?"
	}
	t.out.WriteString(q)
	t.pos += len(q)
	t.quantified = true
	return nil
}

func (t *translator) group() error {
	rest := t.in[t.pos:]
	switch {
	case strings.HasPrefix(rest, contractions):
		// Folding differs between the engines only for letters that these words do not have.
		t.out.WriteString(contractions)
		t.pos += len(contractions)
	case strings.HasPrefix(rest, "(?:"):
		t.out.WriteString("(?:")
		t.pos += 3
	case strings.HasPrefix(rest, "(?"):
		return t.reject("group " + rest[:min(4, len(rest))])
	default:
		t.out.WriteString("(?:")
		t.pos++
	}
	return nil
}

func (t *translator) class() error {
	t.pos++
	open := "["
	if strings.HasPrefix(t.in[t.pos:], "^") {
		open = "[^"
		t.pos++
	}
	t.out.WriteString(open)
	for first := true; ; first = false {
		if t.pos >= len(t.in) {
			return t.reject("class without end")
		}
		switch c := t.in[t.pos]; {
		case c == ']' && first:
			return t.reject("class that begins with ]")
		case c == ']':
			t.out.WriteByte(']')
			t.pos++
			return nil
		case c == '[':
			return t.reject("class in a class")
		case strings.HasPrefix(t.in[t.pos:], "&&"):
			return t.reject("intersection of classes")
		}
		lo, err := t.classItem()
		if err != nil {
			return err
		}
		if !lo.literal() {
			if lo.negated {
				return t.reject("negated class in a class")
			}
			t.out.WriteString(lo.ranges)
			continue
		}
		t.out.WriteString(quoteInClass(lo.first))
		rest := t.in[t.pos:]
		if len(rest) >= 2 && rest[0] == '-' && rest[1] != ']' {
			t.pos++
			hi, err := t.classItem()
			if err != nil {
				return err
			}
			if !hi.literal() {
				return t.reject("range to a class")
			}
			t.out.WriteString("-" + quoteInClass(hi.first))
		}
	}
}

func (t *translator) classItem() (charSet, error) {
	if t.in[t.pos] == '\\' {
		return t.escape()
	}
	r, n := utf8.DecodeRuneInString(t.in[t.pos:])
	t.pos += n
	return charSet{first: r}, nil
}

// charSet is what an escape stands for: one character, or the ranges of a class.
type charSet struct {
	first   rune
	ranges  string // inside of a class
	negated bool
}

func (s charSet) literal() bool { return s.ranges == "" }

func (s charSet) class() string {
	if s.negated {
		return "[^" + s.ranges + "]"
	}
	return "[" + s.ranges + "]"
}

// The inside of Unicode-aware classes. A word also has the letter-like symbols that are alphabetic by property only and, as
// Oniguruma has it, the other numbers of Latin-1.
const (
	spaceRanges = `\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}`
	wordSymbols = `\p{Nl}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}`
)

// categoryRanges returns the inside of a class for a general category, with the code points that Go's tables lack.
func categoryRanges(name string) (string, bool) {
	var extra []*unicode.RangeTable
	switch name {
	case "L":
		extra = []*unicode.RangeTable{extraLetter}
	case "N":
		extra = []*unicode.RangeTable{extraNumber}
	case "M":
		extra = []*unicode.RangeTable{extraMark}
	case "Lu":
		extra = []*unicode.RangeTable{extraUpper}
	case "Ll":
		extra = []*unicode.RangeTable{extraLower}
	case "Lt":
	case "Lm":
		extra = []*unicode.RangeTable{extraLm}
	case "Lo":
		extra = []*unicode.RangeTable{extraLo}
	case "Nd":
		extra = []*unicode.RangeTable{extraNd}
	case "P":
		extra = []*unicode.RangeTable{extraP}
	case "S":
		extra = []*unicode.RangeTable{extraS}
	default:
		return "", false
	}
	ranges := `\p{` + name + `}`
	for _, table := range extra {
		for _, r := range table.R32 {
			ranges += fmt.Sprintf(`\x{%X}-\x{%X}`, r.Lo, r.Hi)
		}
	}
	return ranges, true
}

// escape reads a backslash and what belongs to it.
func (t *translator) escape() (charSet, error) {
	if t.pos+1 >= len(t.in) {
		return charSet{}, t.reject("lone backslash")
	}
	c := t.in[t.pos+1]
	category := func(names ...string) (ranges string) {
		for _, name := range names {
			r, _ := categoryRanges(name)
			ranges += r
		}
		return ranges
	}
	set := charSet{negated: c == 'S' || c == 'D' || c == 'W' || c == 'P'}
	switch c {
	case 's', 'S':
		set.ranges = spaceRanges
	case 'd', 'D':
		set.ranges = category("Nd")
	case 'w', 'W':
		set.ranges = category("L", "M", "Nd") + wordSymbols
	case 'p', 'P':
		body, opened := strings.CutPrefix(t.in[t.pos+2:], "{")
		if !opened {
			return charSet{}, t.reject("property without brackets")
		}
		name, _, closed := strings.Cut(body, "}")
		ranges, known := categoryRanges(name)
		if !known || !closed {
			return charSet{}, t.reject("property " + name)
		}
		set.ranges = ranges
		t.pos += len(`\p{}`) + len(name)
		return set, nil
	case 'n':
		set.first = '\n'
	case 'r':
		set.first = '\r'
	case 't':
		set.first = '\t'
	case 'f':
		set.first = '\f'
	case 'v':
		set.first = '\v'
	case 'u':
		code, err := strconv.ParseUint(t.in[t.pos+2:min(t.pos+6, len(t.in))], 16, 32)
		if err != nil || t.pos+6 > len(t.in) || !utf8.ValidRune(rune(code)) {
			return charSet{}, t.reject("\\u without four hexadecimal digits")
		}
		set.first = rune(code)
		t.pos += 4
	default:
		if c >= utf8.RuneSelf || isLetter(rune(c)) || isNumber(rune(c)) {
			return charSet{}, t.reject("escape \\" + string(rune(c)))
		}
		set.first = rune(c)
	}
	t.pos += 2
	return set, nil
}

// quoteInClass writes a character inside a class.
func quoteInClass(r rune) string { return fmt.Sprintf(`\x{%X}`, r) }
