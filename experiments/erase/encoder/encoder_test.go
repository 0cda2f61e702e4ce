package encoder_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/encoder/encodertest"
	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/vectors"
)

var texts = []string{"a dog by the sea", "she reads", "the old lighthouse warns ships in a long and stormy night", "two cats sleep on a sofa"}

// gated changes every second kind of text, by a map.
type gated struct {
	encoder.Linear
	least int // tokens of a text that it acts on
}

func (g gated) Apply(t erase.Text) (*mat.Dense, bool, error) {
	if t.Length < g.least {
		return t.X, false, nil
	}
	return g.Linear.Apply(t)
}

// randomMap is I + u v' with small random u and v.
func randomMap(d int, size float64) *erase.Map {
	r := rand.New(rand.NewPCG(1, 2))
	draw := func() *mat.Dense {
		x := mat.NewDense(d, 2, nil)
		x.Apply(func(_, _ int, _ float64) float64 { return size * r.NormFloat64() }, x)
		return x
	}
	return &erase.Map{Left: draw(), Right: draw()}
}

func largest(a, b *mat.Dense) float64 {
	var diff mat.Dense
	diff.Sub(a, b)
	return max(math.Abs(mat.Max(&diff)), math.Abs(mat.Min(&diff)))
}

// TestStates: batches, buckets and soft starts change nothing, and a gate leaves texts bit for bit.
func TestStates(t *testing.T) {
	e := encodertest.MiniLM(t)
	ctx := t.Context()
	all, err := e.States(ctx, nil, texts)
	if err != nil {
		t.Fatal(err)
	}
	var soft []*encoder.Soft
	for i, s := range texts {
		alone, err := e.States(ctx, nil, []string{s})
		if err != nil {
			t.Fatal(err)
		}
		if got := largest(alone[0].X, all[i].X); got > 1e-5 {
			t.Errorf("text %d alone is %v away", i, got)
		}
		one, err := e.Soften(all[i].Encoding)
		if err != nil {
			t.Fatal(err)
		}
		soft = append(soft, one)
	}
	again, err := e.SoftStates(ctx, nil, soft)
	if err != nil {
		t.Fatal(err)
	}
	for i := range texts {
		if got := largest(again[i].X, all[i].X); got > 1e-5 {
			t.Errorf("text %d from its own word embeddings is %v away", i, got)
		}
	}
	own := &encoder.Variant{Name: "own", PerText: func(context.Context, token.Encoding) (*model.Params, error) { return e.Model.Params, nil }}
	same, err := e.States(ctx, own, []string{texts[3], texts[1], texts[0]})
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range []int{3, 1, 0} {
		if !slices.Equal(same[i].X.RawMatrix().Data, all[k].X.RawMatrix().Data) {
			t.Errorf("text %d with the encoder's own weights, in another order and batch, keeps no bits", k)
		}
	}
	m := randomMap(e.Width(), 0.1)
	for _, layer := range []int{3, e.Layers()} {
		v := &encoder.Variant{Name: "gated", Hook: gated{encoder.Linear{Map: m}, 8}, Layer: layer}
		edited, err := e.States(ctx, v, texts)
		if err != nil {
			t.Fatal(err)
		}
		acted := 0
		for i, s := range edited {
			same := slices.Equal(s.X.RawMatrix().Data, all[i].X.RawMatrix().Data)
			if s.Acted != (s.Len() >= 8) || s.Acted == same {
				t.Errorf("layer %d, text %d of %d tokens: acted %v, same bits %v", layer, i, s.Len(), s.Acted, same)
			}
			if s.Acted {
				acted++
			}
		}
		if acted == 0 || acted == len(texts) {
			t.Errorf("layer %d: %d texts of %d changed; the test wants some", layer, acted, len(texts))
		}
	}
	inner, err := e.StatesAt(ctx, nil, 0, texts)
	if err != nil {
		t.Fatal(err)
	}
	if inner[0].X.RawMatrix().Rows != all[0].Len() {
		t.Error("states at layer 0 have another length")
	}
}

// TestIdentityHook: the map I at an inner layer gives the plain states again, through the passes behind the hook.
func TestIdentityHook(t *testing.T) {
	e := encodertest.MiniLM(t)
	zero := &erase.Map{Left: mat.NewDense(e.Width(), 1, nil), Right: mat.NewDense(e.Width(), 1, nil)}
	plain, err := e.Embed(t.Context(), nil, texts)
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range []int{1, 3, e.Layers()} {
		got, err := e.Embed(t.Context(), &encoder.Variant{Hook: encoder.Linear{Map: zero}, Layer: layer}, texts)
		if err != nil {
			t.Fatal(err)
		}
		if d := largest(got, plain); d > 1e-5 {
			t.Errorf("layer %d: %v away", layer, d)
		}
	}
}

// TestGradient holds gradients with respect to word embeddings against central differences, for plain weights, hooks inside and at
// the end, an eraser, and weights of each text. The loss is a fixed linear form of the embedding.
func TestGradient(t *testing.T) {
	e := encodertest.MiniLM(t)
	ctx := t.Context()
	d := e.Width()
	r := rand.New(rand.NewPCG(3, 4))
	form := make([]float64, d)
	for j := range form {
		form[j] = r.NormFloat64()
	}
	loss := func(_ int, s *encoder.State) (float64, *mat.Dense, error) {
		x, err := e.Pooled(s)
		if err != nil {
			return 0, nil, err
		}
		sum := 0.0
		for j, v := range x {
			sum += v * form[j]
		}
		g, err := e.Spread(s, form)
		return sum, g, err
	}
	var soft []*encoder.Soft
	for _, s := range texts[:3] {
		tokens, err := e.Tokens(s)
		if err != nil {
			t.Fatal(err)
		}
		one, err := e.Soften(encoder.Insert(tokens, 1, []int32{1000}))
		if err != nil {
			t.Fatal(err)
		}
		soft = append(soft, one)
	}
	m := randomMap(d, 0.1)
	eraser, err := vectors.RandomProjection(d, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]*encoder.Variant{
		"plain":  nil,
		"end":    {Hook: encoder.Linear{Map: m}, Layer: e.Layers()},
		"inside": {Hook: encoder.Linear{Map: m}, Layer: 3},
		"gated":  {Hook: gated{encoder.Linear{Map: m}, 8}, Layer: 3},
		"eraser": {Hook: encoder.Affine{Eraser: eraser}, Layer: 3},
		"text":   {PerText: func(context.Context, token.Encoding) (*model.Params, error) { return e.Model.Params, nil }},
	} {
		losses, grads, err := e.Gradient(ctx, v, soft, loss)
		if err != nil {
			t.Fatal(name, err)
		}
		const step = 0.01 // along the unit gradient
		for i, s := range soft {
			direction := mat.NewDense(s.Len(), d, nil)
			direction.Scale(1/mat.Norm(grads[i], 2), grads[i])
			value := func(sign float64) float64 {
				moved := mat.NewDense(s.Len(), d, nil)
				moved.Scale(sign*step, direction)
				moved.Add(moved, s.Embeds)
				states, err := e.SoftStates(ctx, v, []*encoder.Soft{{Encoding: s.Encoding, Embeds: moved}})
				if err != nil {
					t.Fatal(name, err)
				}
				got, _, err := loss(i, states[0])
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			want := (value(1) - value(-1)) / (2 * step)
			var product mat.Dense
			product.MulElem(grads[i], direction)
			got := mat.Sum(&product)
			// float32 forward passes leave 1e-3 of the difference
			if want <= 0 || math.Abs(got-want) > 5e-3*want {
				t.Errorf("%s, text %d: derivative %v, by differences %v", name, i, got, want)
			}
			if v == nil && math.IsNaN(losses[i]) {
				t.Error("no loss")
			}
		}
	}
}

func TestErrors(t *testing.T) {
	e := encodertest.MiniLM(t)
	ctx := t.Context()
	long := ""
	for range 600 {
		long += "dog "
	}
	if _, err := e.States(ctx, nil, []string{long}); !errors.Is(err, encoder.ErrTooLong) {
		t.Errorf("a text of 600 words: %v", err)
	}
	if _, err := e.States(ctx, nil, nil); err == nil {
		t.Error("no text is no error")
	}
	zero := &erase.Map{Left: mat.NewDense(e.Width(), 1, nil), Right: mat.NewDense(e.Width(), 1, nil)}
	for _, layer := range []int{0, e.Layers() + 1} {
		if _, err := e.States(ctx, &encoder.Variant{Hook: encoder.Linear{Map: zero}, Layer: layer}, texts); err == nil {
			t.Errorf("a hook at layer %d is no error", layer)
		}
	}
	if _, err := encoder.New(e.Engine, e.Model, e.Tokenizer, "all"); err == nil {
		t.Error("pool all is no error")
	}
	if _, err := e.WordEmbeddings([]int32{-1}); err == nil {
		t.Error("id -1 is no error")
	}
}
