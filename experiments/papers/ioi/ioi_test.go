package ioi

import (
	"math"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/study/studytest"
)

// TestStudy: a small run on a random decoder of two blocks: the whole graph is faithful by every method, mask-path scores add up, and scores of
// edges into the logits follow their exact effects.
func TestStudy(t *testing.T) {
	r := studytest.RunOn(t, graphtest.Interpreted(t), Study(), "model="+studytest.Decoder(t), "prompts=4", "sizes=[20,6000]", "movers=2", "steps=20",
		"published=[a0.h1, a1.h2]", "circuit=[a0.h1, a1.h0, a1.h2]")
	for _, m := range []string{"eap", "eap-ig", "mask-ig"} {
		if f := studytest.Number(t, r, "f_"+m+"_6000").Value; math.Abs(f-1) > 1e-3 {
			t.Errorf("%s: the whole graph has faithfulness %v", m, f)
		}
	}
	if sum := studytest.Number(t, r, "sum_mask-ig").Value; math.Abs(sum-1) > 0.1 {
		t.Errorf("the mask path's scores add up to %v of the change", sum)
	}
	if rho := studytest.Number(t, r, "exact_mask-ig").Value; rho < 0.5 {
		t.Errorf("scores of edges into the logits: correlation %v with exact effects", rho)
	}
	if first, last := studytest.Number(t, r, "movers.first").Value, studytest.Number(t, r, "movers.last").Value; first < last {
		t.Errorf("the first head has a direct effect of %v, the last %v", first, last)
	}
	for _, name := range []string{"task.right", "published.movers", "published.circuit"} {
		if v := studytest.Number(t, r, name).Value; !(v >= 0 && v <= 1) {
			t.Errorf("%s is %v", name, v)
		}
	}
}

// TestValidate: settings that cannot be run are refused by name.
func TestValidate(t *testing.T) {
	good := Study().Kind.New().(*Config)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *Config){
		"method": func(c *Config) { c.Methods = []string{"eapig"} }, "sizes": func(c *Config) { c.Sizes = []int{5, 2} }, "prompts": func(c *Config) { c.Prompts = 1 },
	} {
		c := *good
		spoil(&c)
		if c.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
