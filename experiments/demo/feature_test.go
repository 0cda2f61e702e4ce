package demo

import (
	"math"
	"math/rand/v2"
	"testing"

	"loupe/internal/stats"
	"loupe/sae"
)

// sparseTexts has n texts of 1 to 6 tokens, the first and last of each special, with k of f latents on each token.
func sparseTexts(rng *rand.Rand, n, f, k int) (*Texts, sae.Latents) {
	texts := &Texts{Width: 2, Start: []int{0}}
	lat := sae.Latents{K: k}
	for range n {
		length := 1 + rng.IntN(6)
		for p := range length {
			texts.Special = append(texts.Special, p == 0 || p == length-1)
			texts.Token = append(texts.Token, rng.Int32N(9))
			texts.X = append(texts.X, float32(rng.IntN(5)-2), float32(rng.NormFloat64()))
			for _, j := range rng.Perm(f)[:k] {
				lat.Index = append(lat.Index, int32(j))
				lat.Value = append(lat.Value, float32(rng.IntN(4))) // 0 is an empty slot; ties are frequent
			}
		}
		texts.Start = append(texts.Start, len(texts.Token))
	}
	return texts, lat
}

// TestAUC holds the sparse AUC of every feature against stats.AUC of its dense values, taken straight from the rows.
func TestAUC(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		const f = 12
		texts, lat := sparseTexts(rng, 40, f, 3)
		positive := make([]bool, texts.Len())
		positives := 0
		for i := range positive {
			if positive[i] = rng.IntN(3) == 0; positive[i] {
				positives++
			}
		}
		dense := make([][]float64, f+2*texts.Width+9)
		for j := range dense {
			dense[j] = make([]float64, texts.Len())
			for i := range dense[j] {
				dense[j][i] = math.Inf(-1)
				for r := texts.Start[i]; r < texts.Start[i+1]; r++ {
					if texts.Special[r] {
						continue
					}
					v := math.Inf(-1)
					switch c := j - f; {
					case c < 0:
						for s, index := range lat.Index[r*3 : r*3+3] {
							if got := float64(lat.Value[r*3+s]); int(index) == j && got > 0 {
								v = got
							}
						}
					case c < 2*texts.Width:
						v = float64(texts.X[r*texts.Width+c/2]) * float64(1-2*(c%2))
					case texts.Token[r] == int32(c-2*texts.Width):
						v = 1
					}
					dense[j][i] = max(dense[j][i], v)
				}
			}
		}
		at := 0
		for _, features := range []*Features{latentFeatures(texts, lat, f), coordinateFeatures(texts), wordFeatures(texts, 9)} {
			for j := range features.lists {
				want, err := stats.AUC(dense[at], positive)
				if err != nil {
					t.Fatal(err)
				}
				at++
				if got := features.AUC(int32(j), positive, positives); math.Abs(got-want) > 1e-12 {
					t.Fatalf("feature %d: AUC %v, want %v", at, got, want)
				}
				if got, err := stats.AUC(features.Values(int32(j)), positive); err != nil || math.Abs(got-want) > 1e-12 {
					t.Fatalf("feature %d: AUC of Values %v (%v), want %v", at, got, err, want)
				}
			}
		}
	}
}

// TestBest plants a feature that is on in the positive texts only.
func TestBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	texts, lat := sparseTexts(rng, 60, 12, 3)
	positive := make([]bool, 60)
	for i := range positive {
		positive[i] = i%2 == 0 && texts.Start[i+1]-texts.Start[i] > 2
		for r := texts.Start[i]; r < texts.Start[i+1]; r++ {
			for s := range 3 {
				if lat.Index[r*3+s] == 7 {
					lat.Value[r*3+s] = 0
				}
			}
			if positive[i] && r == texts.Start[i]+1 {
				lat.Index[r*3], lat.Value[r*3] = 7, 5
			}
		}
	}
	best := latentFeatures(texts, lat, 12).Best(positive, 2)
	if len(best) != 2 || best[0].feature != 7 || best[0].auc != 1 || best[1].auc >= 1 {
		t.Errorf("best features %+v, want 7 with AUC 1 first", best)
	}
}
