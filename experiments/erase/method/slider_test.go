package method_test

import (
	"testing"

	"gonum.org/v1/gonum/floats"

	"loupe/experiments/erase/adapter"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/method"
)

// TestSlider trains a slider from ruined to new things: along the direction that it was made from, embeddings of prompts that it did
// not see rise with the strength, on both sides of 0; and at strength 0 nothing is changed.
func TestSlider(t *testing.T) {
	e := encodertest.MiniLM(t)
	ctx := t.Context()
	var prompts []method.SliderPrompt
	for _, s := range []string{"bench", "house", "shoe", "wall"} {
		prompts = append(prompts, method.SliderPrompt{Neutral: "a photo of a " + s, Positive: "a photo of a ruined " + s, Negative: "a photo of a new " + s})
	}
	c := method.DefaultSliderFit()
	c.Steps, c.Batch = 8, 2
	a, loss, err := method.FitSlider(ctx, e, prompts, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := e.Embed(ctx, nil, []string{"a picture that shows a ruined table", "a picture that shows a new table"})
	if err != nil {
		t.Fatal(err)
	}
	direction := floats.SubTo(make([]float64, e.Width()), pair.RawRowView(0), pair.RawRowView(1))
	score := func(strength float64) float64 {
		p, err := adapter.Merge(e.Engine.Backend(), e.Model.Params, adapter.Part{Adapter: a, Strength: strength})
		if err != nil {
			t.Fatal(err)
		}
		if strength == 0 && p != e.Model.Params {
			t.Error("strength 0 has weights of its own")
		}
		x, err := e.Embed(ctx, &encoder.Variant{Params: p}, []string{"a picture that shows a table"})
		if err != nil {
			t.Fatal(err)
		}
		if p != e.Model.Params {
			if err := p.FreeUnshared(e.Model.Params); err != nil {
				t.Error(err)
			}
		}
		return floats.Dot(x.RawRowView(0), direction) / floats.Dot(direction, direction)
	}
	low, zero, high := score(-1), score(0), score(1)
	t.Logf("loss %.2f; along the direction %.3f at -1, %.3f at 0, %.3f at 1", loss, low, zero, high)
	if !(low < zero-0.1 && high > zero+0.1) {
		t.Errorf("%.3f at -1, %.3f at 0, %.3f at 1: wanted a tenth of the distance or more on both sides", low, zero, high)
	}
	task, err := method.NewTask(method.DefaultTask())
	if err != nil {
		t.Fatal(err)
	}
	m, err := method.Find("slider")
	if err != nil {
		t.Fatal(err)
	}
	conf := m.Config().(*method.SliderEraserConfig)
	conf.Steps, conf.Batch = 8, 2
	v, err := m.Fit(ctx, e, task, conf)
	if err != nil {
		t.Fatal(err)
	}
	erased, kept := recognised(t, e, v, task)
	t.Logf("as an eraser: erased %.2f, kept %.2f", erased, kept)
	if erased > 0.25 {
		t.Errorf("erased %.2f", erased)
	}
	if err := v.Params.FreeUnshared(e.Model.Params); err != nil {
		t.Error(err)
	}
	if _, _, err := method.FitSlider(ctx, e, nil, c, 1); err == nil {
		t.Error("no prompts are no error")
	}
	for _, bad := range []func(*method.SliderEraserConfig){
		func(c *method.SliderEraserConfig) { c.Alpha = 0 }, func(c *method.SliderEraserConfig) { c.Eta = 0 }, func(c *method.SliderEraserConfig) { c.Rank = 0 },
	} {
		c := m.Config().(*method.SliderEraserConfig)
		bad(c)
		if c.Validate() == nil {
			t.Errorf("%+v is no error", c)
		}
	}
}
