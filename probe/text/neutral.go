package text

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Neutral returns n different sentences about nothing in particular, without words of the suite's concepts: a
// subject, a verb phrase, an object and an ending, drawn by the seed.
func Neutral(seed int64, n int) ([]string, error) {
	body, err := data.ReadFile("data/neutral.txt")
	if err != nil {
		return nil, fmt.Errorf("text: neutral sentences: %w", err)
	}
	sections, err := parseSections(string(body))
	if err != nil {
		return nil, fmt.Errorf("text: neutral sentences: %w", err)
	}
	total := 1
	for _, s := range sections {
		total *= len(s)
	}
	if n < 0 || n > total {
		return nil, fmt.Errorf("text: %d neutral sentences asked for; there are %d different ones: ask for fewer", n, total)
	}
	rng := rand.New(rand.NewPCG(uint64(seed), seededHash(seed, "neutral", "")))
	out := make([]string, n)
	for i, k := range rng.Perm(total)[:n] {
		var parts []string
		for _, s := range sections {
			parts = append(parts, s[k%len(s)])
			k /= len(s)
		}
		out[i] = strings.Join(parts, " ") + "."
	}
	return out, nil
}

// parseSections parses lines below [name] headings.
func parseSections(body string) ([][]string, error) {
	var out [][]string
	for i, line := range strings.Split(body, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			out = append(out, nil)
		case len(out) == 0:
			return nil, fmt.Errorf("line %d: %q stands before the first [section]", i+1, line)
		default:
			out[len(out)-1] = append(out[len(out)-1], line)
		}
	}
	return out, nil
}

// neutralSource is a corpus of neutral sentences.
type neutralSource struct {
	n    int
	seed int64
}

func (s neutralSource) name() string { return fmt.Sprintf("%s:seed %d", KindNeutral, s.seed) }

func (s neutralSource) each(_ context.Context, emit emit) error {
	list, err := Neutral(s.seed, s.n)
	if err != nil {
		return err
	}
	for i, t := range list {
		if !emit(Doc{Source: KindNeutral + "/" + strconv.Itoa(i), Text: t, Group: KindNeutral}) {
			return nil
		}
	}
	return nil
}
