package sae

import (
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// openTemporal lets r apply a temporal SAE to whole sequences, of the length that its metadata says: prediction and codes on
// the backend, selection and decoding of the novel latents in Go.
func (r *CoderRunner) openTemporal(b compute.Backend, s *SAE) error {
	length := s.context()
	switch {
	case length < 1:
		return fmt.Errorf("sae: the temporal SAE's metadata has no %s, the tokens of a sequence; set it, or use Sequence", contextKey)
	case r.batch%length != 0:
		return fmt.Errorf("sae: batch is %d; it must be a multiple of the %d tokens of a sequence", r.batch, length)
	}
	t := s.Temporal
	cfg := TemporalConfig{Context: length, Heads: t.Heads, Layers: len(t.Layers), Bottleneck: t.Bottleneck, Untied: !t.Tied}
	infos := temporalLayout(Config{DIn: s.DIn, DSAE: s.DSAE, Temporal: cfg})
	exec, err := NewExec(b, func(in []*Node) []*Node {
		w := weightNodes{}
		for i, info := range infos {
			w[info.name] = in[i+1]
		}
		novel, predicted := temporalGraph(cfg, w, in[0])
		return []*Node{novel, Einsum("bf,fd->bd", predicted, w.dec())}
	})
	if err != nil {
		return fmt.Errorf("sae: build the temporal SAE: %w", err)
	}
	run := &temporalRunner{s: s, batch: r.batch, length: length, exec: exec, fixed: s.temporalArgs(infos)}
	r.apply, r.free = run.apply, run.close
	return nil
}

// temporalArgs returns the SAE's tensors in the order of infos.
func (s *SAE) temporalArgs(infos []weightInfo) []any {
	values := map[string][]float32{"W_dec": s.WDec, "b_dec": s.BDec}
	if !s.Temporal.Tied {
		values["W_enc"] = turned(s.WEnc, s.DIn, s.DSAE)
	}
	for _, t := range temporalTensors(s)[2:] {
		if t.name != "W_enc" {
			values[t.name] = *t.at
		}
	}
	var out []any
	for _, info := range infos {
		out = append(out, tensors.FromFlatDataAndDimensions(values[info.name], info.shape...))
	}
	return out
}

type temporalRunner struct {
	s             *SAE
	batch, length int
	exec          *Exec
	fixed         []any
}

func (r *temporalRunner) close() {
	r.exec.Finalize()
	for _, f := range r.fixed {
		f.(*tensors.Tensor).MustFinalizeAll()
	}
}

// apply returns the novel latents of the rows of x and the reconstructions from both parts.
func (r *temporalRunner) apply(x []float32) (Latents, []float32, error) {
	s, d, f := r.s, r.s.DIn, r.s.DSAE
	n := len(x) / d
	if n%r.length != 0 {
		return Latents{}, nil, fmt.Errorf("sae: %d rows are not whole sequences of %d", n, r.length)
	}
	undo := make([]rowScale, n)
	centred := make([]float32, r.batch*d)
	for i := range n {
		undo[i] = s.centre(x[i*d:(i+1)*d], centred[i*d:(i+1)*d])
	}
	in := tensors.FromFlatDataAndDimensions(centred, r.batch, d)
	defer in.MustFinalizeAll()
	res, err := r.exec.Call(append([]any{in}, r.fixed...)...)
	if err != nil {
		return Latents{}, nil, fmt.Errorf("sae: encode: %w", err)
	}
	defer res[0].MustFinalizeAll()
	defer res[1].MustFinalizeAll()
	lat, y := Latents{Start: []int{0}}, make([]float32, n*d)
	err = tensors.ConstFlatData(res[1], func(predicted []float32) { copy(y, predicted) })
	if err == nil {
		err = tensors.ConstFlatData(res[0], func(codes []float32) {
			parts := make([]active, chunks(n))
			parallel(n, func(_, part, lo, hi int) {
				rows := &parts[part]
				rows.reset()
				for i := lo; i < hi; i++ {
					s.novel(codes[i*f:(i+1)*f], rows)
					rows.endRow()
				}
			})
			for i := range parts {
				parts[i].appendTo(&lat)
			}
		})
	}
	if err != nil {
		return lat, nil, fmt.Errorf("sae: read the temporal SAE's output: %w", err)
	}
	for i := range n {
		row := y[i*d : (i+1)*d]
		axpy(1, s.BDec, row)
		index, value := lat.Row(i)
		for j, at := range index {
			axpy(value[j], s.Decoder(int(at)), row)
		}
		undo[i].undo(row)
	}
	return lat, y, nil
}

// novel adds the latents that a temporal SAE keeps of a row of codes.
func (s *SAE) novel(codes []float32, to *active) {
	keep := s.Temporal.TopK
	if keep == 0 {
		keep = len(codes)
	}
	index, value := to.scratch(keep)
	topK(codes, index, value)
	for j, i := range index {
		if value[j] > 0 {
			to.add(i, value[j])
		}
	}
}
