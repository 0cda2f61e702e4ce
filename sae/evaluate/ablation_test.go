package evaluate

import (
	"strings"
	"testing"

	"loupe/sae"
)

// TestSpuriousTasks: every text has both concepts' sentences, the four combinations are equally many in each part, and the held-out
// texts come last.
func TestSpuriousTasks(t *testing.T) {
	b := &Bench{Config: DefaultConfig()}
	b.ProbePairs = 6
	tasks, err := b.spuriousTasks()
	if err != nil {
		t.Fatal(err)
	}
	if len(tasks) != spuriousPairs {
		t.Fatalf("%d tasks", len(tasks))
	}
	for _, task := range tasks {
		train := int(task.share * float64(len(task.texts)))
		if train != 24 || len(task.texts) != 36 {
			t.Errorf("%s: %d of %d texts train", task.name, train, len(task.texts))
		}
		for _, part := range [][2]int{{0, train}, {train, len(task.texts)}} {
			count := map[[2]bool]int{}
			for i := part[0]; i < part[1]; i++ {
				count[[2]bool{task.target[i], task.spurious[i]}]++
			}
			for combination, n := range count {
				if n != (part[1]-part[0])/4 || len(count) != 4 {
					t.Errorf("%s: %v comes %d times among %d", task.name, combination, n, part[1]-part[0])
				}
			}
		}
	}
}

// TestAblationSuites: SCR and TPP run on generated data, in range, and say why they are off by default; transcoders are left out.
func TestAblationSuites(t *testing.T) {
	f := miniLM(t)
	b := f.bench(t)
	b.ProbePairs = 4
	d := f.subject.Model.Spec.DModel
	random := mustNew(t, "random", "random", randomTopK(f.site, d, 2*d, 16))
	trans := randomTopK(f.site, d, d, 4)
	trans.Arch, trans.ApplyBDecToInput, trans.DOut = sae.ArchTopKTranscoder, false, d
	trans.Metadata["hook_name_out"] = f.site
	other := mustNew(t, "transcoder", "transcoder", trans)
	for name, run := range map[string]func() (*Outcome, error){
		"scr_5": func() (*Outcome, error) { return b.SCR(t.Context(), []*Dictionary{random, other}) },
		"tpp_5": func() (*Outcome, error) { return b.TPP(t.Context(), []*Dictionary{random, other}) },
	} {
		o, err := run()
		if err != nil {
			t.Fatal(err)
		}
		v, ok := valuesOf(o)["random"][name]
		if !ok || v.Value < -5 || v.Value > 5 || len(o.Scores) != 1 || o.LeftOut["transcoder"] == "" || !strings.Contains(strings.Join(o.Notes, ""), "2605.18229") {
			t.Errorf("%s: %+v, left out %v, notes %v", name, v, o.LeftOut, o.Notes)
		}
	}
}

// TestMetaSuite: a dictionary of repeated directions is far below random ones in atoms, and the controls are left out.
func TestMetaSuite(t *testing.T) {
	p := plantedStore(t, 20)
	b := p.bench(t)
	b.MetaSteps = 1000
	s := p.pursuit(1, 0)
	const f, d = 64, 16
	s.DSAE, s.WDec = f, make([]float32, f*d)
	for i := range f { // sums of two of eight axes
		s.WDec[i*d+i%8]++
		s.WDec[i*d+8+i/8]++
	}
	random := mustNew(t, "r", "r", p.pursuit(2, 0.1))
	random.Control = ControlRandom
	o, err := b.Meta(t.Context(), []*Dictionary{mustNew(t, "sums", "sums", s), random})
	if err != nil {
		t.Fatal(err)
	}
	v := valuesOf(o)["sums"]
	if v["beyond_random"].Value < 0.1 || len(o.Scores) != 1 || o.LeftOut["r"] == "" {
		t.Errorf("%+v, left out %v", v, o.LeftOut)
	}
}
