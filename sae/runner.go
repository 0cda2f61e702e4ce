package sae

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Runner applies an SAE to many rows: the encoder product on the backend, in fixed batches, selection and decoding in
// Go. It is not safe for concurrent use. Close frees its memory on the device.
type Runner struct {
	sae            *SAE
	batch          int
	exec           *Exec
	xc, w, b, norm *tensors.Tensor
	norms          []float32
	undo           []rowScale
}

// NewRunner returns a runner that works on batches of the given number of rows.
func NewRunner(b compute.Backend, s *SAE, batch int) (*Runner, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if batch < 1 {
		return nil, fmt.Errorf("sae: batch is %d; it must be at least 1", batch)
	}
	r := &Runner{sae: s, batch: batch, norms: make([]float32, s.DSAE), undo: make([]rowScale, batch)}
	rowNorms(r.norms, s.WDec, s.DIn)
	var err error
	if r.exec, err = newEncoderExec(b, s.RescaleByDecoder); err != nil {
		return nil, err
	}
	r.w = tensors.FromFlatDataAndDimensions(s.WEnc, s.DIn, s.DSAE)
	r.b = tensors.FromFlatDataAndDimensions(s.BEnc, s.DSAE)
	r.norm = tensors.FromFlatDataAndDimensions(r.norms, s.DSAE)
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

// Encode returns the latents of the rows of x, [n, d], each row's in falling order of activation.
func (r *Runner) Encode(ctx context.Context, x []float32) (Latents, error) {
	lat, _, err := r.run(ctx, x, nil)
	return lat, err
}

// Reconstruct returns the latents of the rows of x, [n, d], and the reconstructions, [n, d].
func (r *Runner) Reconstruct(ctx context.Context, x []float32) (Latents, []float32, error) {
	return r.run(ctx, x, make([]float32, len(x)))
}

// run encodes x and, where out is not nil, decodes into it.
func (r *Runner) run(ctx context.Context, x, out []float32) (Latents, []float32, error) {
	d, k := r.sae.DIn, r.sae.K
	if len(x)%d != 0 {
		return Latents{}, nil, fmt.Errorf("sae: %d values are not rows of width d_in = %d; is this the SAE's site?", len(x), d)
	}
	n := len(x) / d
	lat := newLatents(n, k)
	for lo := 0; lo < n; lo += r.batch {
		if err := ctx.Err(); err != nil {
			return lat, out, err
		}
		hi := min(lo+r.batch, n)
		if err := r.encodeBatch(x[lo*d:hi*d], lat.Slice(lo, hi)); err != nil {
			return lat, out, err
		}
		if out != nil {
			r.decodeBatch(lat.Slice(lo, hi), out[lo*d:hi*d])
		}
	}
	return lat, out, nil
}

// encodeBatch fills lat with the latents of at most one batch of rows.
func (r *Runner) encodeBatch(x []float32, lat Latents) error {
	s := r.sae
	d, f := s.DIn, s.DSAE
	err := tensors.MutableFlatData(r.xc, func(xc []float32) {
		clear(xc[len(x):])
		parallel(len(x)/d, func(_, _, lo, hi int) {
			for i := lo; i < hi; i++ {
				row := xc[i*d : (i+1)*d]
				r.undo[i] = normalizeRow(s.Normalize, row, x[i*d:(i+1)*d])
				if s.ApplyBDecToInput {
					axpy(-1, s.BDec, row)
				}
			}
		})
	})
	if err != nil {
		return fmt.Errorf("sae: write the batch for the backend: %w", err)
	}
	args := []any{r.xc, r.w, r.b}
	if s.RescaleByDecoder {
		args = append(args, r.norm)
	}
	scores, err := r.exec.Call1(args...)
	if err != nil {
		return fmt.Errorf("sae: encode: %w", err)
	}
	defer scores.MustFinalizeAll()
	err = tensors.ConstFlatData(scores, func(all []float32) {
		parallel(len(x)/d, func(_, _, lo, hi int) {
			for i := lo; i < hi; i++ {
				index, value := lat.Row(i)
				topK(all[i*f:(i+1)*f], index, value)
				sortLatents(index, value)
			}
		})
	})
	if err != nil {
		return fmt.Errorf("sae: read the encoder's output: %w", err)
	}
	return nil
}

// decodeBatch decodes the latents of the batch that encodeBatch saw last.
func (r *Runner) decodeBatch(lat Latents, out []float32) {
	d := r.sae.DIn
	parallel(lat.Rows(), func(_, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			row := out[i*d : (i+1)*d]
			index, value := lat.Row(i)
			r.sae.decodeRow(index, value, r.norms, row)
			r.undo[i].undo(row)
		}
	})
}

// decodeRow writes sum_j value[j] W_dec[index[j]] + b_dec into out; norms are those of the decoder rows.
func (s *SAE) decodeRow(index []int32, value, norms, out []float32) {
	copy(out, s.BDec)
	for j, i := range index {
		v := value[j]
		if v == 0 {
			continue
		}
		if s.RescaleByDecoder {
			v /= norms[i]
		}
		axpy(v, s.Decoder(int(i)), out)
	}
}

// sortLatents sorts a row's slots by falling value, equal ones by index, and empties those not above zero.
func sortLatents(index []int32, value []float32) {
	type slot struct {
		i int32
		v float32
	}
	slots := make([]slot, len(index))
	for j, i := range index {
		slots[j] = slot{i, value[j]}
	}
	slices.SortFunc(slots, func(a, b slot) int {
		if dropsFirst(a.v, a.i, b.v, b.i) {
			return 1
		}
		return -1
	})
	for j, s := range slots {
		index[j], value[j] = s.i, max(s.v, 0)
	}
}
