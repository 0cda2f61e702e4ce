package vectors

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
	"loupe/sae"
)

// reluSAE is a standard autoencoder of random unit decoder rows, with the encoder tied to them.
func reluSAE(seed uint64, d, f int) *sae.SAE {
	rng := rand.New(rand.NewPCG(seed, 5))
	s := &sae.SAE{Arch: sae.ArchStandard, DIn: d, DSAE: f, Normalize: sae.NormalizeNone, WEnc: make([]float32, d*f), WDec: make([]float32, d*f), BEnc: make([]float32, f), BDec: make([]float32, d)}
	for l := range f {
		row, norm := make([]float64, d), 0.0
		for j := range row {
			row[j] = rng.NormFloat64()
			norm += row[j] * row[j]
		}
		for j, v := range row {
			v /= math.Sqrt(norm)
			s.WDec[l*d+j], s.WEnc[j*f+l] = float32(v), float32(v)
		}
		s.BEnc[l] = -0.3
	}
	for j := range d {
		s.BDec[j] = float32(0.1 * rng.NormFloat64())
	}
	return s
}

// TestLatentsPlanted: rows of the concept hold one decoder row more; its latent is the first, and stands on held-out rows; with
// shuffled labels the chosen latent's interval there holds one half.
func TestLatentsPlanted(t *testing.T) {
	const d, f, n, planted = 16, 40, 240, 17
	s := reluSAE(1, d, f)
	x, y := normalRows(2, n, d), make([]int, n)
	x.Scale(0.4, x)
	for i := range n {
		y[i] = i % 2
		for j := range d {
			x.Set(i, j, x.At(i, j)+1.2*float64(y[i])*float64(s.Decoder(planted)[j]))
		}
	}
	found := ok(Latents(t.Context(), s, x, y, DefaultLatents()))(t)
	if len(found) != 10 || found[0].Latent != planted || found[0].HeldOut.Low < 0.8 {
		t.Fatalf("first of %d latents: %+v", len(found), found[0])
	}
	for j, v := range s.Decoder(planted) {
		if found[0].Decoder[j] != float64(v) || found[0].Encoder[j] != float64(s.WEnc[j*f+planted]) {
			t.Fatalf("entry %d of its vectors is %v and %v", j, found[0].Decoder[j], found[0].Encoder[j])
		}
	}
	for i := 1; i < len(found); i++ {
		if found[i].AUC > found[i-1].AUC {
			t.Errorf("latent %d comes after one of smaller AUC", i)
		}
	}
	rand.New(rand.NewPCG(3, 3)).Shuffle(n, func(i, j int) { y[i], y[j] = y[j], y[i] })
	chance := ok(Latents(t.Context(), s, x, y, DefaultLatents()))(t)[0]
	if chance.AUC < 0.55 || chance.HeldOut.Low > 0.5 {
		t.Errorf("shuffled labels: chosen with %.3f, held out %+v", chance.AUC, chance.HeldOut)
	}
}

// TestLatentAUC: the AUC over sparse activations is that of the dense ones.
func TestLatentAUC(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for range 30 {
		a := &activations{positive: make([]bool, 50), of: make([][]activation, 1)}
		for i := range a.positive {
			a.positive[i] = i < 2 || i > 3 && rng.IntN(3) == 0
			if v := rng.IntN(6); v > 0 { // with ties
				a.of[0] = append(a.of[0], activation{i, float64(v)})
			}
		}
		scores, positive := a.dense(0)
		closeTo(t, "AUC", []float64{a.auc(0)}, []float64{ok(stats.AUC(scores, positive))(t)}, 1e-14)
	}
}

func TestLatentsRefuse(t *testing.T) {
	s := reluSAE(1, 4, 6)
	x, y := normalRows(1, 8, 4), []int{0, 1, 0, 1, 0, 1, 0, 1}
	if _, err := Latents(t.Context(), s, normalRows(1, 8, 5), y, DefaultLatents()); !errors.Is(err, ErrShape) {
		t.Errorf("rows of another width: %v", err)
	}
	if _, err := Latents(t.Context(), s, x, make([]int, 8), DefaultLatents()); !errors.Is(err, ErrClasses) {
		t.Errorf("one class: %v", err)
	}
	if _, err := Latents(t.Context(), s, x, y, LatentConfig{Top: 1}); !errors.Is(err, ErrArgument) {
		t.Errorf("nothing held out: %v", err)
	}
	bad := mat.DenseCopyOf(x)
	bad.Set(1, 1, math.NaN())
	if _, err := Latents(t.Context(), s, bad, y, DefaultLatents()); !errors.Is(err, ErrNotFinite) {
		t.Errorf("NaN: %v", err)
	}
}
