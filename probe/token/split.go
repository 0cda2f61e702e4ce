package token

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// matcher finds the places of a text that a pattern matches.
type matcher interface {
	// each calls visit for every match [lo, hi), from left to right and without overlap.
	each(text string, visit func(lo, hi int))
}

// literal matches a string.
type literal string

func (s literal) each(text string, visit func(lo, hi int)) {
	if s == "" {
		return
	}
	for pos := 0; ; {
		i := strings.Index(text[pos:], string(s))
		if i < 0 {
			return
		}
		visit(pos+i, pos+i+len(s))
		pos += i + len(s)
	}
}

// class matches each single character for which it is true.
type class func(rune) bool

func (c class) each(text string, visit func(lo, hi int)) {
	for i, r := range text {
		if c(r) {
			visit(i, i+utf8.RuneLen(r))
		}
	}
}

// scanner matches what it finds at a place: it returns the end of the match that starts at byte i, or i when there is none.
type scanner func(text string, i int) int

func (s scanner) each(text string, visit func(lo, hi int)) {
	for i := 0; i < len(text); {
		end := s(text, i)
		if end <= i {
			_, n := utf8.DecodeRuneInString(text[i:])
			i += n
			continue
		}
		visit(i, end)
		i = end
	}
}

// behavior says what becomes of the matches when a piece is split at them.
type behavior int

const (
	isolated           behavior = iota // a match is a piece of its own
	removed                            // matches are dropped
	mergedWithPrevious                 // a match ends the piece before it
	mergedWithNext                     // a match begins the piece after it
	contiguous                         // neighbouring matches are one piece
)

func (b *behavior) UnmarshalText(text []byte) error {
	for i, name := range []string{"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"} {
		if string(text) == name {
			*b = behavior(i)
			return nil
		}
	}
	return fmt.Errorf("split behavior %q: %w", text, ErrUnsupported)
}

// segment is a stretch of text that is a match or lies between two.
type segment struct {
	lo, hi int
	match  bool
}

// splitter cuts pieces at the matches of a pattern.
type splitter struct {
	pattern  matcher
	behavior behavior
	invert   bool // matches are what is kept, the rest is the delimiter
}

func (s *splitter) pretokenize(pieces []piece) []piece {
	out := make([]piece, 0, 2*len(pieces))
	var segments []segment
	for _, p := range pieces {
		if p.added != notAdded {
			out = append(out, p)
			continue
		}
		segments = s.segments(p.text, segments[:0])
		for _, g := range segments {
			if g.lo < g.hi {
				out = append(out, p.slice(g.lo, g.hi))
			}
		}
	}
	return out
}

// segments appends the parts of text that become pieces.
func (s *splitter) segments(text string, out []segment) []segment {
	end := 0
	s.pattern.each(text, func(lo, hi int) {
		if end < lo {
			out = s.add(out, segment{end, lo, s.invert})
		}
		out = s.add(out, segment{lo, hi, !s.invert})
		end = hi
	})
	if end < len(text) {
		out = s.add(out, segment{end, len(text), s.invert})
	}
	switch s.behavior {
	case mergedWithNext:
		return mergeWithNext(out)
	case removed:
		kept := out[:0]
		for _, g := range out {
			if !g.match {
				kept = append(kept, g)
			}
		}
		return kept
	}
	return out
}

// add appends g, or joins it to the segment before where the behavior says so. A joined segment remembers whether its last
// part was a match.
func (s *splitter) add(out []segment, g segment) []segment {
	if n := len(out); n > 0 {
		before := &out[n-1]
		join := s.behavior == contiguous && g.match == before.match ||
			s.behavior == mergedWithPrevious && g.match && !before.match
		if join {
			before.hi, before.match = g.hi, g.match
			return out
		}
	}
	return append(out, g)
}

// mergeWithNext joins each match to a following segment that is not one.
func mergeWithNext(in []segment) []segment {
	out := in[:0]
	for i := 0; i < len(in); i++ {
		g := in[i]
		if g.match && i+1 < len(in) && !in[i+1].match {
			g.hi = in[i+1].hi
			i++
		}
		out = append(out, g)
	}
	return out
}
