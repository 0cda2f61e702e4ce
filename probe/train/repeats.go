package train

import "math/rand/v2"

// Repeats draws sequences of random tokens from..to that repeat themselves with a random period of a quarter to a half of
// the length: x_i = x_(i-period). The first period cannot be predicted; what follows can, by looking up what came after the
// last occurrence of the present token, which is what induction heads do (arXiv:2209.11895). Since the period varies, positions
// do not tell. It returns each row's period.
func Repeats(r *rand.Rand, batch, seq int, from, to int32) (Rows, []int) {
	out := Rows{B: batch, T: seq}
	var periods []int
	for range batch {
		period := seq/4 + r.IntN(seq/4+1)
		periods = append(periods, period)
		row := make([]int32, seq)
		for i := range row {
			if i < period {
				row[i] = from + r.Int32N(to-from)
			} else {
				row[i] = row[i-period]
			}
		}
		out.IDs = append(out.IDs, row...)
	}
	return out, periods
}

// RepeatSource is a Source of Repeats.
func RepeatSource(batch, seq int, from, to int32) Source {
	return func(r *rand.Rand, _ int) (Rows, error) {
		rows, _ := Repeats(r, batch, seq, from, to)
		return rows, nil
	}
}
