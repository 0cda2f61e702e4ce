package reader_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/reader"
	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
	"loupe/probe/model"
	"loupe/vectors"
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// near fails unless |got - want| <= tol (1 + |want|) everywhere.
func near(t testing.TB, what string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tol*(1+math.Abs(want[i]))) {
			t.Fatalf("%s: value %d is %v, want %v (tolerance %g)", what, i, got[i], want[i], tol)
		}
	}
}

func flat(x *mat.Dense) []float64 { return mat.DenseCopyOf(x).RawMatrix().Data }

func random(seed uint64, n, d int) *mat.Dense {
	r := rand.New(rand.NewPCG(seed, 9))
	x := mat.NewDense(n, d, nil)
	x.Apply(func(_, _ int, _ float64) float64 { return r.NormFloat64() }, x)
	return x
}

// readers are all kinds for states of width d.
func readers(t testing.TB, d int) []reader.Reader {
	return []reader.Reader{
		must[*reader.Identity](t)(reader.NewIdentity(d, "")), must[*reader.Identity](t)(reader.NewIdentity(d, erase.SelectMean)),
		must[*reader.Identity](t)(reader.NewIdentity(d, erase.SelectEOS)),
		must[*reader.Stack](t)(reader.DrawStack("", 5, d, 1)), must[*reader.Stack](t)(reader.DrawStack(erase.SelectMean, 5, d, 1)),
		must[*reader.Attention](t)(reader.DrawAttention(2, 4, d, 3, 1, 1)),
		must[*reader.Probe](t)(reader.NewProbe("", random(2, 2, d), []float64{1, -1})),
		must[*reader.Probe](t)(reader.NewProbe(erase.SelectCLS, random(2, 2, d), []float64{1, -1})),
	}
}

// TestReadHand: readings of two states that are easy to compute.
func TestReadHand(t *testing.T) {
	h := mat.NewDense(2, 2, []float64{1, 0, 0, 2})
	w := mat.NewDense(1, 2, []float64{3, 1})
	stack := must[*reader.Stack](t)(reader.NewStack("", w, mat.NewDense(2, 2, []float64{0, 1, 1, 1})))
	probes := must[*reader.Probe](t)(reader.NewProbe(erase.SelectMean, w, []float64{10}))
	// keys 3, 2 and values 1, 4 of the states; the query log 2 / 1 weighs them by 2³ and 2²
	attention := must[*reader.Attention](t)(reader.NewAttention([]*mat.Dense{w}, []*mat.Dense{mat.NewDense(1, 2, []float64{1, 2})}, 1, 1))
	for _, c := range []struct {
		r    reader.Reader
		q    *mat.Dense
		want []float64
	}{
		{must[*reader.Identity](t)(reader.NewIdentity(2, "")), nil, []float64{1, 0, 0, 2}},
		{must[*reader.Identity](t)(reader.NewIdentity(2, erase.SelectMean)), nil, []float64{0.5, 1}},
		{must[*reader.Identity](t)(reader.NewIdentity(2, erase.SelectCLS)), nil, []float64{1, 0}},
		{must[*reader.Identity](t)(reader.NewIdentity(2, erase.SelectEOS)), nil, []float64{0, 2}},
		{stack, nil, []float64{3, 0, 1, 2, 2, 2}},
		{probes, nil, []float64{10 + 1.5 + 1}},
		{attention, mat.NewDense(1, 1, []float64{math.Ln2}), []float64{(8*1 + 4*4) / 12.0}},
	} {
		near(t, c.r.Name(), flat(must[*mat.Dense](t)(c.r.Read(h, c.q))), c.want, 1e-15)
	}
	got := must[float64](t)(reader.Loss(stack, h, nil, mat.NewDense(2, 3, []float64{3, 0, 0, 2, 2, 0})))
	near(t, "loss", []float64{got}, []float64{(1 + 4) / 2.0}, 1e-14)
}

// TestGoldenReader holds the attention reader against the reference values.
func TestGoldenReader(t *testing.T) {
	f := must[*safetensors.File](t)(safetensors.Open(filepath.Join(graphtest.Golden(t), "erasure", "surrogates.safetensors")))
	defer f.Close()
	read := func(name string) *mat.Dense {
		info, ok := f.Info(name)
		if !ok || len(info.Shape) != 2 {
			t.Fatalf("no matrix %s", name)
		}
		return mat.NewDense(info.Shape[0], info.Shape[1], must[[]float64](t)(f.Float64(name)))
	}
	q := read("reader.Q")
	m, _ := q.Dims()
	r := must[*reader.Attention](t)(reader.NewAttention([]*mat.Dense{read("reader.Wk")}, []*mat.Dense{read("reader.Wv")}, m, 1))
	near(t, "reading", flat(must[*mat.Dense](t)(r.Read(read("rab.prompt"), q))), flat(read("reader.out")), 1e-10)
}

// TestRegress: the objective's value, and its gradient at the final states by central differences on the host, for texts of unequal
// length in one batch, one of them driven away; padding to more positions changes neither, and padding has no gradient.
func TestRegress(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	m := must[*model.Model](t)(model.Load(t.Context(), engine.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", "bert"), model.Options{}))
	defer m.Params.Free()
	const batch = 3 // the last row is left out
	lengths, weights := []int{3, 5}, []float64{0.7, -0.4}
	site := model.Site{Kind: model.LastHidden}
	for i, r := range readers(t, m.Spec.DModel) {
		queries := r.Queries(uint64(i))
		var targets []*mat.Dense
		for k, n := range lengths {
			targets = append(targets, random(uint64(10+k), r.Rows(n), r.OutDim()))
		}
		var values []float64
		for _, seq := range []int{5, 8} {
			in := model.Inputs{IDs: make([]int32, batch*seq), Mask: make([]int32, batch*seq)}
			in.Mask[2*seq] = 1
			for k, n := range lengths {
				for p := range n {
					in.IDs[k*seq+p], in.Mask[k*seq+p] = int32(10+3*k+p), 1
				}
			}
			in.Objective = must[map[string]*tensors.Tensor](t)(reader.Targets(r, queries, targets, weights, batch, seq))
			p := must[*model.Program](t)(engine.Compile(m.Spec, model.Plan{
				Batch: batch, Seq: seq, Objective: reader.Regress(r, batch, seq), Captures: []model.Capture{{Site: site}}, GradSites: []model.Site{site},
			}))
			out := must[*model.Outputs](t)(p.Run(t.Context(), m.Params, in))
			value := must[float32](t)(out.Objective())
			h := must[[]float32](t)(tensors.CopyFlatData[float32](out.Site(site)))
			g := must[[]float32](t)(tensors.CopyFlatData[float32](out.Grad(site)))
			if err := out.Free(); err != nil {
				t.Fatal(err)
			}
			d, want := m.Spec.DModel, 0.0
			for k, n := range lengths {
				x := mat.NewDense(n, d, nil)
				x.Apply(func(p, j int, _ float64) float64 { return float64(h[(k*seq+p)*d+j]) }, x)
				want += weights[k] * must[float64](t)(reader.Loss(r, x, queries, targets[k]))
				for p := range n {
					for _, j := range []int{0, d - 1} {
						const step = 1e-4
						moved := func(by float64) float64 {
							y := mat.DenseCopyOf(x)
							y.Set(p, j, y.At(p, j)+by)
							return must[float64](t)(reader.Loss(r, y, queries, targets[k]))
						}
						slope := weights[k] * (moved(step) - moved(-step)) / (2 * step)
						near(t, r.Name()+" gradient", []float64{float64(g[(k*seq+p)*d+j])}, []float64{slope}, 1e-4)
					}
				}
				for _, v := range g[(k*seq+n)*d : (k+1)*seq*d] {
					if v != 0 {
						t.Fatalf("%s: the padding of text %d has a gradient", r.Name(), k)
					}
				}
			}
			near(t, r.Name(), []float64{float64(value)}, []float64{want}, 1e-5)
			values = append(values, float64(value))
		}
		near(t, r.Name()+" padded", values[1:], values[:1], 1e-5)
	}
}

// TestQueries: drawn by seed, with the spread that is asked for, and needed.
func TestQueries(t *testing.T) {
	r := must[*reader.Attention](t)(reader.DrawAttention(4, 16, 8, 64, 2, 1))
	a, b, c := r.Queries(1), r.Queries(1), r.Queries(2)
	if !mat.Equal(a, b) || mat.Equal(a, c) {
		t.Error("queries do not follow their seed")
	}
	sigma := mat.Norm(a, 2) / math.Sqrt(4*64*16)
	if math.Abs(sigma-2) > 0.1 {
		t.Errorf("standard deviation %v, want 2", sigma)
	}
	if _, err := r.Read(random(1, 3, 8), nil); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("without queries: %v", err)
	}
}

// TestReadStack: what is written is read, in order, and files that are no stack of the encoder's width are refused with the tensor's name.
func TestReadStack(t *testing.T) {
	write := func(list ...safetensors.Tensor) string {
		path := filepath.Join(t.TempDir(), "kv.safetensors")
		if err := safetensors.Write(path, list, nil); err != nil {
			t.Fatal(err)
		}
		return path
	}
	v := safetensors.F32("to_v", []int{1, 3}, []float32{7, 8, 9})
	k := safetensors.F32("to_k", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6})
	s := must[*reader.Stack](t)(reader.ReadStack(write(v, k), 3, ""))
	near(t, "stack", flat(s.Weights), []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}, 0)
	if !slices.Equal(s.Names, []string{"to_k", "to_v"}) {
		t.Errorf("names %v", s.Names)
	}
	for what, c := range map[string]struct {
		path string
		d    int
		want error
	}{
		"another encoder":  {write(k), 4, vectors.ErrShape},
		"widths differ":    {write(k, safetensors.F32("to_v", []int{1, 4}, make([]float32, 4))), 0, vectors.ErrShape},
		"no matrix":        {write(k, safetensors.F32("bias", []int{2}, make([]float32, 2))), 3, vectors.ErrShape},
		"no tensor":        {write(), 3, vectors.ErrArgument},
		"NaN":              {write(safetensors.F32("to_k", []int{1, 3}, []float32{1, float32(math.NaN()), 3})), 3, vectors.ErrNotFinite},
		"missing file":     {filepath.Join(t.TempDir(), "none"), 3, os.ErrNotExist},
		"unknown pooling":  {write(k), 3, nil},
		"integer contents": {write(safetensors.I64("to_k", []int{1, 3}, []int64{1, 2, 3})), 3, nil},
	} {
		pooling := reader.Pooling("")
		if what == "unknown pooling" {
			pooling = "last"
		}
		if _, err := reader.ReadStack(c.path, c.d, pooling); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzReadStack: no bytes make the reader panic, and what it accepts is finite and of the asked width.
func FuzzReadStack(f *testing.F) {
	path := filepath.Join(f.TempDir(), "kv.safetensors")
	if err := safetensors.Write(path, []safetensors.Tensor{safetensors.F32("to_k", []int{1, 2}, []float32{1, 2})}, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(must[[]byte](f)(os.ReadFile(path)))
	f.Add([]byte{8, 0, 0, 0, 0, 0, 0, 0, '{', '}'})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "kv.safetensors")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := reader.ReadStack(path, 2, "")
		if err != nil {
			return
		}
		if _, d := s.Weights.Dims(); d != 2 || s.OutDim() < len(s.Names) || math.IsNaN(mat.Sum(s.Weights)) {
			t.Errorf("accepted a stack of width %d with %d outputs of %d matrices", d, s.OutDim(), len(s.Names))
		}
	})
}
