package demo

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"loupe/internal/stats"
	"loupe/probe/token"
	"loupe/sae"
)

// LatentRow is a latent that detects a concept.
type LatentRow struct {
	Rank     int            `json:"rank"` // from 1, by the AUC on the training sentences
	Latent   int32          `json:"latent"`
	TrainAUC float64        `json:"train_auc"` // chosen as the largest: biased upwards
	AUC      stats.Interval `json:"auc"`       // on held-out words and templates
	Positive float64        `json:"positive"`  // share of held-out positive sentences in which it is active
	Negative float64        `json:"negative"`
	Tokens   []string       `json:"tokens"` // with the largest sum of activations in the training sentences
}

// Control is the best feature of another kind, chosen and tested as the latents are.
type Control struct {
	Name     string         `json:"name"`
	Feature  int32          `json:"feature"`
	TrainAUC float64        `json:"train_auc"`
	AUC      stats.Interval `json:"auc"`
}

// Names of the controls.
const (
	ControlUntrained  = "untrained SAE"
	ControlCoordinate = "residual coordinate"
	ControlWord       = "bag of words"
)

// Detection is what the search found for one concept.
type Detection struct {
	Concept   string      `json:"concept"`
	Sentences int         `json:"sentences"` // held out
	Words     int         `json:"words"`     // of the concept, held out; the interval's independent units
	Templates int         `json:"templates"` // held out
	Latents   []LatentRow `json:"latents"`
	Controls  []Control   `json:"controls"`

	// The whole selection with shuffled labels, from the training sentences to the held-out AUC.
	Shuffles     int     `json:"shuffles"`
	ShuffledMean float64 `json:"shuffled_mean"`
	Shuffled95   float64 `json:"shuffled_95"` // 95th percentile
	P            float64 `json:"p"`           // share of shuffles at least as good, the real one counted in
}

// Chosen returns the kept latents.
func (d *Detection) Chosen() []int32 {
	out := make([]int32, len(d.Latents))
	for i, l := range d.Latents {
		out[i] = l.Latent
	}
	return out
}

// DetectInput is what Detect searches.
type DetectInput struct {
	Trained, Untrained *sae.Runner
	Latents            int // of either
	Tokenizer          *token.Tokenizer
	Keep, Shuffles     int
	Seed               int64
}

// Detect finds the latents that tell a concept's training sentences from their twins, and tests them on sentences with
// other words and templates. A sentence's value is the latent's largest activation over its tokens, special ones left out.
func Detect(ctx context.Context, train, held *Part, in DetectInput) (*Detection, error) {
	d := &Detection{Concept: train.Concept, Sentences: held.Texts.Len(), Words: held.words(), Templates: held.templates(), Shuffles: in.Shuffles}
	lat, err := in.Trained.Encode(ctx, train.Texts.X)
	if err != nil {
		return nil, err
	}
	heldLat, err := in.Trained.Encode(ctx, held.Texts.X)
	if err != nil {
		return nil, err
	}
	fit, test := latentFeatures(train.Texts, lat, in.Latents), latentFeatures(held.Texts, heldLat, in.Latents)
	negative := make([]bool, len(held.Positive))
	for i, p := range held.Positive {
		negative[i] = !p
	}
	for i, best := range fit.Best(train.Positive, in.Keep) {
		auc, err := aucOver(ctx, test.Values(best.feature), held.Positive, held.Cluster, in.Seed)
		if err != nil {
			return nil, err
		}
		d.Latents = append(d.Latents, LatentRow{
			Rank: i + 1, Latent: best.feature, TrainAUC: best.auc, AUC: auc,
			Positive: test.share(best.feature, held.Positive), Negative: test.share(best.feature, negative),
			Tokens: topTokens(train.Texts, lat, best.feature, in.Tokenizer),
		})
	}
	if len(d.Latents) < in.Keep {
		return nil, fmt.Errorf("demo: concept %s: only %d latents are active in its sentences, %d are to be kept; lower detect.latents or train longer", d.Concept, len(d.Latents), in.Keep)
	}
	if err := d.controls(ctx, train, held, in); err != nil {
		return nil, err
	}
	d.shuffle(fit, test, train, held, in)
	return d, nil
}

// controls choose and test the best feature of other kinds in the same way.
func (d *Detection) controls(ctx context.Context, train, held *Part, in DetectInput) error {
	lat, err := in.Untrained.Encode(ctx, train.Texts.X)
	if err != nil {
		return err
	}
	heldLat, err := in.Untrained.Encode(ctx, held.Texts.X)
	if err != nil {
		return err
	}
	vocabulary := in.Tokenizer.VocabSize()
	for _, c := range []struct {
		name      string
		fit, test *Features
	}{
		{ControlUntrained, latentFeatures(train.Texts, lat, in.Latents), latentFeatures(held.Texts, heldLat, in.Latents)},
		{ControlCoordinate, coordinateFeatures(train.Texts), coordinateFeatures(held.Texts)},
		{ControlWord, wordFeatures(train.Texts, vocabulary), wordFeatures(held.Texts, vocabulary)},
	} {
		best := c.fit.Best(train.Positive, 1)[0]
		auc, err := aucOver(ctx, c.test.Values(best.feature), held.Positive, held.Cluster, in.Seed)
		if err != nil {
			return err
		}
		d.Controls = append(d.Controls, Control{c.name, best.feature, best.auc, auc})
	}
	return nil
}

// shuffle repeats the selection with labels shuffled among words.
func (d *Detection) shuffle(fit, test *Features, train, held *Part, in DetectInput) {
	rng := rand.New(rand.NewPCG(uint64(in.Seed), 0xde7ec7))
	null := make([]float64, in.Shuffles)
	worse, sum := 1, 0.0
	for i := range null {
		best := fit.Best(train.shuffled(rng), 1)[0]
		labels := held.shuffled(rng)
		positives := 0
		for _, p := range labels {
			if p {
				positives++
			}
		}
		null[i] = test.AUC(best.feature, labels, positives)
		sum += null[i]
		if null[i] >= d.Latents[0].AUC.Value {
			worse++
		}
	}
	slices.Sort(null)
	d.ShuffledMean = sum / float64(len(null))
	d.Shuffled95 = null[int(math.Ceil(0.95*float64(len(null))))-1]
	d.P = float64(worse) / float64(len(null)+1)
}

// topTokens returns the five tokens on which a latent is active most in all.
func topTokens(texts *Texts, lat sae.Latents, latent int32, tok *token.Tokenizer) []string {
	sum := map[int32]float64{}
	for r, id := range texts.Token {
		index, value := lat.Row(r)
		for j, v := range value {
			if index[j] == latent && v > 0 && !texts.Special[r] {
				sum[id] += float64(v)
			}
		}
	}
	ids := make([]int32, 0, len(sum))
	for id := range sum {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b int32) int { return cmp.Or(cmp.Compare(sum[b], sum[a]), cmp.Compare(a, b)) })
	var out []string
	for _, id := range ids[:min(5, len(ids))] {
		name, ok := tok.Token(id)
		if !ok {
			name = fmt.Sprint(id)
		}
		out = append(out, name)
	}
	return out
}
