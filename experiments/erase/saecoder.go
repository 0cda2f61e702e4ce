package erase

import (
	"fmt"
	"runtime"
	"sync"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/matmul"
	"loupe/sae"
	"loupe/vectors"
)

// SAECoder is a trained autoencoder as a Coder. It computes in float32, and only with the active features: of what is not the encoder's
// product, the cost of a state is that of K directions and not of all F.
type SAECoder struct {
	sae     *sae.SAE
	packed  []float32 // W_enc in panels of columns, as package matmul reads it
	encoder []float32 // W_enc' [F, d]: a row for each feature
}

// NewSAECoder takes the autoencoders whose codes are pre-activations that are kept or not: topk, jumprelu and standard, without a
// normalisation of each row and with decoder norms folded (sae.SAE.FoldDecoderNorm).
func NewSAECoder(s *sae.SAE) (*SAECoder, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	switch s.Arch {
	case sae.ArchTopK, sae.ArchJumpReLU, sae.ArchStandard:
	default:
		return nil, fmt.Errorf("erase: an autoencoder of architecture %s: %w; use topk, jumprelu or standard", s.Arch, vectors.ErrArgument)
	}
	if (s.Normalize != "" && s.Normalize != sae.NormalizeNone && s.Normalize != sae.NormalizeExpected) || s.RescaleByDecoder || s.HookZ {
		return nil, fmt.Errorf("erase: autoencoder with normalize_activations %q, rescale_acts_by_decoder_norm %v, hook_z %v: %w; fold them, or train without", s.Normalize, s.RescaleByDecoder, s.HookZ, vectors.ErrArgument)
	}
	c := &SAECoder{sae: s, encoder: make([]float32, s.DIn*s.DSAE), packed: make([]float32, matmul.PackedLen(s.DSAE, s.DIn, matmul.TileCols))}
	for j := range s.DIn {
		for f := range s.DSAE {
			c.encoder[f*s.DIn+j] = s.WEnc[j*s.DSAE+f]
		}
	}
	for f := 0; f < s.DSAE; f += matmul.TileCols {
		hi := min(f+matmul.TileCols, s.DSAE)
		matmul.Pack(c.packed[f*s.DIn:(f+matmul.TileCols)*s.DIn], c.encoder[f*s.DIn:hi*s.DIn], s.DIn, matmul.TileCols)
	}
	return c, nil
}

// SAE is the autoencoder.
func (c *SAECoder) SAE() *sae.SAE { return c.sae }

// Width implements Coder.
func (c *SAECoder) Width() int { return c.sae.DIn }

// Features implements Coder.
func (c *SAECoder) Features() int { return c.sae.DSAE }

// Encode implements Coder.
func (c *SAECoder) Encode(x *mat.Dense) (*Codes, error) {
	n, d, err := checkRows("states", x, c.sae.DIn)
	if err != nil {
		return nil, err
	}
	padded := (n + matmul.TileRows - 1) / matmul.TileRows * matmul.TileRows
	centred, panels := make([]float32, n*d), make([]float32, padded*d)
	for i := range n {
		for j, v := range x.RawRowView(i) {
			centred[i*d+j] = float32(v)
			if c.sae.ApplyBDecToInput {
				centred[i*d+j] -= c.sae.BDec[j]
			}
		}
	}
	for lo := 0; lo < n; lo += matmul.TileRows {
		matmul.Pack(panels[lo*d:(lo+matmul.TileRows)*d], centred[lo*d:min(lo+matmul.TileRows, n)*d], d, matmul.TileRows)
	}
	const cols = matmul.TileCols
	width := len(c.packed) / d
	scores := make([]float32, padded*width)
	split(width/cols, func(from, to int) {
		var tile [matmul.TileRows * cols]float32
		for p := from; p < to; p++ {
			for lo := 0; lo < padded; lo += matmul.TileRows {
				matmul.Tile(&tile, panels[lo*d:(lo+matmul.TileRows)*d], c.packed[p*cols*d:(p+1)*cols*d])
				for r := range min(matmul.TileRows, n-lo) {
					copy(scores[(lo+r)*width+p*cols:], tile[r*cols:(r+1)*cols])
				}
			}
		}
	})
	z := &Codes{Features: c.sae.DSAE, Index: make([][]int32, n), Value: make([][]float64, n)}
	split(n, func(from, to int) {
		for i := from; i < to; i++ {
			z.Index[i], z.Value[i] = c.active(scores[i*width : i*width+c.sae.DSAE])
		}
	})
	return z, nil
}

// active selects from a state's products with the encoder.
func (c *SAECoder) active(h []float32) ([]int32, []float64) {
	keep := largest{k: len(h)}
	if c.sae.Arch == sae.ArchTopK {
		keep.k = c.sae.K
	}
	for f, v := range h {
		v += c.sae.BEnc[f]
		if v > 0 && (c.sae.Threshold == nil || v > c.sae.Threshold[f]) {
			keep.offer(int32(f), v)
		}
	}
	return keep.sorted()
}

// Decode implements Coder.
func (c *SAECoder) Decode(z *Codes) (*mat.Dense, error) { return c.decode(z, c.sae.BDec) }

// Directions implements Coder.
func (c *SAECoder) Directions(z *Codes) (*mat.Dense, error) { return c.decode(z, nil) }

func (c *SAECoder) decode(z *Codes, bias []float32) (*mat.Dense, error) {
	if err := z.check(c.sae.DSAE); err != nil {
		return nil, err
	}
	d := c.sae.DIn
	out := mat.NewDense(len(z.Index), d, nil)
	row, coef := make([]float32, d), []float32(nil)
	for i, index := range z.Index {
		if clear(row); bias != nil {
			copy(row, bias)
		}
		coef = coef[:0]
		for _, v := range z.Value[i] {
			coef = append(coef, float32(v))
		}
		matmul.AddRows(row, c.sae.WDec, index, coef)
		for j, v := range row {
			out.RawRowView(i)[j] = float64(v)
		}
	}
	return out, nil
}

// Pullback implements Coder; sums are in float64.
func (c *SAECoder) Pullback(a *Codes, g *mat.Dense) (*mat.Dense, error) {
	if err := checkPullback(a, c.sae.DSAE, g, c.sae.DIn); err != nil {
		return nil, err
	}
	d := c.sae.DIn
	out := mat.NewDense(len(a.Index), d, nil)
	for i, index := range a.Index {
		row, from := out.RawRowView(i), g.RawRowView(i)
		for j, f := range index {
			s := 0.0
			for k, v := range c.sae.Decoder(int(f)) {
				s += from[k] * float64(v)
			}
			s *= a.Value[i][j]
			for k, v := range c.encoder[int(f)*d : (int(f)+1)*d] {
				row[k] += s * float64(v)
			}
		}
	}
	return out, nil
}

// split calls f for consecutive parts of 0..n, one for each processor, at the same time.
func split(n int, f func(from, to int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { f(w*n/workers, (w+1)*n/workers) })
	}
	wg.Wait()
}
