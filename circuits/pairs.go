package circuits

import (
	"errors"
	"fmt"
	"slices"
)

// Pairs is a batch of clean and corrupted inputs of one shape whose tokens stand for each other, and what the model should say
// at each row's last real position.
type Pairs struct {
	Rows, Seq        int
	Clean, Corrupted []int32   // [rows*seq]
	Mask             []int32   // [rows*seq]: 1 for real tokens, padding on either side; nil: all real. It holds for both inputs.
	Answer, Wrong    [][]int32 // per row: tokens that are right on the clean input, and those to compare with
}

// validate checks shapes and answers; vocab is the model's.
func (p *Pairs) validate(vocab int) error {
	n := p.Rows * p.Seq
	switch {
	case p.Rows < 1 || p.Seq < 1:
		return fmt.Errorf("circuits: pairs of %d rows of %d positions", p.Rows, p.Seq)
	case len(p.Clean) != n:
		return fmt.Errorf("circuits: %d clean tokens for %d rows of %d", len(p.Clean), p.Rows, p.Seq)
	case len(p.Corrupted) != n:
		return fmt.Errorf("circuits: clean inputs have %d tokens and corrupted ones %d; every pair needs equal lengths, with tokens that stand for each other", n, len(p.Corrupted))
	case p.Mask != nil && len(p.Mask) != n:
		return fmt.Errorf("circuits: a mask of %d for %d tokens", len(p.Mask), n)
	case p.Answer != nil && len(p.Answer) != p.Rows || p.Wrong != nil && len(p.Wrong) != p.Rows:
		return fmt.Errorf("circuits: %d answers and %d wrong answers for %d rows", len(p.Answer), len(p.Wrong), p.Rows)
	}
	for r := range p.Answer {
		for _, token := range slices.Concat(p.Answer[r], p.wrong(r)) {
			if token < 0 || int(token) >= vocab {
				return fmt.Errorf("circuits: row %d: answer token %d is outside the vocabulary of %d", r, token, vocab)
			}
		}
		for _, token := range p.wrong(r) {
			if slices.Contains(p.Answer[r], token) {
				return fmt.Errorf("circuits: row %d: token %d is both right and wrong, so the metric cannot tell them apart", r, token)
			}
		}
	}
	for r := range p.Rows {
		if p.last(r) < 0 {
			return fmt.Errorf("circuits: row %d has no real token", r)
		}
	}
	if slices.Equal(p.Clean, p.Corrupted) {
		return errors.New("circuits: clean and corrupted inputs are the same, so nothing can be attributed")
	}
	return nil
}

func (p *Pairs) wrong(r int) []int32 {
	if p.Wrong == nil {
		return nil
	}
	return p.Wrong[r]
}

// real tells whether a place holds a token.
func (p *Pairs) real(i int) bool { return p.Mask == nil || p.Mask[i] != 0 }

// last is the position of a row's last real token, or -1.
func (p *Pairs) last(r int) int {
	for t := p.Seq - 1; t >= 0; t-- {
		if p.real(r*p.Seq + t) {
			return t
		}
	}
	return -1
}

// tile repeats x n times.
func tile[T any](x []T, n int) []T {
	if n == 1 {
		return x
	}
	out := make([]T, 0, n*len(x))
	for range n {
		out = append(out, x...)
	}
	return out
}
