package demo

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"loupe/internal/lab"
	"loupe/internal/stats"
	"loupe/sae"
)

// Sets of latents that are ablated: those that were chosen, and random ones that are as often active on the held-out
// tokens of the corpus, or in the concept's own training sentences.
const (
	SetChosen       = "chosen"
	SetRandomCorpus = "random, corpus"
	SetRandomHere   = "random, concept"
)

// AblationRow says what changes when a set of latents is held at zero. Of random sets it is the mean over the draws.
type AblationRow struct {
	Concept  string         `json:"concept"`
	Set      string         `json:"set"`
	Draws    int            `json:"draws"`
	Touched  float64        `json:"touched"`  // share of the other texts with one of the latents active
	Moved    stats.Interval `json:"moved"`    // positives: way towards the negative mean of the probe, 1 is all of it
	Drop     stats.Interval `json:"drop"`     // loss of the probe's accuracy
	Concepts stats.Interval `json:"positive"` // cosine shift (1 - cosine) of the concept's sentences
	Twins    stats.Interval `json:"negative"` // of their twins without the concept
	Rest     stats.Interval `json:"rest"`     // of all other texts
	Stay     stats.Interval `json:"stay"`     // share of the other texts' nearest neighbours that stay
}

// Ablation is what the ablation of one concept's latents does, and its controls.
type Ablation struct {
	Concept  string         `json:"concept"`
	Latents  []int32        `json:"latents"`
	Accuracy stats.Interval `json:"accuracy"` // of the probe in the untouched encoder, held-out sentences
	After    stats.Interval `json:"after"`    // of the same probe without the latents
	Refit    stats.Interval `json:"refit"`    // of a probe that is fitted again without the latents
	Rows     []AblationRow  `json:"rows"`
	// Check is the largest difference of a coordinate of the concept's embeddings between the two ways to ablate.
	Check float64 `json:"check"`
}

// Panel is the texts on which everything is compared.
type Panel struct {
	Texts     *Texts
	Base      []float32        // embeddings of the untouched encoder
	Latents   sae.Latents      // of every row of Texts
	Own       map[string]Range // texts of a concept's held-out sentences
	Cluster   []int            // texts that depend on each other have one label
	Neighbour [][]int32        // nearest neighbours in Base
	Density   []float64        // share of rows of the corpus on which each latent is active
	K         int              // neighbours
}

// Range is texts From to To - 1.
type Range struct{ From, To int }

// AblateInput is what Ablate needs besides the panel.
type AblateInput struct {
	Tail   *Tail
	SAE    *sae.SAE
	Edit   *Spliced // the same, for the check
	Train  *Part
	Held   *Part
	Base   []float32   // embeddings of the training sentences in the untouched encoder
	Lat    sae.Latents // latents of the training sentences
	Chosen []int32
	Draws  int
	Seed   int64
	Done   func(n int64) // told of every set of latents that is done; may be nil
}

// Ablate holds the chosen latents at zero in the encoder, with the reconstruction error kept, so that nothing else
// changes, and compares the sentence embeddings with those of the untouched encoder. The same is done with random latents
// that are as often active, in the corpus or in the concept's own sentences.
//
// With the error kept, latents S at zero turn the residual stream x into x - sum_{j in S} f_j(x) W_dec[j]. That is
// computed here from the latents, and the blocks after the site run on from it: exact where none of S is active, and
// several times faster than encoding in the graph. For the concept's own sentences it is held against the run-time edit
// of the graph (Edit.Off), and the largest difference is part of the result.
func Ablate(ctx context.Context, panel *Panel, in AblateInput) (*Ablation, error) {
	a := &ablation{ctx: ctx, panel: panel, in: in, w: in.Tail.Width()}
	a.probe = fitMean(in.Base, a.w, in.Train.Positive)
	own := panel.Own[in.Held.Concept]
	a.from, a.to = own.From, own.To
	out := &Ablation{Concept: in.Held.Concept, Latents: in.Chosen}
	before := right(a.probe.scores(panel.Base[a.from*a.w:a.to*a.w], a.w), in.Held.Positive)
	var err error
	if out.Accuracy, err = accuracyOver(ctx, before, in.Held.Cluster, in.Seed); err != nil {
		return nil, err
	}
	chosen, after, err := a.measure(in.Chosen)
	if err != nil {
		return nil, err
	}
	if out.After, err = accuracyOver(ctx, right(a.probe.scores(after, a.w), in.Held.Positive), in.Held.Cluster, in.Seed); err != nil {
		return nil, err
	}
	if out.Refit, err = a.refit(after); err != nil {
		return nil, err
	}
	if out.Check, err = a.check(after); err != nil {
		return nil, err
	}
	here := latentFeatures(in.Train.Texts, in.Lat, len(panel.Density))
	shares := make([]float64, len(panel.Density))
	for j := range shares {
		shares[j] = here.share(int32(j), in.Train.Positive)
	}
	rng := rand.New(rand.NewPCG(uint64(in.Seed), 0xab1a7e))
	for _, s := range []struct {
		name      string
		frequency []float64
	}{{SetChosen, nil}, {SetRandomCorpus, panel.Density}, {SetRandomHere, shares}} {
		effects := []effect{chosen}
		if s.frequency != nil {
			effects = nil
			for range in.Draws {
				e, _, err := a.measure(matched(rng, in.Chosen, s.frequency))
				if err != nil {
					return nil, err
				}
				effects = append(effects, e)
			}
		}
		row, err := a.row(s.name, effects)
		if err != nil {
			return nil, err
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

// ablation is one concept's ablations in progress.
type ablation struct {
	ctx      context.Context
	panel    *Panel
	in       AblateInput
	probe    meanProbe
	w        int
	from, to int // the concept's texts in the panel
}

// effect is what one set of latents does to every text of the panel.
type effect struct {
	shift   []float64 // 1 - cosine
	stay    []float64 // share of the neighbours that stay
	moved   []float64 // of the concept's texts
	lost    []float64 // right before - right after, of the concept's texts
	touched []float64 // 1 where one of the latents is active
}

// measure ablates latents over the panel; after is the embeddings of the concept's own texts.
func (a *ablation) measure(off []int32) (e effect, after []float32, err error) {
	p := a.panel
	all, err := a.without(p.Texts, p.Latents, p.Base, off, &e.touched)
	if err != nil {
		return e, nil, err
	}
	e.shift = cosines(p.Base, all, a.w)
	for i, c := range e.shift {
		e.shift[i] = 0
		if e.touched[i] == 1 {
			e.shift[i] = 1 - c
		}
	}
	near, err := Neighbours(all, a.w, p.K)
	if err != nil {
		return e, nil, err
	}
	e.stay = agreement(p.Neighbour, near)
	before, after := p.Base[a.from*a.w:a.to*a.w], all[a.from*a.w:a.to*a.w]
	was, is := a.probe.scores(before, a.w), a.probe.scores(after, a.w)
	e.moved = lab.Minus(was, is)
	e.lost = lab.Minus(right(was, a.in.Held.Positive), right(is, a.in.Held.Positive))
	if a.in.Done != nil {
		a.in.Done(1)
	}
	return e, after, nil
}

// without returns the embeddings with latents at zero. Texts in which none of them is active are those of base.
func (a *ablation) without(texts *Texts, lat sae.Latents, base []float32, off []int32, touched *[]float64) ([]float32, error) {
	out := slices.Clone(base)
	patched := &Texts{Width: texts.Width, Start: []int{0}}
	var which []int
	hit := make([]float64, texts.Len())
	for i := range hit {
		if !anyActive(texts, lat, i, off) {
			continue
		}
		hit[i] = 1
		which = append(which, i)
		patched.X = append(patched.X, texts.Rows(i)...)
		patched.Start = append(patched.Start, len(patched.X)/texts.Width)
		remove(patched.Rows(len(which)-1), a.in.SAE, lat.Slice(texts.Start[i], texts.Start[i+1]), off)
	}
	if touched != nil {
		*touched = hit
	}
	got, err := a.in.Tail.Embed(a.ctx, patched, lab.UpTo(len(which)), Edit{}, nil)
	if err != nil {
		return nil, err
	}
	for at, i := range which {
		copy(out[i*a.w:(i+1)*a.w], got[at*a.w:(at+1)*a.w])
	}
	return out, nil
}

// remove subtracts from rows x [n, d] what the given latents write.
func remove(x []float32, s *sae.SAE, lat sae.Latents, off []int32) {
	d := s.DIn
	for r := range lat.Rows() {
		index, value := lat.Row(r)
		for j, v := range value {
			if v <= 0 || !slices.Contains(off, index[j]) {
				continue
			}
			for c, w := range s.Decoder(int(index[j])) {
				x[r*d+c] -= v * w
			}
		}
	}
}

// check holds the embeddings of the concept's own texts without the chosen latents against those of the graph's edit.
func (a *ablation) check(after []float32) (float64, error) {
	own := make([]int, 0, a.to-a.from)
	for i := a.from; i < a.to; i++ {
		own = append(own, i)
	}
	got, err := a.in.Tail.Embed(a.ctx, a.panel.Texts, own, Edit{SAE: a.in.Edit, Off: a.in.Chosen, KeepError: true}, nil)
	if err != nil {
		return 0, err
	}
	worst := 0.0
	for i, v := range got {
		worst = max(worst, math.Abs(float64(v)-float64(after[i])))
	}
	return worst, nil
}

// anyActive tells whether one of the latents is active on a token of text i.
func anyActive(texts *Texts, lat sae.Latents, i int, latents []int32) bool {
	for r := texts.Start[i]; r < texts.Start[i+1]; r++ {
		index, value := lat.Row(r)
		for j, v := range value {
			if v > 0 && slices.Contains(latents, index[j]) {
				return true
			}
		}
	}
	return false
}

// refit is the held-out accuracy of a probe that is fitted to the ablated training sentences.
func (a *ablation) refit(after []float32) (stats.Interval, error) {
	in := a.in
	train, err := a.without(in.Train.Texts, in.Lat, in.Base, in.Chosen, nil)
	if err != nil {
		return stats.Interval{}, err
	}
	probe := fitMean(train, a.w, in.Train.Positive)
	return accuracyOver(a.ctx, right(probe.scores(after, a.w), in.Held.Positive), in.Held.Cluster, in.Seed)
}

// row averages effects over draws and then over texts, with intervals over clusters of texts.
func (a *ablation) row(set string, effects []effect) (AblationRow, error) {
	r := AblationRow{Concept: a.in.Held.Concept, Set: set, Draws: len(effects)}
	own := func(i int) bool { return i >= a.from && i < a.to }
	positive := func(i int) bool { return own(i) && a.in.Held.Positive[i-a.from] }
	var failed error
	mean := func(of func(effect) []float64, offset int, keep func(i int) bool) stats.Interval {
		var x []float64
		var cluster []int
		for i := range of(effects[0]) {
			if !keep(i + offset) {
				continue
			}
			sum := 0.0
			for _, e := range effects {
				sum += of(e)[i]
			}
			x, cluster = append(x, sum/float64(len(effects))), append(cluster, a.panel.Cluster[i+offset])
		}
		iv, err := lab.MeanOver(a.ctx, x, cluster, a.in.Seed)
		failed = cmp.Or(failed, err)
		return iv
	}
	rest := func(i int) bool { return !own(i) }
	shift := func(e effect) []float64 { return e.shift }
	r.Touched = mean(func(e effect) []float64 { return e.touched }, 0, rest).Value
	r.Moved = mean(func(e effect) []float64 { return e.moved }, a.from, positive)
	r.Drop = mean(func(e effect) []float64 { return e.lost }, a.from, own)
	r.Concepts = mean(shift, 0, positive)
	r.Twins = mean(shift, 0, func(i int) bool { return own(i) && !positive(i) })
	r.Rest = mean(shift, 0, rest)
	r.Stay = mean(func(e effect) []float64 { return e.stay }, 0, rest)
	return r, failed
}

// nearest is how many latents of similar frequency a random one is drawn from.
const nearest = 20

// matched draws, for each latent, another one that is about as frequent; none of them is in latents, and none comes twice.
func matched(rng *rand.Rand, latents []int32, frequency []float64) []int32 {
	taken := slices.Clone(latents)
	var out []int32
	for _, l := range latents {
		var free []int32
		for j := range frequency {
			if !slices.Contains(taken, int32(j)) {
				free = append(free, int32(j))
			}
		}
		slices.SortStableFunc(free, func(a, b int32) int {
			return cmp.Compare(math.Abs(frequency[a]-frequency[l]), math.Abs(frequency[b]-frequency[l]))
		})
		if len(free) == 0 {
			break
		}
		pick := free[rng.IntN(min(nearest, len(free)))]
		out, taken = append(out, pick), append(taken, pick)
	}
	return out
}
