package sae

import "fmt"

// The reference: every architecture that encodes rows, on the host. Products are summed in float64 and rounded to
// float32 once, before the activation function. A [Runner] does the same on a backend and is far faster.

// Encode returns the active latents of the rows of x, [n, d_in].
func (s *SAE) Encode(x []float32) (Latents, error) {
	if err := s.checkRows(x); err != nil {
		return Latents{}, err
	}
	a, err := architectureOf(s.Arch)
	if err != nil {
		return Latents{}, fmt.Errorf("sae: %w", err)
	}
	d := s.DIn
	chunksOf := make([]active, chunks(len(x)/d))
	norms := s.scoreNorms()
	parallel(len(x)/d, func(_, c, lo, hi int) {
		rows := &chunksOf[c]
		rows.reset()
		xc, h := make([]float32, d), make([]float32, s.DSAE)
		for r := lo; r < hi; r++ {
			s.centre(x[r*d:(r+1)*d], xc)
			if a.activate == nil {
				s.pursue(xc, h, rows)
			} else {
				s.scores(a, xc, norms, h)
				a.activate(s, h, rows)
			}
			rows.endRow()
		}
	})
	out := Latents{Start: []int{0}}
	for i := range chunksOf {
		chunksOf[i].appendTo(&out)
	}
	return out, nil
}

// Decode returns f W_dec + b_dec for each row of latents, [n, d_out]: the decoder alone, without a linear path and
// without undoing a normalisation of the input.
func (s *SAE) Decode(l Latents) ([]float32, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	for _, i := range l.Index {
		if i < 0 || int(i) >= s.DSAE {
			return nil, fmt.Errorf("sae: decode: latent %d of %d", i, s.DSAE)
		}
	}
	w := s.Width()
	out := make([]float32, l.Rows()*w)
	norms := s.scoreNorms()
	parallel(l.Rows(), func(_, _, lo, hi int) {
		for r := lo; r < hi; r++ {
			index, value := l.Row(r)
			s.decodeRow(index, value, norms, out[r*w:(r+1)*w])
		}
	})
	return out, nil
}

// Reconstruct returns the latents of the rows of x, [n, d_in], and what the whole SAE makes of them, [n, d_out].
func (s *SAE) Reconstruct(x []float32) (Latents, []float32, error) {
	l, err := s.Encode(x)
	if err != nil {
		return l, nil, err
	}
	out, err := s.Decode(l)
	if err != nil {
		return l, nil, err
	}
	d, w := s.DIn, s.Width()
	xc := make([]float32, d)
	for r := range l.Rows() {
		row := x[r*d : (r+1)*d]
		s.finish(row, s.centre(row, xc), out[r*w:(r+1)*w])
	}
	return l, out, nil
}

func (s *SAE) checkRows(x []float32) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if s.Temporal != nil {
		return fmt.Errorf("sae: %s encodes sequences, not rows; use Sequence", s.Arch)
	}
	if len(x)%s.DIn != 0 {
		return fmt.Errorf("sae: %d values are not rows of width d_in = %d; is this the SAE's site?", len(x), s.DIn)
	}
	return nil
}

// scoreNorms returns the norms of the decoder rows where scores are multiplied by them, else nil.
func (s *SAE) scoreNorms() []float32 {
	if !s.RescaleByDecoder {
		return nil
	}
	norms := make([]float32, s.DSAE)
	rowNorms(norms, s.WDec, s.Width())
	return norms
}

// centre writes what the encoder product sees of row x into dst and returns how to undo the normalisation.
func (s *SAE) centre(x, dst []float32) rowScale {
	var u rowScale
	if s.Normalize == normalizeConstantScalar {
		u = sameScale(float32(s.Temporal.Scale))
		for i, v := range x {
			dst[i] = v * u.scale
		}
	} else {
		u = normalizeRow(s.Normalize, dst, x)
	}
	if s.subtracts() {
		axpy(-1, s.BDec, dst)
	}
	return u
}

// subtracts tells whether b_dec is taken from the input.
func (s *SAE) subtracts() bool { return s.ApplyBDecToInput && !s.Transcoder() }

// finish adds the linear path to a decoded row, or undoes the normalisation.
func (s *SAE) finish(x []float32, u rowScale, out []float32) {
	if !s.Transcoder() {
		u.undo(out)
		return
	}
	if s.WSkip != nil {
		for j := range out {
			out[j] += dot(s.WSkip[j*s.DIn:(j+1)*s.DIn], x)
		}
	}
}

// scores writes (xc W_enc + bias) * norms into h.
func (s *SAE) scores(a architecture, xc, norms, h []float32) {
	sum := make([]float64, len(h))
	for j, v := range xc {
		for i, w := range s.WEnc[j*len(h) : (j+1)*len(h)] {
			sum[i] += float64(v) * float64(w)
		}
	}
	var bias []float32
	if a.bias != nil {
		bias = a.bias(s)
	}
	for i, v := range sum {
		if bias != nil {
			v += float64(bias[i])
		}
		if norms != nil {
			v *= float64(norms[i])
		}
		h[i] = float32(v)
	}
}

// pursue runs matching pursuit on a centred row; h is scratch, [F].
func (s *SAE) pursue(xc, h []float32, to *active) {
	p := pursuitRow{residual: xc, act: map[int32]float32{}}
	for range s.Pursuit.Iterations {
		for i := range h {
			h[i] = dot(p.residual, s.Decoder(i))
		}
		if !p.step(s, h) {
			break
		}
	}
	p.emit(to)
}

// decodeRow writes sum_j value[j] W_dec[index[j]] + b_dec into out; norms, where not nil, divide the values. Matching
// pursuit that did not subtract b_dec does not add it either.
func (s *SAE) decodeRow(index []int32, value, norms, out []float32) {
	if s.Arch == ArchMatchingPursuit && !s.ApplyBDecToInput {
		clear(out)
	} else {
		copy(out, s.BDec)
	}
	for j, i := range index {
		v := value[j]
		if v == 0 {
			continue
		}
		if norms != nil {
			v /= norms[i]
		}
		axpy(v, s.Decoder(int(i)), out)
	}
}
