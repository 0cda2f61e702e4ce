package token

import "fmt"

// Side is an end of a sequence.
type Side string

const (
	Right Side = "right"
	Left  Side = "left"
)

// Strategy says which of two texts is cut when they are too long together.
type Strategy string

const (
	LongestFirst Strategy = "longest_first" // the longer one, then both
	OnlyFirst    Strategy = "only_first"
	OnlySecond   Strategy = "only_second"
)

// Truncation says where tokens are cut off. The zero value is LongestFirst from the Right.
type Truncation struct {
	Side     Side     `json:"side,omitempty"`
	Strategy Strategy `json:"strategy,omitempty"`
}

// cut shortens the one or two encodings in place to at most room tokens together.
func (t Truncation) cut(parts []Encoding, room int) error {
	total := 0
	for _, p := range parts {
		total += p.Len()
	}
	if total <= room {
		return nil
	}
	keep := []int{0, 0}
	for i, p := range parts {
		keep[i] = p.Len()
	}
	switch t.Strategy {
	case "", LongestFirst:
		if len(parts) == 1 {
			keep[0] = room
		} else {
			keep[0], keep[1] = longestFirst(keep[0], keep[1], room)
		}
	case OnlyFirst, OnlySecond:
		which := 0
		if t.Strategy == OnlySecond {
			which = 1
		}
		if which >= len(parts) {
			return fmt.Errorf("token: encode: truncation %s without a second text; give Pair or another strategy", t.Strategy)
		}
		if keep[which] -= total - room; keep[which] <= 0 {
			return fmt.Errorf("token: encode: truncation %s cannot reach %d tokens of %d; choose another strategy", t.Strategy, room, total)
		}
	default:
		return fmt.Errorf("token: encode: truncation strategy %q; use longest_first, only_first or only_second", t.Strategy)
	}
	for i := range parts {
		n := parts[i].Len()
		switch t.Side {
		case "", Right:
			parts[i] = parts[i].slice(0, keep[i])
		case Left:
			parts[i] = parts[i].slice(n-keep[i], n)
		default:
			return fmt.Errorf("token: encode: truncation side %q; use right or left", t.Side)
		}
	}
	return nil
}

// longestFirst shares room between two texts of a and b tokens: the shorter one stays whole as long as it takes at most half.
func longestFirst(a, b, room int) (int, int) {
	if a > b {
		b, a = longestFirst(b, a, room)
		return a, b
	}
	if longer := max(a, room-a); a+longer <= room {
		return a, longer
	}
	return room / 2, room - room/2
}
