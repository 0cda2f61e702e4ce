package erase

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// plantedTexts are texts of 3 to 6 Gaussian tokens; every other one has the concept's direction, axis 0, added to one token.
func plantedTexts(n, d int, strength float64, seed uint64) (texts []Text, concept []bool) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		tokens := 3 + rng.IntN(4)
		x := mat.NewDense(tokens+2, d, nil) // two rows of padding, far away
		x.Apply(func(r, _ int, _ float64) float64 {
			if r >= tokens {
				return 100
			}
			return rng.NormFloat64()
		}, x)
		if i%2 == 0 {
			at := 1 + rng.IntN(tokens-1)
			x.Set(at, 0, x.At(at, 0)+strength)
		}
		texts, concept = append(texts, Text{X: x, Length: tokens}), append(concept, i%2 == 0)
	}
	return texts, concept
}

// TestClassifierWeights: the gradient of every weight against central differences of the loss, and the loss against the logits of
// Classifier.Logit.
func TestClassifierWeights(t *testing.T) {
	texts, concept := plantedTexts(5, 4, 3, 3)
	weight, err := balance(concept)
	if err != nil {
		t.Fatal(err)
	}
	w, g, scratch := newWeights(4, 3), newWeights(4, 3), newWeights(4, 3)
	w.draw(rand.New(rand.NewPCG(5, 0)))
	w.flat[len(w.flat)-1] = 0.3
	texts, concept, weight = texts[:4], concept[:4], weight[:4]
	loss := w.gradient(texts, concept, weight, g)
	want := 0.0
	for i := range texts {
		logit, _, err := w.classifier().Logit(mat.DenseCopyOf(texts[i].X.Slice(0, texts[i].Length, 0, 4)))
		if err != nil {
			t.Fatal(err)
		}
		p := sigmoid(logit)
		if !concept[i] {
			p = 1 - p
		}
		want -= weight[i] * math.Log(p) / 4
	}
	if math.Abs(loss-want) > 1e-12 {
		t.Errorf("loss %v, from the logits %v", loss, want)
	}
	const step = 1e-6
	for i, v := range w.flat {
		w.flat[i] = v + step
		up := w.gradient(texts, concept, weight, scratch)
		w.flat[i] = v - step
		down := w.gradient(texts, concept, weight, scratch)
		w.flat[i] = v
		if slope := (up - down) / (2 * step); math.Abs(slope-g.flat[i]) > 1e-7 {
			t.Errorf("weight %d: %v, differences give %v", i, g.flat[i], slope)
		}
	}
}

// TestTrainClassifier: a direction that one of a text's tokens has is found in new texts, and not where labels are shuffled.
func TestTrainClassifier(t *testing.T) {
	cfg := TrainConfig{Attention: true, Hidden: 8, Epochs: 30, Batch: 32, LR: 1e-2, WeightDecay: 0.01}
	right := func(c *Classifier) (share float64) {
		texts, concept := plantedTexts(200, 8, 8, 9)
		for i, x := range texts {
			logit, _, err := c.Logit(mat.DenseCopyOf(x.X.Slice(0, x.Length, 0, 8)))
			if err != nil {
				t.Fatal(err)
			}
			if (logit > 0) == concept[i] {
				share += 1.0 / 200
			}
		}
		return share
	}
	texts, concept := plantedTexts(200, 8, 8, 7)
	c, losses, err := TrainClassifier(t.Context(), texts, concept, cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	shuffled := make([]bool, len(concept))
	for i, j := range rand.New(rand.NewPCG(2, 0)).Perm(len(concept)) {
		shuffled[i] = concept[j]
	}
	control, _, err := TrainClassifier(t.Context(), texts, shuffled, cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("right %.3f, with shuffled labels %.3f; loss %.3f to %.3f", right(c), right(control), losses[0], losses[len(losses)-1])
	if right(c) < 0.95 || math.Abs(right(control)-0.5) > 0.2 {
		t.Error("expected at least 0.95 and, of shuffled labels, about 0.5")
	}
	if _, _, err := TrainClassifier(t.Context(), texts, make([]bool, len(texts)), cfg, 1); err == nil {
		t.Error("texts without the concept were taken")
	}
}
