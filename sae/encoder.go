package sae

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// encoder scores the latents of a batch and finds those that a step keeps: a score is xc W_enc + b_enc, times the norm of
// the decoder row with RescaleByDecoder. It keeps its own copy of the encoder's weights.
type encoder interface {
	// publish takes over changed weights.
	publish(w weights) error
	// input is the memory of the centred batch xc, [B, d], which choose reads.
	input() []float32
	// choose scores the batch and returns the kept latents of each row with their scores, valid until the next call, and
	// the smallest kept score (batchtopk alone). Slots with value 0 are empty.
	choose() (Latents, float64, error)
	// among returns for each row of the same batch its k largest scores among the dead latents, of any sign; w are the
	// weights last published.
	among(w weights, dead []int32, k int) (Latents, error)
	close()
}

// backendEncoder has the scores computed by the backend.
type backendEncoder struct {
	cfg  Config
	exec *Exec

	xc, wEnc, bEnc, norm *tensors.Tensor // [B, d], [d, F], [F], [F]: inputs, shared with the backend
	centred              []float32       // xc's values, and its memory where that is shared
	scores               *tensors.Tensor // [B, F], of the last batch

	batch *batchSelector // of batchtopk; nil: k latents of each row
	act   Latents
	aux   Latents
	size  [][]float32 // for each worker, the magnitudes of a row, where they count
}

func newBackendEncoder(b compute.Backend, cfg Config) (*backendEncoder, error) {
	d, f, n := cfg.inWidth(), cfg.DSAE, cfg.Batch
	e := &backendEncoder{cfg: cfg}
	if cfg.byBatch() {
		e.batch = newBatchSelector(n)
	} else {
		e.act = newLatents(n, cfg.K)
	}
	var err error
	if e.exec, err = newEncoderExec(b, cfg.RescaleByDecoder); err != nil {
		return nil, err
	}
	for _, t := range []struct {
		at   **tensors.Tensor
		dims []int
	}{{&e.xc, []int{n, d}}, {&e.wEnc, []int{d, f}}, {&e.bEnc, []int{f}}, {&e.norm, []int{f}}} {
		if *t.at, err = tensors.FromShapeForBackend(b, 0, shapes.Make(dtypes.Float32, t.dims...)); err != nil {
			e.close()
			return nil, fmt.Errorf("sae: allocate %v on the backend: %w", t.dims, err)
		}
	}
	e.centred = make([]float32, n*d)
	if b.HasSharedBuffers() {
		if err := tensors.MutableFlatData(e.xc, func(xc []float32) { e.centred = xc }); err != nil {
			e.close()
			return nil, fmt.Errorf("sae: memory of the batch for the backend: %w", err)
		}
	}
	return e, nil
}

func (e *backendEncoder) close() {
	if e.exec != nil {
		e.exec.Finalize()
	}
	for _, t := range []*tensors.Tensor{e.xc, e.wEnc, e.bEnc, e.norm, e.scores} {
		if t != nil {
			_ = t.FinalizeAll()
		}
	}
}

func (e *backendEncoder) input() []float32 { return e.centred }

func (e *backendEncoder) publish(w weights) error {
	d, f := e.cfg.inWidth(), e.cfg.DSAE
	if err := tensors.MutableFlatData(e.wEnc, func(dst []float32) { transpose(dst, w.enc, f, d) }); err != nil {
		return fmt.Errorf("sae: write W_enc for the backend: %w", err)
	}
	if err := tensors.MutableFlatData(e.bEnc, func(dst []float32) { copy(dst, w.bEnc) }); err != nil {
		return fmt.Errorf("sae: write b_enc for the backend: %w", err)
	}
	if !e.cfg.RescaleByDecoder {
		return nil
	}
	return tensors.MutableFlatData(e.norm, func(dst []float32) { rowNorms(dst, w.dec, e.cfg.width()) })
}

func (e *backendEncoder) choose() (Latents, float64, error) {
	if e.scores != nil { // free the last batch's before the next is allocated
		e.scores.MustFinalizeAll()
		e.scores = nil
	}
	if err := tensors.MutableFlatData(e.xc, func(xc []float32) {
		if &xc[0] != &e.centred[0] {
			copy(xc, e.centred)
		}
	}); err != nil {
		return Latents{}, 0, fmt.Errorf("sae: write the batch for the backend: %w", err)
	}
	args := []any{e.xc, e.wEnc, e.bEnc}
	if e.cfg.RescaleByDecoder {
		args = append(args, e.norm)
	}
	var err error
	if e.scores, err = e.exec.Call1(args...); err != nil {
		return Latents{}, 0, fmt.Errorf("sae: encode: %w", err)
	}
	n, f := e.cfg.Batch, e.cfg.DSAE
	var least float32
	err = tensors.ConstFlatData(e.scores, func(s []float32) {
		if e.batch != nil {
			e.act, least = e.batch.run(s, n, f, e.cfg.batchK())
			return
		}
		e.prepare()
		parallel(n, func(worker, _, lo, hi int) {
			for r := lo; r < hi; r++ {
				index, value := e.act.Row(r)
				row := s[r*f : (r+1)*f]
				topK(e.order(worker, row), index, value)
				for j, v := range value {
					if !(v > 0) {
						value[j] = 0
						continue
					}
					value[j] = row[index[j]]
				}
			}
		})
	})
	if err != nil {
		return Latents{}, 0, fmt.Errorf("sae: read the encoder's output: %w", err)
	}
	return e.act, float64(least), nil
}

func (e *backendEncoder) among(_ weights, dead []int32, k int) (Latents, error) {
	n, f := e.cfg.Batch, e.cfg.DSAE
	if e.aux.K != k {
		e.aux = newLatents(n, k)
	}
	err := tensors.ConstFlatData(e.scores, func(s []float32) {
		e.prepare()
		parallel(n, func(worker, _, lo, hi int) {
			for r := lo; r < hi; r++ {
				index, value := e.aux.Row(r)
				row := s[r*f : (r+1)*f]
				topKAmong(e.order(worker, row), dead, index, value)
				for j, i := range index {
					value[j] = row[i]
				}
			}
		})
	})
	if err != nil {
		return Latents{}, fmt.Errorf("sae: read the encoder's output: %w", err)
	}
	return e.aux, nil
}

// prepare makes the workers' memory.
func (e *backendEncoder) prepare() {
	for e.cfg.byMagnitude() && len(e.size) < workerCount() {
		e.size = append(e.size, make([]float32, e.cfg.DSAE))
	}
}

// order returns what the scores of a row are selected by.
func (e *backendEncoder) order(worker int, scores []float32) []float32 {
	if !e.cfg.byMagnitude() {
		return scores
	}
	size := e.size[worker]
	for i, v := range scores {
		size[i] = max(v, -v)
	}
	return size
}
