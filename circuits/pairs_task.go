package circuits

import (
	"fmt"

	"loupe/circuits/task"
)

// PairsOf lays examples out as one batch, shorter ones padded on the left with token 0, which is masked.
func PairsOf(examples []task.Example) (*Pairs, error) {
	if len(examples) == 0 {
		return nil, fmt.Errorf("circuits: no examples; look at what task.Align rejected")
	}
	p := &Pairs{Rows: len(examples)}
	for _, e := range examples {
		p.Seq = max(p.Seq, len(e.CleanIDs))
	}
	for r, e := range examples {
		if len(e.CleanIDs) != len(e.CorruptedIDs) {
			return nil, fmt.Errorf("circuits: example %d has %d clean tokens and %d corrupted ones", r, len(e.CleanIDs), len(e.CorruptedIDs))
		}
		pad := p.Seq - len(e.CleanIDs)
		p.Clean = append(append(p.Clean, make([]int32, pad)...), e.CleanIDs...)
		p.Corrupted = append(append(p.Corrupted, make([]int32, pad)...), e.CorruptedIDs...)
		p.Mask = append(p.Mask, make([]int32, pad)...)
		for range e.CleanIDs {
			p.Mask = append(p.Mask, 1)
		}
		p.Answer, p.Wrong = append(p.Answer, e.AnswerIDs), append(p.Wrong, e.WrongIDs)
	}
	return p, nil
}
