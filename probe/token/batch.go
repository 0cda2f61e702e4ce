package token

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Batch is encodings padded to one length. The slices are row-major, [B*T].
type Batch struct {
	B, T    int
	IDs     []int32
	Mask    []int32 // 1 for tokens, 0 for padding
	TypeIDs []int32
	Lengths []int // tokens of each row without padding, [B]
}

// Bucket returns the smallest of the ascending bucket lengths that holds n tokens. Few lengths mean few compiled graphs.
func Bucket(n int, buckets []int) (int, error) {
	i, _ := slices.BinarySearch(buckets, n)
	if i == len(buckets) {
		return 0, fmt.Errorf("token: %d tokens do not fit the length buckets %v; truncate or add a larger one", n, buckets)
	}
	return buckets[i], nil
}

// Pad makes a batch of encodings. Its length is p.Length, else that of the longest encoding rounded up to p.Multiple. Unlike Hugging
// Face's padding, which leaves a longer encoding alone, an encoding longer than p.Length is an error.
func Pad(encodings []Encoding, p Padding) (Batch, error) {
	length := p.Length
	if length == 0 {
		for _, e := range encodings {
			length = max(length, e.Len())
		}
		if p.Multiple > 0 {
			length = (length + p.Multiple - 1) / p.Multiple * p.Multiple
		}
	}
	if p.ID < 0 {
		return Batch{}, fmt.Errorf("token: pad: padding id %d; the tokenizer has no pad token, choose an id (the mask hides it)", p.ID)
	}
	n := len(encodings) * length
	b := Batch{B: len(encodings), T: length, IDs: slices.Repeat([]int32{p.ID}, n), Mask: make([]int32, n),
		TypeIDs: slices.Repeat([]int32{p.TypeID}, n), Lengths: make([]int, len(encodings))}
	for row, e := range encodings {
		if e.Len() > length {
			return Batch{}, fmt.Errorf("token: pad: encoding %d has %d tokens, more than %d; set MaxLen when encoding", row, e.Len(), length)
		}
		at := row * length
		switch p.Side {
		case "", Right:
		case Left:
			at += length - e.Len()
		default:
			return Batch{}, fmt.Errorf("token: pad: side %q; use right or left", p.Side)
		}
		copy(b.IDs[at:], e.IDs)
		copy(b.TypeIDs[at:], e.TypeIDs)
		for i := range e.Len() {
			b.Mask[at+i] = 1
		}
		b.Lengths[row] = e.Len()
	}
	return b, nil
}

// paddingStrategy is "BatchLongest", read as 0, or {"Fixed": n}.
type paddingStrategy int

func (s *paddingStrategy) UnmarshalJSON(raw []byte) error {
	var name string
	if err := json.Unmarshal(raw, &name); err == nil {
		if name != "BatchLongest" {
			return fmt.Errorf("padding strategy %q: %w", name, ErrUnsupported)
		}
		*s = 0
		return nil
	}
	var fixed struct {
		Fixed *int `json:"Fixed"`
	}
	if err := json.Unmarshal(raw, &fixed); err != nil {
		return err
	}
	if fixed.Fixed == nil || *fixed.Fixed < 0 {
		return fmt.Errorf("padding strategy %s: %w", raw, ErrUnsupported)
	}
	*s = paddingStrategy(*fixed.Fixed)
	return nil
}
