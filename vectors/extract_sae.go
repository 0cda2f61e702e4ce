package vectors

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/sae"
)

// SAEExtractor takes latents of a sparse autoencoder as concepts: of a trained one those r that write most into the rows, or
// of one of r latents that it trains.
type SAEExtractor struct {
	SAE     *sae.SAE        // a trained one; nil trains with Backend and Config
	Backend compute.Backend // for training
	Config  sae.Config      // for training; d_sae and seed are set by Extract
}

// Name is "sae".
func (SAEExtractor) Name() string { return "sae" }

// Extract is Extractor's.
func (x SAEExtractor) Extract(ctx context.Context, a *mat.Dense, r int, seed uint64) (*Concepts, error) {
	n, d, err := checkExtract("SAE", a, r)
	if err != nil {
		return nil, err
	}
	s := x.SAE
	if s == nil {
		if s, err = x.train(ctx, a, r, seed); err != nil {
			return nil, err
		}
	}
	if s.DIn != d || s.Transcoder() {
		return nil, checkWidth("SAE", s.DIn, d)
	}
	if s.Normalize != sae.NormalizeNone && s.Normalize != sae.NormalizeExpected {
		return nil, fmt.Errorf("vectors: concepts of an SAE with normalisation %q: %w; its latents do not add up in the activations", s.Normalize, ErrArgument)
	}
	if r > s.DSAE {
		return nil, fmt.Errorf("vectors: %d concepts of an SAE of %d latents: %w", r, s.DSAE, ErrArgument)
	}
	switch s.Arch {
	case sae.ArchStandard, sae.ArchTopK, sae.ArchBatchTopK, sae.ArchMatryoshka, sae.ArchJumpReLU, sae.ArchGated:
	default:
		return nil, fmt.Errorf("vectors: concepts of an SAE of architecture %s: %w; take standard, topk, batchtopk, matryoshka, jumprelu or gated", s.Arch, ErrArgument)
	}
	all, err := latentMatrix(s, a, nil)
	if err != nil {
		return nil, err
	}
	energy := make([]float64, s.DSAE)
	for l := range energy {
		square := 1.0 // of what the latent writes at 1
		if !s.RescaleByDecoder {
			square = 0
			for _, v := range s.Decoder(l) {
				square += float64(v) * float64(v)
			}
		}
		for i := range n {
			energy[l] += square * all.At(i, l) * all.At(i, l)
		}
	}
	chosen := largestIndices(energy, r)
	c := &Concepts{Method: x.Name(), W: mat.NewDense(r, d, nil), Centre: float64s(s.BDec)}
	norm := make([]float64, r) // of the decoder row, by which RescaleByDecoder multiplies a latent
	for k, l := range chosen {
		row := float64s(s.Decoder(l))
		norm[k] = 1
		if s.RescaleByDecoder {
			norm[k] = floats.Norm(row, 2)
			floats.Scale(1/norm[k], row)
		}
		c.W.SetRow(k, row)
	}
	c.encode = func(_ context.Context, a *mat.Dense) (*mat.Dense, error) { return latentMatrix(s, a, chosen) }
	c.jacobian = func(u []float64) (*mat.Dense, error) {
		out := mat.NewDense(r, d, nil)
		for k, l := range chosen {
			slope := norm[k]
			if s.Arch == sae.ArchGated {
				slope *= math.Exp(float64(s.RMag[l]))
			}
			for j := 0; j < d && u[k] > 0; j++ { // a latent that is on reads its encoder row
				out.Set(k, j, slope*float64(s.WEnc[j*s.DSAE+l]))
			}
		}
		return out, nil
	}
	c.U, err = c.encode(ctx, a)
	return c, err
}

// train trains an autoencoder of r latents on the rows of a.
func (x SAEExtractor) train(ctx context.Context, a *mat.Dense, r int, seed uint64) (*sae.SAE, error) {
	if x.Backend == nil {
		return nil, fmt.Errorf("vectors: concepts of an SAE: %w; give a trained one, or a backend and a config to train with", ErrArgument)
	}
	n, d := a.Dims()
	cfg := x.Config
	cfg.DSAE, cfg.Seed = r, seed
	cfg, err := cfg.Resolve(d)
	if err != nil {
		return nil, fmt.Errorf("vectors: concepts of an SAE: %w", err)
	}
	epochs := int((cfg.Steps()*int64(cfg.Batch)+int64(n)-1)/int64(n)) + 1
	rows, err := sae.NewMemoryRows(float32s(mat.DenseCopyOf(a).RawMatrix().Data), d, seed, epochs)
	if err != nil {
		return nil, fmt.Errorf("vectors: concepts of an SAE: %w", err)
	}
	t, err := sae.Start(x.Backend, cfg, rows)
	if err != nil {
		return nil, fmt.Errorf("vectors: concepts of an SAE: %w", err)
	}
	defer t.Close()
	if err := t.Train(ctx, rows, sae.TrainOptions{}); err != nil {
		return nil, fmt.Errorf("vectors: concepts of an SAE: %w", err)
	}
	return t.SAE()
}

// latentMatrix are the activations of chosen latents (nil: all) on the rows of a, [n, len(chosen)].
func latentMatrix(s *sae.SAE, a *mat.Dense, chosen []int) (*mat.Dense, error) {
	n, _ := a.Dims()
	latents, err := s.Encode(float32s(mat.DenseCopyOf(a).RawMatrix().Data))
	if err != nil {
		return nil, fmt.Errorf("vectors: concepts of an SAE: %w", err)
	}
	width := s.DSAE
	place := make([]int, s.DSAE)
	for l := range place {
		place[l] = l
	}
	if chosen != nil {
		width = len(chosen)
		for l := range place {
			place[l] = -1
		}
		for k, l := range chosen {
			place[l] = k
		}
	}
	out := mat.NewDense(n, width, nil)
	for i := range n {
		index, value := latents.Row(i)
		for j, l := range index {
			if k := place[l]; k >= 0 && value[j] != 0 {
				out.Set(i, k, float64(value[j]))
			}
		}
	}
	return out, nil
}
