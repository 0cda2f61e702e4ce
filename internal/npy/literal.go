package npy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// literal reads Python literals from the front of a text.
type literal struct{ rest string }

func (p *literal) accept(token string) bool {
	trimmed := strings.TrimLeft(p.rest, " \t\r\n")
	rest, ok := strings.CutPrefix(trimmed, token)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *literal) expect(token string) error {
	if !p.accept(token) {
		return fmt.Errorf("%q should begin with %q", shorten(p.rest), token)
	}
	return nil
}

// text reads a quoted text without escapes.
func (p *literal) text() (string, error) {
	for _, quote := range []string{"'", `"`} {
		if !p.accept(quote) {
			continue
		}
		text, rest, ok := strings.Cut(p.rest, quote)
		if !ok || strings.ContainsAny(text, "\\\n") || !utf8.ValidString(text) {
			return "", fmt.Errorf("%q is no plain text", shorten(p.rest))
		}
		p.rest = rest
		return text, nil
	}
	return "", fmt.Errorf("%q should begin with a quoted text", shorten(p.rest))
}

func (p *literal) truth() (bool, error) {
	if p.accept("True") {
		return true, nil
	}
	return false, p.expect("False")
}

// tuple reads a tuple of non-negative integers: (), (3,) or (2, 3).
func (p *literal) tuple() ([]int, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	values := []int{}
	for !p.accept(")") {
		p.rest = strings.TrimLeft(p.rest, " \t\r\n")
		end := strings.IndexFunc(p.rest, func(r rune) bool { return r < '0' || r > '9' })
		if end <= 0 {
			return nil, fmt.Errorf("%q should begin with a number of at least 0", shorten(p.rest))
		}
		v, err := strconv.Atoi(p.rest[:end])
		if err != nil {
			return nil, fmt.Errorf("the dimension %s is too large", shorten(p.rest[:end]))
		}
		values = append(values, v)
		p.rest = strings.TrimPrefix(p.rest[end:], "L") // Python 2 wrote 3L
		if !p.accept(",") {
			if len(values) == 1 {
				return nil, errors.New("(n) is no tuple; (n,) is")
			}
			return values, p.expect(")")
		}
	}
	return values, nil
}
