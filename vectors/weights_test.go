package vectors_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/sae"
	"loupe/vectors"
)

// TestLensOfModel: the lens of a model gives the model's own logits from its last residual stream, for every kind of norm, tied
// or not, with a soft cap; and value vectors weighted by their activations are the MLP's output.
func TestLensOfModel(t *testing.T) {
	for _, name := range []string{"gpt2", "llama-untied", "gemma2"} {
		engine := model.NewEngine(graphtest.Backend(t), nil)
		m, err := model.Load(t.Context(), engine.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", name), model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Params.Free()
		last := m.Spec.Layers - 1
		sites := []model.Site{{Kind: model.ResidPost, Layer: last}, {Kind: model.MLPPost, Layer: last}, {Kind: model.MLPOut, Layer: last}}
		if m.Spec.Place == model.SandwichNorm {
			sites[2].Kind = model.MLPSubOut
		}
		plan := model.Plan{Batch: 1, Seq: 6, Logits: model.LogitsAll}
		for _, s := range sites {
			plan.Captures = append(plan.Captures, model.Capture{Site: s})
		}
		p, err := engine.Compile(m.Spec, plan)
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.Run(t.Context(), m.Params, model.Inputs{IDs: []int32{3, 4, 9, 5, 4, 7}})
		if err != nil {
			t.Fatal(err)
		}
		rows := func(x *tensors.Tensor, d int) *mat.Dense {
			flat, err := tensors.CopyFlatData[float32](x)
			if err != nil {
				t.Fatal(err)
			}
			m := mat.NewDense(len(flat)/d, d, nil)
			for i, v := range flat {
				m.RawMatrix().Data[i] = float64(v)
			}
			return m
		}
		lens, err := vectors.LensOf(m)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := lens.Logits(rows(out.Site(sites[0]), m.Spec.DModel))
		if err != nil {
			t.Fatal(err)
		}
		near(t, name+" logits", logits, rows(out.Logits(), m.Spec.Vocab), 5e-5) // a float32 forward pass
		values, err := vectors.ValueVectors(m, last)
		if err != nil {
			t.Fatal(err)
		}
		var written mat.Dense
		written.Mul(rows(out.Site(sites[1]), m.Spec.DMLP), values)
		got := rows(out.Site(sites[2]), m.Spec.DModel)
		if m.Spec.MLPBias {
			bias, err := m.Params.Values(fmt.Sprintf("blocks.%d.b_out", last))
			if err != nil {
				t.Fatal(err)
			}
			for i := range 6 {
				for j, b := range bias {
					written.Set(i, j, written.At(i, j)+float64(b))
				}
			}
		}
		near(t, name+" MLP", &written, got, 2e-5)
	}
}

func near(t *testing.T, what string, got, want *mat.Dense, tol float64) {
	t.Helper()
	n, d := want.Dims()
	if r, c := got.Dims(); r != n || c != d {
		t.Fatalf("%s: [%d, %d], want [%d, %d]", what, r, c, n, d)
	}
	for i := range n {
		for j := range d {
			if w := want.At(i, j); !(math.Abs(got.At(i, j)-w) <= tol*(1+math.Abs(w))) {
				t.Fatalf("%s: row %d, entry %d is %v, want %v", what, i, j, got.At(i, j), w)
			}
		}
	}
}

// TestTokenDirectionHand: means of rows, and what is refused.
func TestTokenDirectionHand(t *testing.T) {
	e := mat.NewDense(3, 2, []float64{1, 0, 3, 2, 0, 5})
	got, err := vectors.TokenDirection(e, []int{0, 1}, []int{2})
	if err != nil || got[0] != 2 || got[1] != -4 {
		t.Errorf("mean of (1, 0) and (3, 2) less (0, 5): %v, %v", got, err)
	}
	if got, err = vectors.TokenDirection(e, []int{1}, nil); err != nil || got[0] != 3 || got[1] != 2 {
		t.Errorf("row 1: %v, %v", got, err)
	}
	for _, tokens := range [][2][]int{{nil, {1}}, {{3}, nil}, {{1}, {-1}}, {{1}, {1}}} {
		if _, err := vectors.TokenDirection(e, tokens[0], tokens[1]); !errors.Is(err, vectors.ErrArgument) {
			t.Errorf("tokens %v: %v", tokens, err)
		}
	}
}

// TestLatentClampInModel: the clamp acts inside a model as on the host, in both modes and at half strength.
func TestLatentClampInModel(t *testing.T) {
	s := newSubject(t, "llama-tied", model.Site{Kind: model.ResidPost})
	x := s.rows()
	_, d := x.Dims()
	dictionary := &sae.SAE{Arch: sae.ArchStandard, DIn: d, DSAE: 12, Normalize: sae.NormalizeNone, ApplyBDecToInput: true,
		WEnc: make([]float32, 12*d), WDec: make([]float32, 12*d), BEnc: make([]float32, 12), BDec: make([]float32, d)}
	for i := range dictionary.WEnc {
		dictionary.WEnc[i], dictionary.WDec[i] = float32(math.Sin(float64(3*i+1))), float32(math.Cos(float64(5*i+2)))
	}
	for j := range dictionary.BDec {
		dictionary.BDec[j] = float32(j%3) / 10
	}
	for _, clamp := range []vectors.LatentClamp{
		{SAE: dictionary, Latents: []int{2, 7}, Value: 1.5}, {SAE: dictionary, Latents: []int{0, 1, 2, 3, 4, 5}, Active: true, Scale: -1},
	} {
		moved, err := clamp.Apply(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, strength := range []float64{1, 0.5} {
			edit, err := clamp.Edit(s.engine, s.model.Spec, s.site, editBatch, editSeq, strength)
			if err != nil {
				t.Fatal(err)
			}
			var want mat.Dense
			want.Sub(moved, x)
			want.Scale(strength, &want)
			want.Add(x, &want)
			s.agree("clamp", s.rows(edit), &want)
		}
	}
	if _, err := (vectors.LatentClamp{SAE: dictionary, Latents: []int{1}}).Edit(s.engine, s.model.Spec, model.Site{Kind: model.MLPPost}, editBatch, editSeq, 1); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("a site of another width: %v", err)
	}
}
