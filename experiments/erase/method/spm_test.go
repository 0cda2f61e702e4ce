package method_test

import (
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/method"
)

// TestSPM erases a dog from MiniLM by membranes: the prompts are no longer recognised, the others are; a text of gamma 0 is read with
// the very weights; and a text with the concept's own name gets all of the membrane.
func TestSPM(t *testing.T) {
	e := encodertest.MiniLM(t)
	ctx := t.Context()
	task, err := method.NewTask(method.DefaultTask())
	if err != nil {
		t.Fatal(err)
	}
	c := method.DefaultSPM()
	c.Steps = 15
	m, loss, err := method.FitSPM(ctx, e, task.Erase[0], c, 1)
	if err != nil {
		t.Fatal(err)
	}
	open, err := method.Transported(ctx, e, []method.Membrane{m}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := open.Params.FreeUnshared(e.Model.Params); err != nil {
			t.Error(err)
		}
	}()
	erased, kept := recognised(t, e, open, task)
	t.Logf("loss %.1f, without the gate: erased %.2f, kept %.2f, %v bytes", loss, erased, kept, open.Notes["bytes"])
	if erased > 0.1 || kept < 0.8 {
		t.Errorf("erased %.2f, kept %.2f; wanted 0.1 or less and 0.8 or more", erased, kept)
	}
	gated, err := method.Transported(ctx, e, []method.Membrane{m}, true)
	if err != nil {
		t.Fatal(err)
	}
	zero, some := 0, 0
	for _, s := range task.HeldOut {
		text, err := e.Tokens(s)
		if err != nil {
			t.Fatal(err)
		}
		p, err := gated.PerText(ctx, text)
		if err != nil {
			t.Fatal(err)
		}
		if p == e.Model.Params {
			zero++
		} else if some++; p.FreeUnshared(e.Model.Params) != nil {
			t.Fatal("not freed")
		}
		if zero > 0 && some > 0 {
			break
		}
	}
	t.Logf("sentences without likeness to the concept before one with some: %d, %d", zero, some)
	if zero == 0 || some == 0 {
		t.Errorf("%d ordinary sentences keep the weights and %d do not; the test wants both", zero, some)
	}
	named := []string{task.Erase[0].Held[0]}
	a, err := e.Embed(ctx, open, named)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Embed(ctx, gated, named)
	if err != nil {
		t.Fatal(err)
	}
	if !mat.EqualApprox(a, b, 1e-5) {
		t.Error("a text that names the concept does not get the whole membrane")
	}
	for _, bad := range []func(*method.SPMConfig){
		func(c *method.SPMConfig) { c.Layers = nil }, func(c *method.SPMConfig) { c.LR = 0 }, func(c *method.SPMConfig) { c.Anchors = -1 },
	} {
		c := method.DefaultSPM()
		bad(&c)
		if c.Validate() == nil {
			t.Errorf("%+v is no error", c)
		}
	}
	other := task.Erase[0]
	other.AnchorFit = slices.Clone(other.AnchorFit[:1])
	if _, _, err := method.FitSPM(ctx, e, other, c, 1); err == nil {
		t.Error("prompts without twins are no error")
	}
}
