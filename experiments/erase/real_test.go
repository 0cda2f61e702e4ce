package erase_test

import (
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/probe/token"
	"loupe/vectors"
)

// encoder embeds texts with MiniLM: the mean of the last layer over tokens.
type encoder struct {
	*testing.T
	engine *model.Engine
	m      *model.Model
	tok    *token.Tokenizer
}

func newEncoder(t *testing.T) *encoder {
	dir := graphtest.Model(t, "minilm")
	e := &encoder{T: t, engine: model.NewEngine(graphtest.Backend(t), nil)}
	e.m = get[*model.Model](t)(model.Load(t.Context(), e.engine.Backend(), dir, model.Options{}))
	e.tok = get[*token.Tokenizer](t)(token.Load(dir))
	return e
}

func (e *encoder) embed(texts []string) *mat.Dense {
	e.Helper()
	ids := make([][]int32, len(texts))
	for i, s := range texts {
		ids[i] = get[token.Encoding](e.T)(e.tok.Encode(s, token.EncodeOptions{AddSpecial: true})).IDs
	}
	site := model.Site{Kind: model.ResidPost, Layer: e.m.Spec.Layers - 1}
	return get[[]*mat.Dense](e.T)(vectors.ReadSites(e.Context(), e.engine, e.m, ids, []model.Site{site}, vectors.PoolMean, 64, nil))[0]
}

// prompts are where a set of texts lies among all.
type prompts struct{ at, n int }

// TestUCEOnMiniLM erases each object of the suite from MiniLM's embeddings, towards its first neighbour, with the other objects
// preserved, and classifies held-out templates by prototypes of the original encoder. As published for such edits: the object
// is recognised in at most 5 % of its texts, and the others lose at most 2 points.
func TestUCEOnMiniLM(t *testing.T) {
	domains := get[[]text.ErasureDomain](t)(text.ErasureSuite())
	objects := domains[0]
	var all []string
	add := func(list []text.Labelled) prompts {
		p := prompts{len(all), len(list)}
		for _, l := range list {
			all = append(all, l.Text)
		}
		return p
	}
	k := len(objects.Concepts)
	number := make(map[string]int)
	fit, test, synonyms, described := make([]prompts, k), make([]prompts, k), make([]prompts, k), make([]prompts, k)
	for c, concept := range objects.Concepts {
		number[concept.Name] = c
		fit[c], test[c] = add(objects.Prompts(concept, false)), add(objects.Prompts(concept, true))
		synonyms[c] = add(objects.Named(concept.Synonyms[0], true))
		for _, s := range concept.Synonyms[1:] {
			synonyms[c].n += add(objects.Named(s, true)).n
		}
		described[c] = prompts{len(all), len(concept.Descriptions)}
		all = append(all, concept.Descriptions...)
	}
	x := newEncoder(t).embed(all)
	_, d := x.Dims()
	rows := func(list ...prompts) *mat.Dense {
		var values []float64
		for _, p := range list {
			for i := p.at; i < p.at+p.n; i++ {
				values = append(values, x.RawRowView(i)...)
			}
		}
		return mat.NewDense(len(values)/d, d, values)
	}
	var classes []*mat.Dense
	for c := range k {
		classes = append(classes, rows(fit[c]))
	}
	zero := get[*erase.ZeroShot](t)(erase.NewZeroShot(classes))
	judge := func(m *erase.Map, target int) erase.Accuracies {
		var labels []int
		var synonym []bool
		var list []prompts
		for c := range k {
			list = append(list, test[c])
			for range test[c].n {
				labels, synonym = append(labels, c), append(synonym, false)
			}
		}
		list = append(list, synonyms[target])
		for range synonyms[target].n {
			labels, synonym = append(labels, target), append(synonym, true)
		}
		after := rows(list...)
		if m != nil {
			after = get[*mat.Dense](t)(m.Apply(after))
		}
		return get[erase.Accuracies](t)(erase.Judge(get[[]int](t)(zero.Predict(after)), labels, []int{target}, synonym))
	}
	var before, after erase.Accuracies
	count := func(sum *erase.Accuracies, a erase.Accuracies) {
		sum.Erased.Hits, sum.Erased.N = sum.Erased.Hits+a.Erased.Hits-a.General.Hits, sum.Erased.N+a.Erased.N-a.General.N // by its own name
		sum.Specific.Hits, sum.Specific.N = sum.Specific.Hits+a.Specific.Hits, sum.Specific.N+a.Specific.N
		sum.General.Hits, sum.General.N = sum.General.Hits+a.General.Hits, sum.General.N+a.General.N
	}
	recognised := func(x *mat.Dense, class int) (s erase.Share) {
		for _, p := range get[[]int](t)(zero.Predict(x)) {
			s.N++
			if p == class {
				s.Hits++
			}
		}
		return s
	}
	var implicit [2]erase.Share // descriptions that name nothing: before, after
	condition, ratio := 0.0, 0.0
	for target, concept := range objects.Concepts {
		var others []prompts
		for c := range k {
			if c != target {
				others = append(others, fit[c])
			}
		}
		edit := get[*erase.Edit](t)(erase.UCE(erase.Request{Concepts: rows(fit[target]), Anchors: rows(fit[number[concept.Neighbours[0]]]), Preserve: rows(others...)}, erase.DefaultUCE()))
		count(&before, judge(nil, target))
		count(&after, judge(edit.Map, target))
		for i, x := range []*mat.Dense{rows(described[target]), get[*mat.Dense](t)(edit.Apply(rows(described[target])))} {
			s := recognised(x, target)
			implicit[i] = erase.Share{Hits: implicit[i].Hits + s.Hits, N: implicit[i].N + s.N}
		}
		attack := get[*erase.Inverse](t)(edit.Invert(rows(fit[target])))
		condition += attack.Condition / float64(k)
		ratio += attack.NormRatio[0] / float64(k)
	}
	rate := func(s erase.Share) float64 { return get[float64](t)(s.Rate()) }
	t.Logf("%d texts; Acc_e %.3f, was %.3f; Acc_s %.3f, was %.3f; Acc_g %.3f, was %.3f; mean cond(E) %.3g, |E^-1 c|/|c| %.3g",
		len(all), rate(after.Erased), rate(before.Erased), rate(after.Specific), rate(before.Specific), rate(after.General), rate(before.General), condition, ratio)
	t.Logf("descriptions that do not name the object: recognised in %.3f of %d, were in %.3f", rate(implicit[1]), implicit[1].N, rate(implicit[0]))
	if rate(implicit[0]) < 0.5 {
		t.Error("the descriptions do not describe the objects")
	}
	if rate(before.Erased) < 0.9 {
		t.Error("the encoder itself does not tell the objects apart")
	}
	if rate(after.Erased) > 0.05 || rate(after.Specific) < rate(before.Specific)-0.02 {
		t.Error("expected Acc_e of 0.05 or less, and Acc_s within 0.02 of what it was")
	}
}
