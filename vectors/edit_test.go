package vectors_test

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/vectors"
)

// subject is a tiny golden model with the rows of one site for one batch.
type subject struct {
	testing.TB
	engine *model.Engine
	model  *model.Model
	site   model.Site
}

const editBatch, editSeq = 2, 5

func newSubject(t testing.TB, name string, site model.Site) *subject {
	t.Helper()
	engine := model.NewEngine(graphtest.Backend(t), nil)
	m, err := model.Load(t.Context(), engine.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", name), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Params.Free() })
	return &subject{t, engine, m, site}
}

// rows are the site's values [batch*seq, d] under some edits.
func (s *subject) rows(edits ...*vectors.Edit) *mat.Dense {
	s.Helper()
	plan := model.Plan{Batch: editBatch, Seq: editSeq, To: s.site.Layer + 1, Captures: []model.Capture{{Site: s.site}}}
	ids := make([]int32, editBatch*editSeq)
	for i := range ids {
		ids[i] = int32(3 + (7*i)%(s.model.Spec.Vocab-8))
	}
	in := model.Inputs{IDs: ids}
	for _, e := range edits {
		plan.Edits = append(plan.Edits, e.Class)
		in.Edits = append(in.Edits, e.Values)
	}
	p, err := s.engine.Compile(s.model.Spec, plan)
	if err != nil {
		s.Fatal(err)
	}
	out, err := p.Run(s.Context(), s.model.Params, in)
	if err != nil {
		s.Fatal(err)
	}
	defer out.Free()
	flat, err := tensors.CopyFlatData[float32](out.Site(s.site))
	if err != nil {
		s.Fatal(err)
	}
	d := s.model.Spec.Width(s.site.Kind, editSeq)
	x := mat.NewDense(len(flat)/d, d, nil)
	for i, v := range flat {
		x.Set(i/d, i%d, float64(v))
	}
	return x
}

// agree holds the edited model against the host's map of the unedited rows.
func (s *subject) agree(what string, got, want *mat.Dense) {
	s.Helper()
	n, d := want.Dims()
	for i := range n {
		for j := range d {
			if err := math.Abs(got.At(i, j) - want.At(i, j)); !(err <= 2e-5*(1+math.Abs(want.At(i, j)))) {
				s.Fatalf("%s: row %d, entry %d is %v in the model and %v on the host", what, i, j, got.At(i, j), want.At(i, j))
			}
		}
	}
}

// TestEraserInModel: an eraser acts inside a model as Apply does on its activations, at full, half and no strength, in
// blocks and outside them.
func TestEraserInModel(t *testing.T) {
	for _, c := range []struct {
		model string
		site  model.Site
	}{{"bert", model.Site{Kind: model.ResidPost}}, {"llama-tied", model.Site{Kind: model.Embed}}} {
		s := newSubject(t, c.model, c.site)
		x := s.rows()
		n, d := x.Dims()
		z := mat.NewDense(n, 2, nil)
		for i := range n {
			z.Set(i, 0, float64(i%2))
			z.Set(i, 1, float64(i%3))
		}
		leace, err := vectors.FitLEACE(x, z, vectors.DefaultLEACE())
		if err != nil {
			t.Fatal(err)
		}
		erasers := map[string]*vectors.Eraser{"LEACE": leace.Eraser}
		for name, r := range map[string]int{"rank 5": min(5, d)} {
			if erasers[name], err = vectors.RandomProjection(d, r, 3); err != nil {
				t.Fatal(err)
			}
		}
		for name, e := range erasers {
			erased, err := e.Apply(x)
			if err != nil {
				t.Fatal(err)
			}
			for _, strength := range []float64{1, 0.5, 0} { // a run-time tensor: one compile
				edit, err := e.Edit(s.model.Spec, s.site, editBatch, editSeq, strength)
				if err != nil {
					t.Fatal(err)
				}
				var want mat.Dense
				want.Sub(erased, x)
				want.Scale(strength, &want)
				want.Add(x, &want)
				s.agree(c.site.String()+" "+name, s.rows(edit), &want)
			}
		}
	}
}

// TestAffineEraserInModel: more than 64 directions take the full affine map.
func TestAffineEraserInModel(t *testing.T) {
	s := newSubject(t, "llama-tied", model.Site{Kind: model.MLPPost})
	x := s.rows()
	_, d := x.Dims()
	if d <= 64 {
		t.Fatalf("the tiny model's MLP is %d wide; the test needs a wider site", d)
	}
	e, err := vectors.RandomProjection(d, 65, 1)
	if err != nil {
		t.Fatal(err)
	}
	edit, err := e.Edit(s.model.Spec, s.site, editBatch, editSeq, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !edit.Class.Affine {
		t.Error("65 directions are not an affine edit")
	}
	want, err := e.Apply(x)
	if err != nil {
		t.Fatal(err)
	}
	s.agree("affine", s.rows(edit), want)
}

// TestSteeringInModel: adding, ablating and keeping the norm.
func TestSteeringInModel(t *testing.T) {
	s := newSubject(t, "llama-tied", model.Site{Kind: model.ResidPost})
	x := s.rows()
	_, d := x.Dims()
	v := make([]float64, d)
	for i := range v {
		v[i] = math.Sin(float64(i + 1))
	}
	for _, strength := range []float64{0, -0.7, 2} {
		for _, steering := range []vectors.Steering{{Vector: v, Strength: strength}, {Vector: v, Strength: strength, Ablate: true, KeepNorm: true}} {
			edit, err := steering.Edit(s.model.Spec, s.site, editBatch, editSeq)
			if err != nil {
				t.Fatal(err)
			}
			want, err := steering.Apply(x)
			if err != nil {
				t.Fatal(err)
			}
			s.agree("steering", s.rows(edit), want)
		}
	}
}

// TestEditRefuses: another width, a layer that is not there.
func TestEditRefuses(t *testing.T) {
	s := newSubject(t, "llama-tied", model.Site{Kind: model.ResidPost})
	e, err := vectors.RandomProjection(3, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Edit(s.model.Spec, s.site, editBatch, editSeq, 1); err == nil {
		t.Error("a vector of width 3 was accepted")
	}
	wide := vectors.Steering{Vector: make([]float64, s.model.Spec.DModel), Strength: 1}
	wide.Vector[0] = 1
	if _, err := wide.Edit(s.model.Spec, model.Site{Kind: model.ResidPost, Layer: 99}, editBatch, editSeq); err == nil {
		t.Error("layer 99 was accepted")
	}
}
