package evaluate

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/internal/hub"
	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/probe/token"
	"loupe/vectors"
)

// TestDriftHand: four texts on a circle at 0, 10, 100 and 110 degrees; the last moves to 30.
func TestDriftHand(t *testing.T) {
	at := func(degrees ...float64) []float32 {
		var out []float32
		for _, d := range degrees {
			out = append(out, float32(math.Cos(d*math.Pi/180)), float32(math.Sin(d*math.Pi/180)))
		}
		return out
	}
	cosine, stay, err := Drift(at(0, 10, 100, 110), at(0, 10, 100, 30), 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{1, 1, 1, math.Cos(80 * math.Pi / 180)} {
		if math.Abs(cosine[i]-want) > 1e-6 {
			t.Errorf("cosine of text %d is %v", i, cosine[i])
		}
	}
	for i, want := range []float64{1, 1, 1, 0} { // the nearest of 100 is still the last one, whose own is now 10
		if stay[i] != want {
			t.Errorf("text %d keeps %v of its neighbours, want %v", i, stay[i], want)
		}
	}
	for _, bad := range []struct{ w, k int }{{2, 4}, {2, 0}, {3, 1}} {
		if _, _, err := Drift(at(0, 10, 100, 110), at(0, 10, 100, 110), bad.w, bad.k); err == nil {
			t.Errorf("width %d and %d neighbours of 4 rows pass", bad.w, bad.k)
		}
	}
}

// TestPerplexityHand: two texts of 2 and 6 tokens lose 2 and 6 nats, which is e a token; with 4 nats more, exp(12/8) a token.
func TestPerplexityHand(t *testing.T) {
	c := DefaultConfig()
	before := Measured{Losses: Losses{Nats: []float64{2, 6}, Tokens: []int{2, 6}}, Right: []float64{1, 1, 0, 1}}
	after := Measured{Losses: Losses{Nats: []float64{4, 8}, Tokens: []int{2, 6}}, Right: []float64{1, 0, 0, 0}}
	d, err := c.Compare(t.Context(), before, after, Data{Questions: []text.Question{{Choices: []string{"a", "b"}}}})
	if err != nil {
		t.Fatal(err)
	}
	p := d.Perplexity
	for _, v := range []struct{ got, want float64 }{
		{p.Before.Value, math.E}, {p.After.Value, math.Exp(1.5)}, {p.Ratio.Value, math.Exp(0.5)}, {d.Choice.Before.Value, 0.75}, {d.Choice.After.Value, 0.25}, {d.Choice.Lost.Value, 0.5}, {d.Choice.Chance, 0.5},
	} {
		if math.Abs(v.got-v.want) > 1e-12 {
			t.Errorf("%v, want %v", v.got, v.want)
		}
	}
	if p.Tokens != 8 || p.Ratio.Low < math.Exp(1.0/3)-1e-9 || p.Ratio.High > math.E+1e-9 || !(p.Ratio.Low < p.Ratio.High) {
		t.Errorf("perplexity %+v: the ratio's interval lies between those of the texts, exp(1/3) and e", p)
	}
	if d.Embedding != nil {
		t.Error("embeddings from nowhere")
	}
}

func TestConfigRefuses(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"nothing": func(c *Config) { c.Documents, c.Questions = 0, 0 }, "neighbours": func(c *Config) { c.Neighbours = 60 },
		"length": func(c *Config) { c.MaxLength = 1 }, "batch": func(c *Config) { c.Batch = 0 }, "choices": func(c *Config) { c.Choices = 1 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); !errors.Is(err, vectors.ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// subject opens a real model.
func subject(t *testing.T, name string) Subject {
	t.Helper()
	graphtest.Model(t, name)
	b := graphtest.Backend(t)
	dir, err := hub.Resolve(t.Context(), name, hub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(t.Context(), b, dir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Params.Free() })
	tok, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return Subject{Engine: model.NewEngine(b, nil), Model: m, Tokenizer: tok, Batch: 8, MaxLength: 16}
}

// with is the subject with an eraser at a site.
func (s Subject) with(e *vectors.Eraser, site model.Site, strength float64) Subject {
	s.Edit = func(batch, seq int) (*vectors.Edit, error) { return e.Edit(s.Model.Spec, site, batch, seq, strength) }
	return s
}

// TestDamage: an edit of strength 0 costs nothing at all; a random direction costs a little; all but a few directions cost nearly
// everything. On an encoder by the drift of embeddings, on a language model by perplexity and questions.
func TestDamage(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the models are slow on the Go backend")
	}
	for _, name := range []string{"minilm", "smollm2"} {
		t.Run(name, func(t *testing.T) {
			s := subject(t, name)
			c := DefaultConfig()
			c.Documents, c.Questions, c.Neighbours, c.MaxLength, c.Resamples = 12, 12, 3, 16, 200
			d, err := c.Texts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			before, err := c.Measure(t.Context(), s, d)
			if err != nil {
				t.Fatal(err)
			}
			site := model.Site{Kind: model.ResidPost, Layer: 2}
			width := s.Model.Spec.DModel
			damage := func(rank int, strength float64) *Damage {
				r, err := vectors.RandomProjection(width, 64, 3)
				if err != nil {
					t.Fatal(err)
				}
				if rank < 64 {
					r.Left.Slice(0, width, rank, 64).(*mat.Dense).Zero() // the same program for every rank
				}
				after, err := c.Measure(t.Context(), s.with(r, site, strength), d)
				if err != nil {
					t.Fatal(err)
				}
				out, err := c.Compare(t.Context(), before, after, d)
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			nothing, little, much := damage(1, 0), damage(1, 1), damage(64, 6)
			if name == "minilm" {
				if nothing.Perplexity != nil || nothing.Choice != nil {
					t.Error("an encoder has a perplexity")
				}
				for what, e := range map[string]*Embedding{"nothing": nothing.Embedding, "little": little.Embedding, "much": much.Embedding} {
					t.Logf("%-8s cosine %.6f, neighbours %.3f", what, e.Cosine.Value, e.Neighbours.Value)
				}
				if n := nothing.Embedding; n.Cosine.Value < 1-1e-6 || n.Neighbours.Value != 1 {
					t.Errorf("an edit of strength 0 costs %+v", n)
				}
				if little.Embedding.Cosine.Value < 0.99 || much.Embedding.Cosine.Value > 0.7 || much.Embedding.Neighbours.Value > 0.8 {
					t.Error("damage does not grow with the edit")
				}
				return
			}
			for what, x := range map[string]*Damage{"nothing": nothing, "little": little, "much": much} {
				t.Logf("%-8s perplexity %.2f to %.2f, right %.3f to %.3f", what, x.Perplexity.Before.Value, x.Perplexity.After.Value, x.Choice.Before.Value, x.Choice.After.Value)
			}
			if p := nothing.Perplexity; p.Ratio.Value != 1 || p.Ratio.Low != 1 || nothing.Choice.Lost.Value != 0 {
				t.Errorf("an edit of strength 0 costs %+v", nothing)
			}
			if nothing.Choice.Before.Value < 0.5 {
				t.Errorf("%.3f of the questions are right, where 0.25 is chance", nothing.Choice.Before.Value)
			}
			if r := little.Perplexity.Ratio.Value; r > 1.1 || r < 0.9 || much.Perplexity.Ratio.Value < 1.5 {
				t.Error("damage does not grow with the edit")
			}
		})
	}
}

// TestNeighboursProperty: what is compared with itself stays.
func TestNeighboursProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, 30*5)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	if err := unitRows(x, 5); err != nil {
		t.Fatal(err)
	}
	cosine, stay, err := Drift(x, x, 5, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cosine {
		if math.Abs(cosine[i]-1) > 1e-6 || stay[i] != 1 {
			t.Errorf("text %d: cosine %v, stay %v", i, cosine[i], stay[i])
		}
	}
	if err := unitRows(make([]float32, 5), 5); !errors.Is(err, vectors.ErrNotFinite) {
		t.Errorf("a row of zeros: %v", err)
	}
}
