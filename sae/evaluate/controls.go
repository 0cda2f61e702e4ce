package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"

	"loupe/probe/store"
	"loupe/sae"
)

// Controls makes the controls of dictionaries whose mean number of active latents is known, l0[dictionary name]: for
// autoencoders random directions of equal width and L0, of RandomSeeds seeds, and as many principal components; for
// transcoders the linear map of rank L0. Dictionaries of the same sites and sizes share them. Close them after use.
func (b *Bench) Controls(ctx context.Context, dicts []*Dictionary, l0 map[string]float64) (controls []*Dictionary, err error) {
	defer func() {
		if err != nil {
			for _, c := range controls {
				c.Close()
			}
			controls = nil
		}
	}()
	type shared struct {
		sites      siteKey
		latents, k int
	}
	made := map[shared]bool{}
	moments := map[siteKey]*siteMoments{}
	for _, d := range dicts {
		k := max(1, int(math.Round(l0[d.Name])))
		m := moments[d.sites()]
		if m == nil {
			if m, err = b.momentsOf(ctx, d.sites()); err != nil {
				return controls, err
			}
			moments[d.sites()] = m
		}
		add := func(kind string, latents int, make func() (*Dictionary, error)) error {
			if key := (shared{d.sites(), latents, k}); !made[key] {
				made[key] = true
				c, err := make()
				if err != nil {
					return fmt.Errorf("evaluate: %s control of %s: %w", kind, d.Name, err)
				}
				controls = append(controls, c)
			}
			return nil
		}
		if d.Transcoder() {
			err = add(ControlLinear, 0, func() (*Dictionary, error) { return b.linear(d, m, k) })
		} else {
			err = add(ControlPCA, 0, func() (*Dictionary, error) { return b.pca(d, m, k) })
		}
		if err != nil {
			return controls, err
		}
		key := shared{d.sites(), d.Latents, min(k, d.Latents)}
		if d.Transcoder() || made[key] {
			continue
		}
		made[key] = true
		for seed := range b.RandomSeeds {
			c, err := b.random(d, m, key.k, seed)
			if err != nil {
				return controls, fmt.Errorf("evaluate: random control of %s: %w", d.Name, err)
			}
			controls = append(controls, c)
		}
	}
	return controls, nil
}

func (b *Bench) random(d *Dictionary, m *siteMoments, k, seed int) (*Dictionary, error) {
	mean := make([]float32, d.DIn)
	for j := range mean {
		mean[j] = float32(m.sum[j] / m.n)
	}
	s, err := sae.RandomControl(rand.New(rand.NewPCG(uint64(seed), 0x72616e64)), mean, d.Latents, float64(k))
	if err != nil {
		return nil, err
	}
	method := fmt.Sprintf("random directions, %d latents, k %d", d.Latents, k)
	c, err := New(b.Backend, method, fmt.Sprintf("%s, seed %d", method, seed+1), s)
	if err != nil {
		return nil, err
	}
	c.Control, c.Sites, c.Sequence = ControlRandom, d.Sites, d.Sequence
	return c, nil
}

func (b *Bench) pca(d *Dictionary, m *siteMoments, k int) (*Dictionary, error) {
	k = min(k, d.DIn)
	p, err := sae.NewPCA(m.n, m.sum, m.cross, k)
	if err != nil {
		return nil, err
	}
	decoder := make([]float32, len(p.Components))
	for i, v := range p.Components {
		decoder[i] = float32(v)
	}
	name := fmt.Sprintf("PCA, %d components", k)
	return &Dictionary{
		Name: name, Method: name, Control: ControlPCA, Sites: d.Sites, Sequence: d.Sequence, DIn: d.DIn, DOut: d.DIn, Latents: k, Decoder: decoder, reconstruct: p,
	}, nil
}

func (b *Bench) linear(d *Dictionary, m *siteMoments, k int) (*Dictionary, error) {
	k = min(k, d.DIn, d.DOut)
	l, err := sae.NewLinearMap(m.n, m.sum, m.cross, d.DIn, k)
	if err != nil {
		return nil, err
	}
	decoder := make([]float32, len(l.Write))
	for i, v := range l.Write {
		decoder[i] = float32(v)
	}
	name := fmt.Sprintf("linear map, rank %d", k)
	return &Dictionary{
		Name: name, Method: name, Control: ControlLinear, Sites: d.Sites, Sequence: d.Sequence, Targets: d.Targets, DIn: d.DIn, DOut: d.DOut, Latents: k, Decoder: decoder, reconstruct: l,
	}, nil
}

// siteMoments are the moments of rows that hold a site and, for transcoders, its target.
type siteMoments struct {
	n          float64
	sum, cross []float64
}

// momentsOf takes the store's own moments where it keeps them, over all of its text, and else those of the measured rows.
func (b *Bench) momentsOf(ctx context.Context, sites siteKey) (*siteMoments, error) {
	if sites.write == "" && sites.sequence == 0 && len(sites.reads()) == 1 && reflect.DeepEqual(b.Select, store.Select{ExcludeSpecial: b.Select.ExcludeSpecial, Split: b.Select.Split}) {
		filter := store.All
		if b.Select.ExcludeSpecial {
			filter = store.NonSpecial
		}
		kept, err := b.Store.Moments(sites.read, filter)
		if err != nil && !errors.Is(err, store.ErrNoMoments) {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		if err == nil && kept.Cross != nil && kept.Count > 1 {
			return rawMoments(kept), nil
		}
	}
	s, err := newSample(ctx, b.Store, sites, b.Select, b.Rows)
	if err != nil {
		return nil, err
	}
	d := sum(s.read) + sum(s.write)
	m := &siteMoments{sum: make([]float64, d), cross: make([]float64, d*d)}
	bar := b.progress("moments", "rows", s.rows)
	defer bar.Done()
	err = s.each(ctx, func(x, target []float32, doc []int64) error {
		m.add(x, target, len(doc), sites.write != "")
		bar.Add(int64(len(doc)))
		return nil
	})
	return m, err
}

// rawMoments turns central moments into sums.
func rawMoments(kept *store.Moments) *siteMoments {
	d, n := len(kept.Mean), float64(kept.Count)
	m := &siteMoments{n: n, sum: make([]float64, d), cross: make([]float64, d*d)}
	for i, mean := range kept.Mean {
		m.sum[i] = n * mean
		for j, other := range kept.Mean {
			m.cross[i*d+j] = kept.Cross[i*d+j] + n*mean*other
		}
	}
	return m
}
