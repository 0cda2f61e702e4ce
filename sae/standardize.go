package sae

import "math"

// standardizer is the normalisation of each dimension by itself, x' = (x - mean) / sd, from the initial sample. It is folded
// into the weights on save. Without dimensions it does nothing.
type standardizer struct{ mean, sd []float32 }

// newStandardizer measures rows [n, d]. A dimension that does not vary keeps its scale.
func newStandardizer(rows []float32, d int) standardizer {
	n := float64(len(rows) / d)
	sum, sq := make([]float64, d), make([]float64, d)
	for i, v := range rows {
		sum[i%d] += float64(v)
	}
	for j := range sum {
		sum[j] /= n
	}
	for i, v := range rows {
		diff := float64(v) - sum[i%d]
		sq[i%d] += diff * diff
	}
	s := standardizer{make([]float32, d), make([]float32, d)}
	for j := range d {
		s.mean[j], s.sd[j] = float32(sum[j]), 1
		if sd := float32(math.Sqrt(sq[j] / n)); sd > 0 {
			s.sd[j] = sd
		}
	}
	return s
}

// apply standardises rows in place.
func (s standardizer) apply(rows []float32) {
	d := len(s.mean)
	if d == 0 {
		return
	}
	parallel(len(rows)/d, func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			row := rows[r*d : (r+1)*d]
			for j, v := range row {
				row[j] = (v - s.mean[j]) / s.sd[j]
			}
		}
	})
}

// foldStandard makes an SAE of standardised rows into one of raw rows, in place: with D the diagonal of the deviations,
// W_enc becomes D_in^-1 W_enc, W_dec and b_dec become W_dec D_out and b_dec D_out + mean_out, and W_skip D_out W_skip D_in^-1.
// An SAE that subtracts b_dec sees the same then; a transcoder, which does not, takes the mean off by b_enc and b_dec.
func (s *SAE) foldStandard(in, out standardizer) {
	f, w := s.DSAE, s.Width()
	for j, sd := range in.sd {
		row := s.WEnc[j*f : (j+1)*f]
		for i := range row {
			row[i] /= sd
		}
	}
	for i := range s.WDec {
		s.WDec[i] *= out.sd[i%w]
	}
	for j := range s.BDec {
		s.BDec[j] = s.BDec[j]*out.sd[j] + out.mean[j]
	}
	if !s.Transcoder() {
		return
	}
	shift := make([]float64, f)
	for j, m := range in.mean {
		for i, v := range s.WEnc[j*f : (j+1)*f] {
			shift[i] += float64(m) * float64(v)
		}
	}
	for i, v := range shift {
		s.BEnc[i] = float32(float64(s.BEnc[i]) - v)
	}
	if s.WSkip == nil {
		return
	}
	for o := range w {
		var sum float64
		row := s.WSkip[o*s.DIn : (o+1)*s.DIn]
		for j := range row {
			row[j] *= out.sd[o] / in.sd[j]
			sum += float64(row[j]) * float64(in.mean[j])
		}
		s.BDec[o] = float32(float64(s.BDec[o]) - sum)
	}
}
