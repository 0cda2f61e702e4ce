package encoder_test

import (
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/encoder/encodertest"
	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/probe/token"
)

// siteOf is a site [b, d] that the model itself computes for a batch of texts.
func siteOf(t *testing.T, e *encoder.Encoder, states []*encoder.State, site model.Site) *mat.Dense {
	t.Helper()
	seq := 0
	for _, s := range states {
		seq = max(seq, s.Len())
	}
	in := model.Inputs{IDs: make([]int32, len(states)*seq), Mask: make([]int32, len(states)*seq)}
	for r, s := range states {
		for i, id := range s.IDs {
			in.IDs[r*seq+i], in.Mask[r*seq+i] = id, 1
		}
	}
	p, err := e.Engine.Compile(e.Model.Spec, model.Plan{Batch: len(states), Seq: seq, Captures: []model.Capture{{Site: site}}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Run(t.Context(), e.Model.Params, in)
	if err != nil {
		t.Fatal(err)
	}
	values, err := tensors.CopyFlatData[float32](out.Site(site))
	if err != nil {
		t.Fatal(err)
	}
	x := mat.NewDense(len(states), e.Width(), nil)
	for i, v := range values {
		x.RawMatrix().Data[i] = float64(v)
	}
	return x
}

// TestPoolOfSentenceEncoder: an embedding of MiniLM is its own sentence embedding, before that is scaled to norm 1.
func TestPoolOfSentenceEncoder(t *testing.T) {
	e := encodertest.MiniLM(t)
	states, err := e.States(t.Context(), nil, texts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Rows(states)
	if err != nil {
		t.Fatal(err)
	}
	want := siteOf(t, e, states, model.Site{Kind: model.Sentence})
	for i := range texts {
		row := got.RowView(i)
		unit := mat.NewVecDense(e.Width(), nil)
		unit.ScaleVec(1/mat.Norm(row, 2), row)
		unit.SubVec(unit, want.RowView(i))
		if d := mat.Norm(unit, 2); e.Pool != erase.SelectMean || d > 1e-5 {
			t.Errorf("text %d, pool %s: %v away", i, e.Pool, d)
		}
	}
}

// TestPoolOfCLIP: a CLIP text encoder of random weights, with CLIP's vocabulary and context and its real tokenizer, pools at the
// end-of-text token as the model does; a text of more than 77 tokens is refused.
func TestPoolOfCLIP(t *testing.T) {
	golden := graphtest.Golden(t)
	engine := model.NewEngine(graphtest.Backend(t), nil)
	info, err := model.Inspect(filepath.Join(golden, "models", "tiny", "clip-quickgelu"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.Load(filepath.Join(golden, "models", "tokenizers", "clip.tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	spec := *info.Spec
	spec.Vocab, spec.MaxPos, spec.PosRows, spec.EOS = 49408, 77, 77, 49407
	params, err := model.RandomParams(t.Context(), engine.Backend(), &spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := encoder.New(engine, &model.Model{Name: "clip", Spec: &spec, Params: params}, tok, "")
	if err != nil {
		t.Fatal(err)
	}
	states, err := e.States(t.Context(), nil, texts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Rows(states)
	if err != nil {
		t.Fatal(err)
	}
	if d := largest(got, siteOf(t, e, states, model.Site{Kind: model.Pooler})); e.Pool != erase.SelectEOS || d > 1e-5 {
		t.Errorf("pool %s is %v away from the model's", e.Pool, d)
	}
	long := ""
	for range 80 {
		long += "dog "
	}
	if _, err := e.Tokens(long); err == nil {
		t.Error("80 words are no error")
	}
}
