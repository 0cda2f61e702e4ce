package method_test

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/method"
)

// fit fits a method to a task, and frees what it made with the test.
func fit(t *testing.T, e *encoder.Encoder, name string, task *method.Task, change func(conf any)) *encoder.Variant {
	t.Helper()
	m, err := method.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	conf := m.Config()
	if change != nil {
		change(conf)
	}
	v, err := m.Fit(t.Context(), e, task, conf)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if v.Params != nil {
		t.Cleanup(func() {
			if err := v.Params.FreeUnshared(e.Model.Params); err != nil {
				t.Error(err)
			}
		})
	}
	return v
}

// changed lists the parameters in which a variant differs from its encoder.
func changed(t *testing.T, e *encoder.Encoder, v *encoder.Variant) (names []string) {
	t.Helper()
	for _, p := range e.Model.Spec.Params() {
		before, err := e.Model.Params.Values(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		after, err := v.Params.Values(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(before, after) {
			names = append(names, p.Name)
		}
	}
	return names
}

// TestHiRMLoss: with one step the reported loss is erase.HiRM's of the original states, averaged over the texts; a second step lowers it.
func TestHiRMLoss(t *testing.T) {
	e := encodertest.MiniLM(t)
	task, err := method.NewTask(method.DefaultTask())
	if err != nil {
		t.Fatal(err)
	}
	c := task.Erase[0]
	from, err := e.States(t.Context(), nil, c.Fit)
	if err != nil {
		t.Fatal(err)
	}
	to, err := e.States(t.Context(), nil, c.AnchorFit)
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for i := range from {
		loss, _, err := erase.HiRM(from[i].X, to[i].X, erase.HiRMSemantic, nil) // dog and cat are one token each, so that the texts are aligned
		if err != nil {
			t.Fatal(err)
		}
		want += loss / float64(len(from))
	}
	v := fit(t, e, "hirm-semantic", task, func(conf any) { conf.(*method.HiRMConfig).Train.Steps = 2 })
	got, last := v.Notes["first_loss"].(float64), v.Notes["last_loss"].(float64)
	if math.Abs(got-want) > 1e-4*want {
		t.Errorf("loss %v, by erase.HiRM %v", got, want)
	}
	if last >= got {
		t.Errorf("loss %v after a step, %v before", last, got)
	}
}

// TestHiRM: only the chosen weights of the first block change, the concept is no longer recognised, others are; random targets draw
// the texts to one direction; several concepts are erased at once; and settings that cannot be are refused.
func TestHiRM(t *testing.T) {
	e := encodertest.MiniLM(t)
	cfg := method.DefaultTask()
	cfg.Domain, cfg.Cross, cfg.Anchor, cfg.Erase = "styles", "objects", method.AnchorSuper, []string{"cubism", "mosaic"}
	task, err := method.NewTask(cfg)
	if err != nil {
		t.Fatal(err)
	}
	v := fit(t, e, "hirm-semantic", task, nil)
	for _, name := range changed(t, e, v) {
		if len(name) < 9 || name[:9] != "blocks.0." {
			t.Errorf("%s changed", name)
		}
	}
	erased, kept := recognised(t, e, v, task)
	t.Logf("semantic: erased %.2f, kept %.2f", erased, kept)
	if erased > 0.1 || kept < 0.9 {
		t.Errorf("semantic: erased %.2f, kept %.2f", erased, kept)
	}
	v = fit(t, e, "hirm-random", task, func(conf any) {
		c := conf.(*method.HiRMConfig)
		c.Update, c.Train.LR, c.Train.Steps = []string{"blocks.0.attn.W_O"}, 3e-3, 15
	})
	if names := changed(t, e, v); !slices.Equal(names, []string{"blocks.0.W_O"}) {
		t.Errorf("changed %v, want the attention's output alone", names)
	}
	var spread [2]float64 // mean cosine of the two concepts' prompts with their own concept's mean, before and after
	for i, variant := range []*encoder.Variant{nil, v} {
		x, err := e.Embed(t.Context(), variant, task.Erase[0].Held)
		if err != nil {
			t.Fatal(err)
		}
		n, d := x.Dims()
		mean := mat.NewVecDense(d, nil)
		for k := range n {
			mean.AddScaledVec(mean, 1/mat.Norm(x.RowView(k), 2), x.RowView(k))
		}
		spread[i] = mat.Norm(mean, 2) / float64(n)
	}
	if spread[1] <= spread[0] {
		t.Errorf("random: prompts of a concept are no closer together (%v) than before (%v)", spread[1], spread[0])
	}
	m, err := method.Find("hirm-random")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*method.HiRMConfig){
		func(c *method.HiRMConfig) { c.Weight = 0 },
		func(c *method.HiRMConfig) { c.Update = []string{"blocks.99.*"} },
		func(c *method.HiRMConfig) { c.Supervise = e.Layers() },
		func(c *method.HiRMConfig) { c.Texts = "all" },
	} {
		c := m.Config().(*method.HiRMConfig)
		change(c)
		if _, err := m.Fit(t.Context(), e, task, c); err == nil {
			t.Errorf("%+v is no error", c)
		}
	}
}
