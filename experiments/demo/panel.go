package demo

import (
	"context"

	"loupe/internal/lab"
	"loupe/internal/progress"
	"loupe/probe/text"
)

// readParts reads every concept's sentences.
func (p *prepared) readParts() error {
	var err error
	for _, c := range p.cfg.Text.Concepts {
		if p.train[c], err = partOf(p.corpus, p.acts, c, text.Train); err != nil {
			return err
		}
		if p.held[c], err = partOf(p.corpus, p.acts, c, text.HeldOut); err != nil {
			return err
		}
	}
	return nil
}

// buckets are the padded lengths: a quarter and three eighths of the longest text, and all of it, in multiples of 8.
func (p *prepared) buckets() []int {
	const multiple = 8
	longest := p.acts.Longest()
	var out []int
	for _, eighths := range []int{2, 3, 8} {
		n := (longest*eighths/8 + multiple - 1) / multiple * multiple
		if len(out) == 0 || n > out[len(out)-1] {
			out = append(out, n)
		}
	}
	return out
}

// makePanel puts together the held-out sentences of all concepts and a sample of the held-out documents that are whole
// in the store, and embeds them.
func (p *prepared) makePanel(ctx context.Context, density []float64) (*Panel, error) {
	out := &Panel{Own: map[string]Range{}, Density: density, K: p.cfg.Splice.Neighbours}
	var ids []int64
	clusters := 0
	for _, c := range p.cfg.Text.Concepts {
		part := p.held[c]
		out.Own[c] = Range{len(ids), len(ids) + len(part.IDs)}
		ids = append(ids, part.IDs...)
		for _, k := range part.Cluster {
			out.Cluster = append(out.Cluster, clusters+k)
		}
		clusters += part.words()
	}
	documents, err := p.sample()
	if err != nil {
		return nil, err
	}
	for _, id := range documents {
		ids, out.Cluster = append(ids, id), append(out.Cluster, clusters)
		clusters++
	}
	if out.Texts, err = p.acts.Texts(ids); err != nil {
		return nil, err
	}
	if out.Latents, err = p.runner.Encode(ctx, out.Texts.X); err != nil {
		return nil, err
	}
	bar := p.Progress("embed", "texts", int64(len(ids)))
	defer bar.Done()
	if out.Base, err = p.tail.Embed(ctx, out.Texts, lab.UpTo(len(ids)), Edit{}, bar.Add); err != nil {
		return nil, err
	}
	out.Neighbour, err = Neighbours(out.Base, p.tail.Width(), out.K)
	return out, err
}

// sample draws the configured number of held-out documents from those that are not cut, in the order of their ids.
func (p *prepared) sample() ([]int64, error) {
	keep := func(id int64) bool {
		n := p.acts.Tokens(id)
		return id >= int64(len(p.corpus.sentences)) && n > 2 && n < p.cfg.Text.MaxLength
	}
	return p.acts.Sample(text.HeldOut, keep, p.cfg.Splice.Documents, p.cfg.Seed)
}

func (p *prepared) splice(ctx context.Context) (*SpliceResult, error) {
	const conditions = 3
	bar := p.Progress("splice", "texts", int64(conditions*p.panel.Texts.Len()))
	defer bar.Done()
	r, err := MeasureSplice(ctx, SpliceInput{
		Tail: p.tail, Texts: p.panel.Texts, Base: p.panel.Base, Trained: p.trained, Untrained: p.untrained, Mean: p.acts.Mean,
		Cluster: p.panel.Cluster, Neighbours: p.panel.K, Seed: p.cfg.Seed, Done: bar.Add,
	})
	if err != nil {
		return nil, err
	}
	return r, p.writeTexts(r)
}

func (p *prepared) detect(ctx context.Context) ([]*Detection, error) {
	bar := p.Progress("detect", "concepts", int64(len(p.cfg.Text.Concepts)))
	defer bar.Done()
	var out []*Detection
	for _, c := range p.cfg.Text.Concepts {
		d, err := Detect(ctx, p.train[c], p.held[c], DetectInput{
			Trained: p.runner, Untrained: p.control, Latents: p.trained.DSAE, Tokenizer: p.Tokenizer,
			Keep: p.cfg.Detect.Latents, Shuffles: p.cfg.Detect.Shuffles, Seed: p.cfg.Seed,
		})
		if err != nil {
			return nil, err
		}
		out = append(out, d)
		bar.Add(1)
	}
	return out, nil
}

func (p *prepared) ablate(ctx context.Context, found []*Detection) ([]*Ablation, error) {
	spliced, err := Splice(p.trained)
	if err != nil {
		return nil, err
	}
	bar := p.Progress("ablate", "sets", int64(len(found)*(1+2*p.cfg.Ablate.Random)))
	defer bar.Done()
	var out []*Ablation
	for _, d := range found {
		a, err := p.ablateOne(ctx, d, spliced, bar)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, spliced.Free()
}

func (p *prepared) ablateOne(ctx context.Context, d *Detection, spliced *Spliced, bar progress.Progress) (*Ablation, error) {
	train := p.train[d.Concept]
	base, err := p.tail.Embed(ctx, train.Texts, lab.UpTo(train.Texts.Len()), Edit{}, nil)
	if err != nil {
		return nil, err
	}
	lat, err := p.runner.Encode(ctx, train.Texts.X)
	if err != nil {
		return nil, err
	}
	return Ablate(ctx, p.panel, AblateInput{
		Tail: p.tail, SAE: p.trained, Edit: spliced, Train: train, Held: p.held[d.Concept], Base: base, Lat: lat,
		Chosen: d.Chosen(), Draws: p.cfg.Ablate.Random, Seed: p.cfg.Seed, Done: bar.Add,
	})
}
