package method_test

import (
	"math"
	"testing"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/method"
)

// TestESDLoss: before the first step the loss of pooled readings is that of the host's embeddings, and it is the square of (1 + eta) times the
// concept's distance from the empty text; steps lower it and leave the word embeddings alone.
func TestESDLoss(t *testing.T) {
	e := encodertest.MiniLM(t)
	task, err := method.NewTask(method.DefaultTask())
	if err != nil {
		t.Fatal(err)
	}
	x, err := e.Embed(t.Context(), nil, append([]string{""}, task.Erase[0].Fit...))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := x.Dims()
	const eta = 0.5
	want := 0.0
	for i := 1; i < n; i++ {
		target, err := erase.ESDTarget(x.RawRowView(0), x.RawRowView(i), eta)
		if err != nil {
			t.Fatal(err)
		}
		var apart, gap float64 // |c - null|², |c - target|²
		for j, v := range x.RawRowView(i) {
			gap += (v - target[j]) * (v - target[j])
			apart += (v - x.At(0, j)) * (v - x.At(0, j))
		}
		if math.Abs(gap-(1+eta)*(1+eta)*apart) > 1e-9*gap {
			t.Errorf("a target lies %v from its concept, which lies %v from the empty text", gap, apart)
		}
		want += gap / float64(n-1)
	}
	v := fit(t, e, "esd", task, func(conf any) {
		c := conf.(*method.ESDConfig)
		c.Reader.Kind, c.Eta, c.Train.Steps = method.ReadPooled, eta, 3
	})
	got, last := v.Notes["first_loss"].(float64), v.Notes["last_loss"].(float64)
	if math.Abs(got-want) > 1e-4*want || last >= got {
		t.Errorf("loss %v, by the host %v; %v after two steps", got, want, last)
	}
	for _, name := range changed(t, e, v) {
		if name[:7] != "blocks." {
			t.Errorf("%s changed", name)
		}
	}
}

// TestAllButOneLoss: before the first step the empty text's part is 0, so that the loss is the mean square of what the concept's embeddings
// differ by from the anchor's; after the training the concept is gone, the empty text has moved less than without its term, and the other
// concepts are recognised.
func TestAllButOneLoss(t *testing.T) {
	e := encodertest.MiniLM(t)
	task, err := method.NewTask(method.DefaultTask())
	if err != nil {
		t.Fatal(err)
	}
	c := task.Erase[0]
	from, err := e.Embed(t.Context(), nil, c.Fit)
	if err != nil {
		t.Fatal(err)
	}
	to, err := e.Embed(t.Context(), nil, c.AnchorFit)
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for i := range c.Fit {
		for j, v := range from.RawRowView(i) {
			want += (v - to.At(i, j)) * (v - to.At(i, j)) / float64(len(c.Fit))
		}
	}
	var drift [2]float64
	for i, lambda := range []float64{1, 0} {
		v := fit(t, e, "all-but-one", task, func(conf any) {
			c := conf.(*method.AllButOneConfig)
			c.Reader.Kind, c.Lambda, c.Train.Steps = method.ReadPooled, lambda, 16
		})
		if got := v.Notes["first_loss"].(float64); math.Abs(got-want) > 1e-4*want {
			t.Errorf("loss %v, by the host %v", got, want)
		}
		was, err := e.Embed(t.Context(), nil, []string{""})
		if err != nil {
			t.Fatal(err)
		}
		is, err := e.Embed(t.Context(), v, []string{""})
		if err != nil {
			t.Fatal(err)
		}
		for j, a := range was.RawRowView(0) {
			drift[i] += (a - is.At(0, j)) * (a - is.At(0, j))
		}
		if lambda == 0 {
			continue
		}
		erased, kept := recognised(t, e, v, task)
		t.Logf("erased %.2f, kept %.2f", erased, kept)
		if erased > 0.3 || kept < 0.9 {
			t.Errorf("erased %.2f, kept %.2f", erased, kept)
		}
	}
	t.Logf("the empty text moved by %.3g with its term, %.3g without (squared)", drift[0], drift[1])
	if drift[0] >= drift[1] {
		t.Errorf("the empty text moved by %v with its term and %v without", drift[0], drift[1])
	}
}
