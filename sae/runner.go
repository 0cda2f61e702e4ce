package sae

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Runner applies an SAE of any architecture that encodes rows to many of them: the encoder product on the backend, in
// fixed batches, activation and decoding in Go. It is not safe for concurrent use. Close frees its memory on the device.
type Runner struct {
	sae            *SAE
	arch           architecture
	batch          int
	exec           *Exec
	xc, w, b, norm *tensors.Tensor
	norms          []float32 // nil without RescaleByDecoder
	undo           []rowScale
	parts          []active // one for each chunk of rows
}

// NewRunner returns a runner that works on batches of the given number of rows.
func NewRunner(b compute.Backend, s *SAE, batch int) (*Runner, error) {
	if err := s.checkRows(nil); err != nil {
		return nil, err
	}
	if batch < 1 {
		return nil, fmt.Errorf("sae: batch is %d; it must be at least 1", batch)
	}
	arch, err := architectureOf(s.Arch)
	if err != nil {
		return nil, fmt.Errorf("sae: %w", err)
	}
	r := &Runner{sae: s, arch: arch, batch: batch, norms: s.scoreNorms(), undo: make([]rowScale, batch), parts: make([]active, chunks(batch))}
	if r.exec, err = newEncoderExec(b, s.RescaleByDecoder); err != nil {
		return nil, err
	}
	w, bias := s.WEnc, make([]float32, s.DSAE)
	if arch.activate == nil { // matching pursuit: the encoder is the transposed decoder
		w = make([]float32, len(s.WDec))
		transpose(w, s.WDec, s.DSAE, s.DIn)
	}
	if arch.bias != nil {
		bias = arch.bias(s)
	}
	r.w = tensors.FromFlatDataAndDimensions(w, s.DIn, s.DSAE)
	r.b = tensors.FromFlatDataAndDimensions(bias, s.DSAE)
	if r.norms != nil {
		r.norm = tensors.FromFlatDataAndDimensions(r.norms, s.DSAE)
	}
	if r.xc, err = tensors.FromShapeForBackend(b, 0, shapes.Make(dtypes.Float32, batch, s.DIn)); err != nil {
		r.Close()
		return nil, fmt.Errorf("sae: allocate a batch on the backend: %w", err)
	}
	return r, nil
}

// Close frees the runner's memory on the device.
func (r *Runner) Close() {
	r.exec.Finalize()
	for _, t := range []*tensors.Tensor{r.xc, r.w, r.b, r.norm} {
		if t != nil {
			_ = t.FinalizeAll()
		}
	}
}

// Encode returns the active latents of the rows of x, [n, d_in], each row's in falling order of magnitude.
func (r *Runner) Encode(ctx context.Context, x []float32) (Latents, error) {
	lat, _, err := r.run(ctx, x, nil)
	return lat, err
}

// Reconstruct returns the latents of the rows of x, [n, d_in], and the reconstructions, [n, d_out].
func (r *Runner) Reconstruct(ctx context.Context, x []float32) (Latents, []float32, error) {
	return r.run(ctx, x, make([]float32, len(x)/r.sae.DIn*r.sae.Width()))
}

// run encodes x and, where out is not nil, decodes into it.
func (r *Runner) run(ctx context.Context, x, out []float32) (Latents, []float32, error) {
	lat := Latents{Start: []int{0}}
	d, w := r.sae.DIn, r.sae.Width()
	if len(x)%d != 0 {
		return lat, nil, fmt.Errorf("sae: %d values are not rows of width d_in = %d; is this the SAE's site?", len(x), d)
	}
	n := len(x) / d
	for lo := 0; lo < n; lo += r.batch {
		if err := ctx.Err(); err != nil {
			return lat, out, err
		}
		hi := min(lo+r.batch, n)
		rows := x[lo*d : hi*d]
		encode := r.encodeBatch
		if r.arch.activate == nil {
			encode = r.pursueBatch
		}
		if err := encode(rows); err != nil {
			return lat, out, err
		}
		for c := range chunks(hi - lo) {
			r.parts[c].appendTo(&lat)
		}
		if out != nil {
			r.decodeBatch(lat, lo, rows, out[lo*w:hi*w])
		}
	}
	return lat, out, nil
}

// encodeBatch fills parts with the latents of at most one batch of rows.
func (r *Runner) encodeBatch(x []float32) error {
	if err := r.load(x); err != nil {
		return err
	}
	f := r.sae.DSAE
	return r.product(func(all []float32) {
		parallel(len(x)/r.sae.DIn, func(_, c, lo, hi int) {
			rows := &r.parts[c]
			rows.reset()
			for i := lo; i < hi; i++ {
				r.arch.activate(r.sae, all[i*f:(i+1)*f], rows)
				rows.endRow()
			}
		})
	})
}

// load writes the centred rows where the backend reads them.
func (r *Runner) load(x []float32) error {
	d := r.sae.DIn
	err := tensors.MutableFlatData(r.xc, func(xc []float32) {
		clear(xc[len(x):])
		parallel(len(x)/d, func(_, _, lo, hi int) {
			for i := lo; i < hi; i++ {
				r.undo[i] = r.sae.centre(x[i*d:(i+1)*d], xc[i*d:(i+1)*d])
			}
		})
	})
	if err != nil {
		return fmt.Errorf("sae: write the batch for the backend: %w", err)
	}
	return nil
}

// product hands the scores of the loaded batch, [batch, F], to use.
func (r *Runner) product(use func(scores []float32)) error {
	args := []any{r.xc, r.w, r.b}
	if r.norms != nil {
		args = append(args, r.norm)
	}
	scores, err := r.exec.Call1(args...)
	if err != nil {
		return fmt.Errorf("sae: encode: %w", err)
	}
	defer scores.MustFinalizeAll()
	if err := tensors.ConstFlatData(scores, use); err != nil {
		return fmt.Errorf("sae: read the encoder's output: %w", err)
	}
	return nil
}

// pursueBatch is encodeBatch for matching pursuit: one product of the residuals with the decoder for each step.
func (r *Runner) pursueBatch(x []float32) error {
	if err := r.load(x); err != nil {
		return err
	}
	d, f, n := r.sae.DIn, r.sae.DSAE, len(x)/r.sae.DIn
	rows := make([]pursuitRow, n)
	for i := range rows {
		rows[i] = pursuitRow{residual: make([]float32, d), act: map[int32]float32{}}
	}
	if err := tensors.ConstFlatData(r.xc, func(xc []float32) {
		for i := range rows {
			copy(rows[i].residual, xc[i*d:(i+1)*d])
		}
	}); err != nil {
		return fmt.Errorf("sae: read the batch: %w", err)
	}
	for range r.sae.Pursuit.Iterations {
		err := r.product(func(all []float32) {
			parallel(n, func(_, _, lo, hi int) {
				for i := lo; i < hi; i++ {
					if !rows[i].done {
						rows[i].step(r.sae, all[i*f:(i+1)*f])
					}
				}
			})
		})
		if err != nil {
			return err
		}
		going := false
		err = tensors.MutableFlatData(r.xc, func(xc []float32) {
			for i := range rows {
				copy(xc[i*d:(i+1)*d], rows[i].residual)
				going = going || !rows[i].done
			}
		})
		if err != nil {
			return fmt.Errorf("sae: write the residuals for the backend: %w", err)
		}
		if !going {
			break
		}
	}
	parallel(n, func(_, c, lo, hi int) {
		part := &r.parts[c]
		part.reset()
		for i := lo; i < hi; i++ {
			rows[i].emit(part)
			part.endRow()
		}
	})
	return nil
}

// decodeBatch decodes the latents of the batch x that was encoded last; its first row is row first of lat.
func (r *Runner) decodeBatch(lat Latents, first int, x, out []float32) {
	d, w := r.sae.DIn, r.sae.Width()
	parallel(len(x)/d, func(_, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			index, value := lat.Row(first + i)
			r.sae.decodeRow(index, value, r.norms, out[i*w:(i+1)*w])
			r.sae.finish(x[i*d:(i+1)*d], r.undo[i], out[i*w:(i+1)*w])
		}
	})
}
