package shallow

import (
	"testing"

	"loupe/internal/expect"
	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestTasks: questions have one right continuation that the corrupted one changes, and texts hold what is asked.
func TestTasks(t *testing.T) {
	for _, k := range tasks {
		p := k.pairs(20, 7)
		for r := range p.Rows {
			if p.Answer[r][0] == p.Wrong[r][0] || int(p.Answer[r][0]) >= k.vocab {
				t.Errorf("%s: answer %v, foil %v", k.name, p.Answer[r], p.Wrong[r])
			}
			differ := 0
			for i := range p.Seq {
				if p.Clean[r*p.Seq+i] != p.Corrupted[r*p.Seq+i] {
					differ++
				}
			}
			if differ != 1 {
				t.Errorf("%s: %d tokens differ", k.name, differ)
			}
		}
	}
	p := repeats().pairs(1, 3)
	if last, at := p.Clean[p.Seq-1], 4; p.Clean[at] != last || p.Clean[at+1] != p.Answer[0][0] || p.Corrupted[at+1] != p.Wrong[0][0] {
		t.Errorf("%v is not continued by %v", p.Clean, p.Answer)
	}
}

// TestSpecs: all shapes have the same heads and MLP units; their weights differ by norms and biases alone.
func TestSpecs(t *testing.T) {
	c := newConfig().(*Config)
	var weights []int
	for _, sh := range shapes {
		s, err := c.spec(sh, 8, 16)
		if err != nil {
			t.Fatal(err)
		}
		if s.Heads*s.Layers != c.Heads || s.DMLP*s.Layers != c.DMLP || s.Parallel != sh.parallel {
			t.Errorf("%s: %+v", sh.name, s)
		}
		weights = append(weights, s.NumParams())
	}
	if spread := weights[0] - weights[3]; spread < 0 || spread > weights[0]/50 {
		t.Errorf("weights %v", weights)
	}
}

// TestModels: small models learn part of the facts; the broad block's circuit keeps its share where random ones of its size do not, and its
// paths are input, head or MLP, logits. (A small stack takes longer to learn.)
func TestModels(t *testing.T) {
	c := newConfig().(*Config)
	c.DModel, c.DMLP, c.DHead, c.Train.Steps, c.Train.LR, c.Train.Warmup, c.Seeds, c.Rows, c.Steps = 32, 64, 8, 200, 1e-2, 10, 1, 8, 2
	engine := model.NewEngine(graphtest.Backend(t), nil)
	for _, sh := range []shape{shapes[0], shapes[3]} {
		all, err := c.models(t.Context(), engine, facts(), sh)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			t.Logf("%s: %+v", sh.name, o)
			if sh.layers > 1 {
				if !(o.Loss < 4) {
					t.Errorf("%s: %+v; chance is 4.9", sh.name, o)
				}
				continue
			}
			if o.Loss > 2.77 || o.Path != 2 || o.F < c.Faithful || o.Random > o.F-0.2 {
				t.Errorf("%s: %+v", sh.name, o)
			}
		}
	}
	if _, err := expect.Load("expect.yaml"); err != nil {
		t.Error(err)
	}
}
