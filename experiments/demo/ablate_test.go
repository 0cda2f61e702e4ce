package demo

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/internal/lab"
	"loupe/internal/stats"
	"loupe/sae"
)

func TestMeanProbe(t *testing.T) {
	// Two classes in the plane with means (0, 0) and (4, 0); the second coordinate does not tell them apart.
	x := []float32{-1, 3, 1, -3, 3, 5, 5, -5}
	positive := []bool{false, false, true, true}
	p := fitMean(x, 2, positive)
	got := p.scores([]float32{0, 9, 4, 9, 2, 0, -4, 0}, 2)
	if want := []float64{0, 1, 0.5, -1}; !slices.Equal(got, want) {
		t.Errorf("scores %v, want %v", got, want)
	}
	if got := right([]float64{0.6, 0.5, 0.4, 0.7}, []bool{true, true, false, false}); !slices.Equal(got, []float64{1, 0, 1, 0}) {
		t.Errorf("right %v", got)
	}
}

func TestRemove(t *testing.T) {
	s := &sae.SAE{DIn: 2, DSAE: 3, WDec: []float32{1, 0, 0, 1, 2, 2}}
	lat := sae.Latents{K: 2, Index: []int32{0, 2, 1, 0}, Value: []float32{3, 0.5, 1, 0}}
	x := []float32{10, 10, 20, 20}
	remove(x, s, lat, []int32{0, 2})
	if want := []float32{6, 9, 20, 20}; !slices.Equal(x, want) { // 10 - 3*1 - 0.5*2, 10 - 0.5*2; the second row's slot of latent 0 is empty
		t.Errorf("rows %v, want %v", x, want)
	}
	texts := &Texts{Width: 2, Start: []int{0, 1, 2}}
	for i, want := range []bool{true, false} {
		if got := anyActive(texts, lat, i, []int32{0}); got != want {
			t.Errorf("latent 0 active in text %d: %v", i, got)
		}
	}
}

func TestMatched(t *testing.T) {
	frequency := make([]float64, 200)
	for i := range frequency {
		frequency[i] = float64(i) / 200
	}
	rng := rand.New(rand.NewPCG(4, 4))
	latents := []int32{50, 51, 150}
	picked := map[int32]bool{}
	for range 300 {
		got := matched(rng, latents, frequency)
		if len(got) != 3 {
			t.Fatalf("%d latents for 3", len(got))
		}
		for i, l := range got {
			picked[l] = true
			if slices.Contains(latents, l) || slices.Contains(got[:i], l) {
				t.Fatalf("drawn %v for %v", got, latents)
			}
			// The 20 nearest lie within 10 on either side, but for those taken.
			if d := math.Abs(float64(l - latents[i])); d > 13 {
				t.Fatalf("latent %d drawn for %d", l, latents[i])
			}
		}
	}
	if len(picked) < 35 {
		t.Errorf("only %d different latents in 300 draws", len(picked))
	}
	if got := matched(rng, []int32{0, 1}, []float64{0.1, 0.2, 0.3}); !slices.Equal(got, []int32{2}) {
		t.Errorf("with one latent left: %v", got)
	}
}

// TestAUCOver checks the interval: it contains the AUC, resamples whole clusters, and has width where classes are separated.
func TestAUCOver(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	var scores []float64
	var positive []bool
	var cluster []int
	for c := range 12 {
		shift := rng.NormFloat64()
		for range 5 {
			scores = append(scores, rng.NormFloat64()+1+shift, rng.NormFloat64())
			positive, cluster = append(positive, true, false), append(cluster, c, c)
		}
	}
	want, err := stats.AUC(scores, positive)
	if err != nil {
		t.Fatal(err)
	}
	clustered, err := aucOver(t.Context(), scores, positive, cluster, 1)
	if err != nil {
		t.Fatal(err)
	}
	single, err := stats.AUCNewcombe(scores, positive, lab.Level)
	if err != nil {
		t.Fatal(err)
	}
	if clustered.Value != want || clustered.N != 12 || clustered.Low >= want || clustered.High <= want {
		t.Errorf("interval %+v of AUC %v over 12 clusters", clustered, want)
	}
	if clustered.High-clustered.Low <= single.High-single.Low {
		t.Errorf("clusters of dependent scores give [%v, %v], no wider than single scores [%v, %v]", clustered.Low, clustered.High, single.Low, single.High)
	}
	for i, p := range positive {
		scores[i] = math.Inf(-1)
		if p {
			scores[i] = 1
		}
	}
	separated, err := aucOver(t.Context(), scores, positive, cluster, 1)
	if err != nil {
		t.Fatal(err)
	}
	if separated.Value != 1 || separated.High != 1 || separated.Low >= 0.99 || separated.Low < 0.8 {
		t.Errorf("separated classes: %+v", separated)
	}
}

func TestAccuracyOver(t *testing.T) {
	cluster := []int{0, 0, 1, 1, 2, 2, 3, 3}
	for name, c := range map[string]struct {
		hit       []float64
		value     float64
		low, high float64
	}{
		"all right": {[]float64{1, 1, 1, 1, 1, 1, 1, 1}, 1, 0.6756, 1}, // Wilson: 1/(1+z²/n), z = 1.96, n = 8
		"none":      {[]float64{0, 0, 0, 0, 0, 0, 0, 0}, 0, 0, 0.3244},
		"half":      {[]float64{1, 1, 0, 0, 1, 1, 0, 0}, 0.5, 0, 1}, // a resample of four clusters can hold one kind only
	} {
		got, err := accuracyOver(t.Context(), c.hit, cluster, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got.Value != c.value || math.Abs(got.Low-c.low) > 1e-4 || math.Abs(got.High-c.high) > 1e-4 {
			t.Errorf("%s: %+v, want %v [%v, %v]", name, got, c.value, c.low, c.high)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{5, 1, 2}, 2}} {
		if got := median(c.x); got != c.want {
			t.Errorf("median of %v is %v", c.x, got)
		}
	}
}
