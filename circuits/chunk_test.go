package circuits

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// randomPairs are rows of random tokens; the last row is padded on the right, the first on the left.
func randomPairs(s *model.Spec, rows, seq int, seed uint64) *Pairs {
	r := rand.New(rand.NewPCG(seed, 1))
	p := &Pairs{Rows: rows, Seq: seq, Clean: make([]int32, rows*seq), Corrupted: make([]int32, rows*seq), Mask: slices.Repeat([]int32{1}, rows*seq)}
	for i := range p.Clean {
		p.Clean[i], p.Corrupted[i] = int32(r.IntN(s.Vocab)), int32(r.IntN(s.Vocab))
	}
	p.Mask[0], p.Mask[rows*seq-1] = 0, 0
	for i := range rows {
		p.Answer, p.Wrong = append(p.Answer, []int32{int32(i), int32(i + 20)}[:1+i%2]), append(p.Wrong, []int32{int32(i + 40)})
	}
	return p
}

// TestChunks: five rows in chunks of two (the last filled with a repeat) give every method's numbers of one batch, with as many programs.
func TestChunks(t *testing.T) {
	path := filepath.Join(graphtest.Golden(t), "circuits", "models", "gpt2-b")
	const rows, seq = 5, 5
	type run struct {
		task *Task
		m    *model.Model
		e    *model.Engine
	}
	load := func(metric Metric, budgetRows int64) run {
		e := model.NewEngine(graphtest.Interpreted(t), nil)
		m := loadModel(t, e, path)
		opt := Options{SweepRows: 10}
		opt.Budget = budgetRows * must[*Memory](t)(EstimateMemory(m.Spec, rows, seq, opt)).Row
		return run{must[*Task](t)(NewTask(t.Context(), e, m, randomPairs(m.Spec, rows, seq, 3), metric, opt)), m, e}
	}
	for _, metric := range []Metric{LogitDiff(), KL()} {
		whole, parts := load(metric, 0), load(metric, 2)
		if whole.task.chunks != nil || len(parts.task.chunks) != 3 || parts.task.chunks[2].real != 1 {
			t.Fatalf("%d chunks of %+v", len(parts.task.chunks), parts.task.memory)
		}
		for _, c := range chunkedResults(metric.choice == 1) {
			got, want := c.get(t, parts.task), c.get(t, whole.task)
			closeScale(t, metric.Name+" "+c.name, got, want, 2e-5)
		}
		if got, want := parts.e.Compiles(), whole.e.Compiles(); got != want {
			t.Errorf("%s: %d programs in chunks, %d in one batch", metric.Name, got, want)
		}
		for _, c := range parts.task.chunks {
			if c.cache != nil {
				t.Error("a chunk still holds its senders")
			}
		}
	}
}

// closeScale fails unless |got-want| <= tol (1 + max|want|).
func closeScale(t *testing.T, name string, got, want []float64, tol float64) {
	t.Helper()
	size, worst := 1.0, 0.0
	for i := range want {
		size = max(size, math.Abs(want[i]))
	}
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	for i := range want {
		worst = max(worst, math.Abs(got[i]-want[i]))
	}
	if !(worst <= tol*size) {
		t.Errorf("%s: off by %g of %g", name, worst, size)
	}
}

type chunkedResult struct {
	name string
	get  func(t *testing.T, task *Task) []float64
}

// chunkedResults are the numbers of every method.
func chunkedResults(all bool) []chunkedResult {
	scores := func(name string, f func(t *testing.T, task *Task) (*Scores, error)) chunkedResult {
		return chunkedResult{name, func(t *testing.T, task *Task) []float64 { return must[*Scores](t)(f(t, task)).Values }}
	}
	out := []chunkedResult{
		{"losses", func(_ *testing.T, task *Task) []float64 { return slices.Concat(task.CleanLoss, task.CorruptedLoss) }},
		scores("EAP", func(t *testing.T, task *Task) (*Scores, error) { return EAP(t.Context(), task) }),
		{"certificate", func(t *testing.T, task *Task) []float64 {
			s := must[*Scores](t)(MaskIG(t.Context(), task, 2))
			c := must[*Certificate](t)(Certify(t.Context(), task, s))
			if err := c.Err(); err != nil {
				t.Error(err)
			}
			return []float64{c.Sum, c.Change, float64(len(c.Checks))}
		}},
	}
	for _, kind := range []Ablation{Patching, Zero, Mean, MeanPositional, Resample} {
		out = append(out, chunkedResult{"Evaluate " + string(kind), func(t *testing.T, task *Task) []float64 {
			ref := must[*Reference](t)(task.Reference(t.Context(), kind, 4))
			scores := make([]float64, task.Graph.Size())
			for i := range scores {
				scores[i] = float64(i % 7)
			}
			circuits := []*Circuit{NewCircuit(task.Graph), TopN(task.Graph, scores, 9), Whole(task.Graph)}
			return slices.Concat(must[[][]float64](t)(task.Evaluate(t.Context(), ref, circuits...))...)
		}})
	}
	if !all {
		return out
	}
	return append(out,
		scores("EAP-IG over inputs", func(t *testing.T, task *Task) (*Scores, error) { return EAPIGInputs(t.Context(), task, 2) }),
		scores("EAP-IG over activations", func(t *testing.T, task *Task) (*Scores, error) {
			return EAPIGActivations(t.Context(), task, PathSubLayer, 1)
		}),
		scores("clean-corrupted", func(t *testing.T, task *Task) (*Scores, error) { return CleanCorrupted(t.Context(), task) }),
		scores("exact", func(t *testing.T, task *Task) (*Scores, error) { return Exact(t.Context(), task) }),
		chunkedResult{"ACDC", func(t *testing.T, task *Task) []float64 {
			r := must[*ACDCResult](t)(ACDC(t.Context(), task, must[*Reference](t)(task.Reference(t.Context(), Patching, 0)), 0.05))
			return append(r.Deltas, r.Start, r.Final)
		}},
		chunkedResult{"bootstrap", func(t *testing.T, task *Task) []float64 {
			return must[*Bootstrap](t)(NewBootstrap(must[*Scores](t)(EAP(t.Context(), task)), TopN, 10, 20, 1)).Inclusion
		}},
		chunkedResult{"node patching", func(t *testing.T, task *Task) []float64 {
			n := must[*NodeEffects](t)(PatchNodes(t.Context(), task, model.Z, Noise))
			if n.Dims[0] != task.Pairs.Rows {
				t.Errorf("effects of shape %v", n.Dims)
			}
			return append(n.Loss, must[*NodeEffects](t)(PatchNodes(t.Context(), task, model.ResidPre, Denoise)).Loss...)
		}},
		chunkedResult{"unit patching", func(t *testing.T, task *Task) []float64 {
			u := must[*UnitEffects](t)(PatchUnits(t.Context(), task, Noise))
			return append(u.Heads, u.MLPs...)
		}},
		chunkedResult{"parts", func(t *testing.T, task *Task) []float64 {
			d, places := task.Model.Spec.DModel, task.Pairs.Rows*task.Pairs.Seq
			p := Parts{Site: model.Site{Kind: model.ResidPost, Layer: 0}, Directions: make([]float32, 2*d), Clean: make([]float32, 2*places), Corrupted: make([]float32, 2*places)}
			for i := range p.Directions {
				p.Directions[i] = float32(i%5) - 2
			}
			for i := range p.Clean {
				p.Clean[i], p.Corrupted[i] = float32(i%3), float32(i%4)
			}
			e := must[*PartEffects](t)(AttributeParts(t.Context(), task, p, 2))
			exact := must[[][]float64](t)(PatchParts(t.Context(), task, p, []PartPatch{{0, -1}, {1, 2}, {ErrorPart, -1}}))
			return slices.Concat(e.Parts, e.Error, slices.Concat(exact...))
		}},
	)
}

// TestMemory: hand-computed sizes of GPT-2 small (157 senders, 445 receivers), chunks of equal size, and a row that does not fit.
func TestMemory(t *testing.T) {
	s := model.GPT2Small()
	m := must[*Memory](t)(EstimateMemory(s, 8, 16, Options{}))
	row, sweep := int64(4*(16*((19*157+7*445)*768+2*157*445+2*12*12*16)+3*50257)), int64(4*(16*((5*157+2*445)*768+12*12*16)+3*50257))
	if m.Row != row || m.SweepRow != sweep {
		t.Errorf("rows of %d and %d bytes, want %d and %d", m.Row, m.SweepRow, row, sweep)
	}
	if m.Rows != 8 || m.Chunks != 1 || m.Copies != 8 || m.Bytes != 64*sweep {
		t.Errorf("%+v: a sweep of 64 rows", m)
	}
	// 4 rows with gradients take as much as 14 of a sweep, in which 3 copies of 4 rows fit
	if m = must[*Memory](t)(EstimateMemory(s, 10, 16, Options{Budget: 4*row + 1})); m.Rows != 4 || m.Chunks != 3 || m.Copies != 3 || m.Bytes != 4*row {
		t.Errorf("%+v: ten rows, four at a time", m)
	}
	if m = must[*Memory](t)(EstimateMemory(s, 9, 16, Options{Budget: 8 * row})); m.Rows != 5 || m.Chunks != 2 {
		t.Errorf("%+v: nine rows in two chunks of five, not of eight", m)
	}
	_, err := EstimateMemory(s, 8, 16, Options{Budget: row - 1})
	if err == nil || !strings.Contains(err.Error(), strconv.FormatInt(row, 10)+" bytes") || !strings.Contains(err.Error(), "raise the budget") {
		t.Errorf("a row that does not fit: %v", err)
	}
	e := model.NewEngine(graphtest.Interpreted(t), nil)
	tiny := loadModel(t, e, graphtest.Golden(t), "circuits", "models", "gpt2-b")
	if _, err := NewTask(t.Context(), e, tiny, randomPairs(tiny.Spec, 2, 5, 1), LogitDiff(), Options{Budget: 100}); err == nil || e.Compiles() > 0 {
		t.Errorf("a task over its budget: %v after %d compiles", err, e.Compiles())
	}
	encoder := loadModel(t, e, graphtest.Golden(t), "circuits", "models", "bert-a")
	if m := must[*Memory](t)(EstimateMemory(encoder.Spec, 2, 5, Options{})); m.Row <= 0 {
		t.Errorf("an encoder's row: %+v", m)
	}
}
