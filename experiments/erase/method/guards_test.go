package method_test

import (
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/method"
)

// acting is the share of texts that a variant changes; the others must keep the bits of the encoder's own states.
func acting(t *testing.T, e *encoder.Encoder, v *encoder.Variant, list []string) (share float64) {
	t.Helper()
	before, err := e.States(t.Context(), nil, list)
	if err != nil {
		t.Fatal(err)
	}
	after, err := e.States(t.Context(), v, list)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range after {
		if s.Acted {
			share += 1 / float64(len(list))
		} else if !mat.Equal(s.X, before[i].X) {
			t.Errorf("%q was changed although the guard did not act", list[i])
		}
	}
	return share
}

// TestGuards erases a windmill by the methods that act on some texts only, with a small autoencoder that is kept in a folder: the windmill
// is hidden from the prototypes, the other objects stay, and ordinary sentences keep their bits behind ItD's and CGCE's gates.
func TestGuards(t *testing.T) {
	e := encodertest.MiniLM(t)
	cfg := method.DefaultTask()
	cfg.Erase, cfg.Benign, cfg.HeldOut = []string{"windmill"}, 64, 32
	task, err := method.NewTask(cfg)
	if err != nil {
		t.Fatal(err)
	}
	task.Cross = task.Cross[:3]
	dictionary := method.DefaultDictionary()
	dictionary.Ordinary, dictionary.Neutral, dictionary.Cache = 0, 64, t.TempDir()
	dictionary.SAE.DSAE, dictionary.SAE.Batch, dictionary.SAE.Tokens = 1024, 512, 80*512
	coder, err := new(method.Dictionaries).Open(t.Context(), e, dictionary, task.Seed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := new(method.Dictionaries).Open(t.Context(), e, dictionary, task.Seed)
	if err != nil {
		t.Fatal(err)
	}
	x := mat.NewDense(1, e.Width(), nil)
	x.Set(0, 0, 3)
	a, err := coder.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	if !mat.Equal(a.Dense(), b.Dense()) {
		t.Error("the autoencoder of the cache is another one")
	}
	_, keptBefore := recognised(t, e, nil, task)
	for _, name := range []string{"itd", "sauce", "cgce"} {
		m, err := method.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		conf := m.Config()
		switch c := conf.(type) {
		case *method.ITDConfig:
			c.Dictionary = dictionary
		case *method.SAUCEConfig:
			c.Dictionary, c.Factor = dictionary, -4
		}
		v, err := m.Fit(t.Context(), e, task, conf)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		erased, kept := recognised(t, e, v, task)
		held, ordinary := acting(t, e, v, task.Erase[0].Held), acting(t, e, v, task.HeldOut)
		t.Logf("%-5s erased %.2f kept %.2f of %.2f; acts on %.2f of the concept's prompts and on %.2f of ordinary sentences", name, erased, kept, keptBefore, held, ordinary)
		if erased > 0.05 || kept < keptBefore-0.1 || held < 0.95 || (name != "sauce" && ordinary > 0) {
			t.Errorf("%s: expected at most 0.05 erased, what is kept within 0.1, and a gate that opens for the concept alone", name)
		}
		gate, ok := v.Hook.(interface {
			Score(erase.Text) (float64, float64, *mat.Dense, error)
		})
		if !ok {
			continue
		}
		states, err := e.StatesAt(t.Context(), nil, v.Layer, task.Erase[0].Held[:1])
		if err != nil {
			t.Fatal(err)
		}
		score, threshold, _, err := gate.Score(states[0].Text())
		if err != nil || score < threshold {
			t.Errorf("%s: score %v below the threshold %v: %v", name, score, threshold, err)
		}
	}
}
