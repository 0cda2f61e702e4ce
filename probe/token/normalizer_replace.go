package token

import (
	"encoding/json"
	"fmt"
)

// patternJSON is how tokenizer.json writes a pattern: a literal string or a regular expression.
type patternJSON struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

// matcher returns what the pattern matches.
func (p patternJSON) matcher(stage string) (matcher, error) {
	switch {
	case p.String != nil && p.Regex == nil && *p.String != "":
		return literal(*p.String), nil
	case p.Regex != nil && p.String == nil:
		return compilePattern(stage, *p.Regex)
	}
	return nil, fmt.Errorf("token: %s: a pattern must have either a String that is not empty or a Regex", stage)
}

// replace puts content in the place of every match. It is a normalizer and a decoder.
type replace struct {
	pattern matcher
	content string
}

func parseReplace(stage string, raw json.RawMessage) (*replace, error) {
	var c struct {
		header
		Pattern patternJSON `json:"pattern"`
		Content string      `json:"content"`
	}
	if err := decode(stage, "Replace", raw, &c); err != nil {
		return nil, err
	}
	m, err := c.Pattern.matcher(stage + " Replace")
	if err != nil {
		return nil, err
	}
	return &replace{pattern: m, content: c.Content}, nil
}

// normalize maps all of content to the last character that it replaces.
func (n *replace) normalize(p piece) piece {
	var w *rewriter
	n.pattern.each(p.text, func(lo, hi int) {
		if w == nil {
			w = newRewriter(p)
		}
		w.keepTo(lo)
		w.next = hi
		for _, r := range n.content {
			w.insert(r)
		}
	})
	if w == nil {
		return p
	}
	w.keepTo(len(p.text))
	return w.piece()
}

func (n *replace) decode(tokens []string) []string {
	for i, token := range tokens {
		var out []byte
		end := 0
		n.pattern.each(token, func(lo, hi int) {
			out = append(out, token[end:lo]...)
			out = append(out, n.content...)
			end = hi
		})
		if out != nil || end > 0 {
			tokens[i] = string(out) + token[end:]
		}
	}
	return tokens
}
