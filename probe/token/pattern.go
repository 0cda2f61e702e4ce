package token

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The published split patterns, as they stand in tokenizer.json files. They are told apart by their text alone.
const (
	contractions = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	// whitespaceTail ends most patterns: a run of white space, less its last character when a word follows.
	whitespaceTail = `|\s+(?!\S)|\s+`

	patternGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+` + whitespaceTail
	// Llama-3, GPT-4 (cl100k), OLMo-2: numbers in groups of three.
	patternLlama3 = contractions + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+` + whitespaceTail
	// The same in the possessive spelling of the cl100k release.
	patternCL100K = `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]` + whitespaceTail
	// Qwen2, Qwen2.5 and Qwen3: every digit alone.
	patternQwen2 = contractions + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+` + whitespaceTail
	// GPT-4o (o200k): words are split where lower case meets upper case.
	patternO200K = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` + contractions + `?` +
		`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*` + contractions + `?` +
		`|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+` + whitespaceTail
	patternCLIP = `<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`
)

// compilePattern returns a hand-written scanner for a known pattern, else a regular expression of Go that matches exactly the
// same, else an error.
func compilePattern(stage, pattern string) (matcher, error) {
	switch pattern {
	case patternGPT2:
		return scanner(scanGPT2), nil
	case patternLlama3, patternCL100K:
		return scanner(cl100k{digits: 3}.scan), nil
	case patternQwen2:
		return scanner(cl100k{digits: 1}.scan), nil
	case patternO200K:
		return scanner(scanO200K), nil
	case patternCLIP:
		return scanner(scanCLIP), nil
	}
	head, tail := strings.CutSuffix(pattern, whitespaceTail)
	translated, err := translate(head)
	if err != nil {
		return nil, fmt.Errorf("token: %s: pattern %q: %w", stage, pattern, err)
	}
	if tail {
		re, err := regexp.Compile(`\A(?:` + translated + `)`)
		if err != nil {
			return nil, fmt.Errorf("token: %s: pattern %q: %w", stage, pattern, err)
		}
		if re.MatchString("") {
			return nil, fmt.Errorf("token: %s: pattern %q matches the empty text: %w", stage, pattern, ErrUnsupported)
		}
		return headAndSpace{re}, nil
	}
	re, err := regexp.Compile(translated)
	if err != nil {
		return nil, fmt.Errorf("token: %s: pattern %q: %w", stage, pattern, err)
	}
	return expression{re}, nil
}

// expression matches a regular expression of Go.
type expression struct{ re *regexp.Regexp }

func (e expression) each(text string, visit func(lo, hi int)) {
	for _, m := range e.re.FindAllStringIndex(text, -1) {
		visit(m[0], m[1])
	}
}

// headAndSpace matches a pattern that ends in whitespaceTail, which Go's regular expressions cannot say: at each place head is
// tried first, then white space.
type headAndSpace struct{ head *regexp.Regexp }

func (h headAndSpace) each(text string, visit func(lo, hi int)) {
	scanner(func(text string, i int) int {
		if m := h.head.FindStringIndex(text[i:]); m != nil {
			return i + m[1]
		}
		return scanSpace(text, i)
	}).each(text, visit)
}

// scanSpace is \s+(?!\S)|\s+.
func scanSpace(text string, i int) int {
	end := runOf(text, i, isSpace)
	if end == len(text) || end == i {
		return end
	}
	_, last := utf8.DecodeLastRuneInString(text[:end])
	if end-last > i {
		return end - last
	}
	return end
}
