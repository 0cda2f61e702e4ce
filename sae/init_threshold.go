package sae

import (
	"fmt"
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
)

const (
	thresholdRows  = 4096 // rows of the sample that thresholds are measured on
	thresholdBlock = 1024 // latents measured at once
)

// measureThresholds sets every threshold to the quantile of its latent's pre-activations over rows x, [n, d_in], at which
// the latent is active in InitL0 / d_sae of the rows, so that training begins with InitL0 active latents in each row and
// none that never fires (Anthropic's Circuits Updates, January 2025, has the same by the encoder's bias). Where fewer
// pre-activations are positive the threshold is 0.
func measureThresholds(b compute.Backend, cfg Config, w weights, x []float32) error {
	d, f := cfg.DIn, cfg.DSAE
	n := min(len(x)/d, thresholdRows)
	rows := make([]float32, n*d)
	for r := range n {
		row := rows[r*d : (r+1)*d]
		normalizeRow(cfg.Normalize, row, x[r*d:(r+1)*d])
		if cfg.centres() {
			axpy(-1, w.bDec, row)
		}
	}
	exec, err := newEncoderExec(b, false)
	if err != nil {
		return err
	}
	defer exec.Finalize()
	xc := tensors.FromFlatDataAndDimensions(rows, n, d)
	defer xc.MustFinalizeAll()
	active := min(int(math.Round(float64(n)*cfg.JumpReLU.InitL0/float64(f))), n-1)
	theta := w.named(cfg, "threshold")
	for lo := 0; lo < f; lo += thresholdBlock {
		size := min(thresholdBlock, f-lo)
		enc, bias := make([]float32, thresholdBlock*d), make([]float32, thresholdBlock)
		copy(enc, w.enc[lo*d:(lo+size)*d])
		copy(bias, w.bEnc[lo:lo+size])
		turned := make([]float32, len(enc))
		transpose(turned, enc, thresholdBlock, d)
		h, err := exec.Call1(xc, tensors.FromFlatDataAndDimensions(turned, d, thresholdBlock), tensors.FromFlatDataAndDimensions(bias, thresholdBlock))
		if err != nil {
			return fmt.Errorf("sae: measure thresholds: %w", err)
		}
		err = tensors.ConstFlatData(h, func(h []float32) {
			parallel(size, func(_, _, from, to int) {
				column, index, value := make([]float32, n), make([]int32, active+1), make([]float32, active+1)
				for i := from; i < to; i++ {
					for r := range column {
						column[r] = h[r*thresholdBlock+i]
					}
					topK(column, index, value)
					least := value[0]
					for _, v := range value {
						least = min(least, v)
					}
					theta[lo+i] = max(least, 0)
				}
			})
		})
		h.MustFinalizeAll()
		if err != nil {
			return fmt.Errorf("sae: read the pre-activations: %w", err)
		}
	}
	return nil
}
