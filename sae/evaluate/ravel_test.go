package evaluate

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestModelReader compares the reader's gradient with central differences of the loss that it reads, in a tiny model, over more
// rows than a batch, and the values read with the largest of the candidates' logits.
func TestModelReader(t *testing.T) {
	f := tinySubject(t, "gpt2", "blocks.0.hook_resid_post")
	at, err := model.ParseSite(f.site)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	prompts := make([][]readerPrompt, 2)
	for a := range prompts {
		for i := range 3 {
			tokens := make([]int32, 3+i+a)
			for j := range tokens {
				tokens[j] = int32(3 + rng.IntN(f.subject.Model.Spec.Vocab-8))
			}
			prompts[a] = append(prompts[a], readerPrompt{tokens, 1})
		}
	}
	r, err := newModelReader(f.subject, at, prompts, [][]int32{{4, 9, 17}, {5, 6}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	d := r.width
	x := make([]float32, 3*d)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	base, want := []int{2, 0, 1}, []int{1, 0, 2}
	read, grad, err := r.Read(t.Context(), x, base, 0, want)
	if err != nil {
		t.Fatal(err)
	}
	// The loss by hand: a splice of the row and the softmax of three logits.
	loss := func(i int, row []float32) (float64, int) {
		p := prompts[0][base[i]]
		program, err := f.subject.Engine.Compile(f.subject.Model.Spec, model.Plan{Batch: 1, Seq: 8, Logits: model.LogitsAll, Edits: []model.Edit{{Site: at.Kind, Layers: []int{0}, Replace: true}}})
		if err != nil {
			t.Fatal(err)
		}
		return handLoss(t, f.subject, program, p, row, []int32{4, 9, 17}, want[i])
	}
	for i := range base {
		row := x[i*d : (i+1)*d]
		if _, best := loss(i, row); best != read[i] {
			t.Errorf("row %d reads %d, want %d", i, read[i], best)
		}
		for _, j := range []int{0, d / 2, d - 1} {
			const h = 1e-2
			up, down := slices.Clone(row), slices.Clone(row)
			up[j], down[j] = up[j]+h, down[j]-h
			a, _ := loss(i, up)
			b, _ := loss(i, down)
			if g := (a - b) / (2 * h) / 3; math.Abs(g-float64(grad[i*d+j])) > 2e-4 {
				t.Errorf("row %d: derivative %d is %v, differences give %v", i, j, grad[i*d+j], g)
			}
		}
	}
}

// TestRavelEncoder: in a text encoder attributes are read by probes; the suite scores a perfect dictionary and random directions.
func TestRavelEncoder(t *testing.T) {
	f := miniLM(t)
	b := f.bench(t)
	b.RavelPairs = 128
	d := f.subject.Model.Spec.DModel
	facts, err := ReadFacts(strings.NewReader(`{"prompts": {"continent": "{} lies in", "language": "{} speaks"}, "entities": [
		{"entity": "Paris", "values": {"continent": "Europe", "language": "French"}}, {"entity": "Lyon", "values": {"continent": "Europe", "language": "French"}},
		{"entity": "Madrid", "values": {"continent": "Europe", "language": "Spanish"}}, {"entity": "Barcelona", "values": {"continent": "Europe", "language": "Spanish"}},
		{"entity": "Lima", "values": {"continent": "South America", "language": "Spanish"}}, {"entity": "Bogota", "values": {"continent": "South America", "language": "Spanish"}},
		{"entity": "Dakar", "values": {"continent": "Africa", "language": "French"}}, {"entity": "Abidjan", "values": {"continent": "Africa", "language": "French"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	b.Facts = &facts
	o, err := b.Ravel(t.Context(), []*Dictionary{whole(t, b, f.site), mustNew(t, "random", "random", randomTopK(f.site, d, 2*d, 16))})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(o.On, "16 entities, 2 attributes, read by linear probes") || len(o.Scores) != 2 {
		t.Errorf("on %q, %d scores", o.On, len(o.Scores))
	}
	for _, s := range o.Scores {
		if v := s.Values["disentanglement"]; v.N != 2 || v.Value < 0.3 || v.Value > 1 {
			t.Errorf("%s: %+v", s.Dictionary, v)
		}
	}
}

// TestFacts: the built-in facts are whole, and files with missing parts are refused by what is missing.
func TestFacts(t *testing.T) {
	own, err := cities()
	if err != nil {
		t.Fatal(err)
	}
	if len(own.Entities) < 60 || len(own.attributes()) != 3 || !slices.Contains(own.values("country"), "France") {
		t.Errorf("%d cities, attributes %v", len(own.Entities), own.attributes())
	}
	for want, text := range map[string]string{
		"two attributes":     `{"prompts": {"a": "{} x"}, "entities": []}`,
		"begin with {}":      `{"prompts": {"a": "{} x", "b": "the {}"}, "entities": [{},{},{},{}]}`,
		"has no b":           `{"prompts": {"a": "{} x", "b": "{} y"}, "entities": [{"entity": "e", "values": {"a": "1"}},{},{},{}]}`,
		"unknown field":      `{"prompt": {}}`,
		"more than one JSON": `{"prompts": {"a": "{} x", "b": "{} y"}} {}`,
		"unexpected EOF":     `{"prompts"`,
		"cannot unmarshal":   `[]`,
	} {
		if _, err := ReadFacts(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// FuzzFacts: any bytes give facts or an error.
func FuzzFacts(f *testing.F) {
	f.Add([]byte(`{"prompts": {"a": "{} x", "b": "{} y"}, "entities": [{"entity": "e", "values": {"a": "1"}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if facts, err := ReadFacts(strings.NewReader(string(raw))); err == nil && (len(facts.Entities) < 4 || len(facts.Prompts) < 2) {
			t.Errorf("%+v", facts)
		}
	})
}

// FuzzQuestions: any bytes give questions with an answer or an error.
func FuzzQuestions(f *testing.F) {
	f.Add([]byte(`{"question": "q", "choices": ["a", "b"], "answer": 1}` + "\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := ReadQuestions(strings.NewReader(string(raw)))
		for _, q := range list {
			if err == nil && (q.Answer < 0 || q.Answer >= len(q.Choices) || q.Question == "") {
				t.Errorf("%+v", q)
			}
		}
	})
}

// TestQuestions: a line is a question with an answer, or an error that names it; the built-in ones have the right answer among four
// different choices.
func TestQuestions(t *testing.T) {
	for want, text := range map[string]string{
		"line 2: it needs": "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": 1}\n{\"question\": \"q\", \"choices\": [\"a\", \"b\"]}",
		"line 1":           "{",
		"there are none":   "\n\n",
	} {
		if _, err := ReadQuestions(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	forget, retain, err := builtinQuestions(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range append(forget, retain...) {
		distinct := slices.Compact(slices.Sorted(slices.Values(q.Choices)))
		if len(distinct) != 4 {
			t.Errorf("%+v", q)
		}
		if q.Question == "The capital of France is" && q.Choices[q.Answer] != "Paris" {
			t.Errorf("%+v", q)
		}
	}
	if len(forget) < 25 || len(retain) < 25 {
		t.Errorf("%d and %d questions", len(forget), len(retain))
	}
}

// TestSmolLM2: a language model answers the built-in questions and knows the built-in facts: activations of another city at the
// city's place change what is read, and clamping latents of an autoencoder can change answers.
func TestSmolLM2(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the pure Go backend is too slow for a real model")
	}
	graphtest.Model(t, "smollm2")
	s, err := OpenSubject(t.Context(), graphtest.Backend(t), "smollm2", true, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := &Bench{Config: DefaultConfig(), Backend: graphtest.Backend(t), Subject: s}
	facts := Facts{Prompts: map[string]string{"country": "{} is a city in the country of", "language": "{} is a city whose people mostly speak"}}
	for _, e := range [][3]string{{"Paris", "France", "French"}, {"Rome", "Italy", "Italian"}, {"Madrid", "Spain", "Spanish"}, {"Tokyo", "Japan", "Japanese"}, {"Berlin", "Germany", "German"}} {
		facts.Entities = append(facts.Entities, Entity{e[0], map[string]string{"country": e[1], "language": e[2]}})
	}
	at, err := model.ParseSite("blocks.5.hook_resid_post")
	if err != nil {
		t.Fatal(err)
	}
	set, err := b.modelSetting(t.Context(), at, facts)
	if err != nil {
		t.Fatal(err)
	}
	n, d := len(facts.Entities), s.Model.Spec.DModel
	own, source := make([]int, n), make([]int, n)
	moved := make([]float32, 0, n*d)
	for i := range n {
		own[i], source[i] = i, (i+1)%n
		moved = append(moved, set.x[source[i]*d:(source[i]+1)*d]...)
	}
	right, follows := 0, 0
	for a := range set.value {
		read, _, err := set.reader.Read(t.Context(), set.x, own, a, set.value[a])
		if err != nil {
			t.Fatal(err)
		}
		other, _, err := set.reader.Read(t.Context(), moved, own, a, set.value[a])
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if read[i] == set.value[a][i] {
				right++
			}
			if other[i] == set.value[a][source[i]] {
				follows++
			}
		}
	}
	t.Logf("of %d values %d are read rightly, and %d follow another city's activations", 2*n, right, follows)
	if right < 8 || follows < 6 {
		t.Errorf("of %d values %d are read rightly, and %d follow another city's activations", 2*n, right, follows)
	}

	forget, retain, err := builtinQuestions(1)
	if err != nil {
		t.Fatal(err)
	}
	b.Forget, b.Retain = forget[:8], retain[:8]
	dict := mustNew(t, "random", "random", randomTopK(at.String(), d, 2*d, 16))
	o, err := b.Unlearning(t.Context(), []*Dictionary{dict, {Name: "PCA", Control: ControlPCA, Sites: dict.Sites}})
	if err != nil {
		t.Fatal(err)
	}
	v := valuesOf(o)["random"]
	t.Logf("clean accuracy %.3f and %.3f; unlearning %.3f", v["clean_forget_accuracy"].Value, v["clean_retain_accuracy"].Value, v["unlearning"].Value)
	if v["clean_forget_accuracy"].Value < 0.6 || v["clean_retain_accuracy"].Value < 0.5 || v["unlearning"].Value < 1-v["clean_forget_accuracy"].Value || o.LeftOut["PCA"] == "" {
		t.Errorf("%+v, left out %v", v, o.LeftOut)
	}
}
