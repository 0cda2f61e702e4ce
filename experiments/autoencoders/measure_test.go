package autoencoders

import (
	"math"
	"slices"
	"testing"

	"loupe/internal/stats"
	"loupe/sae"
)

// planted is a dictionary whose error on text i is factor * (i+1) over a spread of i+1 and whose texts keep their cosine.
func planted(method string, seed uint64, factor float64, texts int) *measured {
	t := &sae.TextErrors{}
	shifts := &sae.TextShifts{K: 1}
	for i := range texts {
		w := float64(i + 1)
		noise := 0.01 * math.Sin(float64(i)*1.7)
		t.Doc, t.Rows, t.Active = append(t.Doc, int64(i)), append(t.Rows, i+1), append(t.Active, 4*(i+1))
		t.Error, t.Spread = append(t.Error, w*(factor+noise)), append(t.Spread, w)
		shifts.Cosine = append(shifts.Cosine, 1-factor+0.1*math.Sin(float64(i)))
		shifts.Neighbours = append(shifts.Neighbours, float64(i%2))
	}
	return &measured{
		method: method,
		eval:   &Evaluation{Name: memberName(method, seed), Method: method, Seed: seed, Result: sae.Result{FVU: factor, AliveShare: 1 - factor/2}, Texts: t},
		splice: &Spliced{Name: memberName(method, seed), Method: method, Seed: seed, Shifts: shifts},
	}
}

// TestMeasure: methods whose errors are planted have their means, margins and order; what is closer than the spread of the
// seeds ties, and the texts' noise, which is the same for all, cancels in the paired margins.
func TestMeasure(t *testing.T) {
	const texts = 30
	x := &experiment{cfg: &Config{Config: sae.Config{Seed: 1}}, encoder: true}
	var all []*measured
	for s := range uint64(3) {
		d := 0.002 * float64(s)
		all = append(all, planted("a", s, 0.10+d, texts), planted("b", s, 0.101+d, texts), planted("c", s, 0.20+d, texts), planted(random, s, 0.5+d, texts))
	}
	all = append(all, planted(pca, 0, 0.3, texts))
	ablated := &Ablated{Docs: make([]int64, texts), Shifts: planted("mean", 0, 0.9, texts).splice.Shifts}
	measures, rankings, err := x.measure(t.Context(), all, ablated)
	if err != nil {
		t.Fatal(err)
	}
	r := &Result{Measures: measures, Rankings: rankings, Explained: &Explained{}}
	if got, want := r.methods(), []string{"a", "b", "c", random, pca}; !slices.Equal(got, want) {
		t.Fatalf("methods %v", got)
	}
	if got, want := r.metricNames(), []string{"fvu", "l0", "dead_share", "cosine", "neighbours"}; !slices.Equal(got, want) {
		t.Fatalf("metrics %v", got)
	}
	fvu := r.find("a", "fvu")
	if math.Abs(fvu.Seeds.Value-fvu.Texts.Value) > 1e-12 || math.Abs(fvu.Seeds.Value-0.102) > 0.002 || fvu.Seeds.N != 3 || fvu.Texts.N != texts {
		t.Errorf("FVU of a: %+v", fvu)
	}
	// With 2 degrees of freedom t = 4.3027, and the seeds are 0.002 apart.
	if half := 4.302652729911275 * 0.002 / math.Sqrt(3); math.Abs(fvu.Seeds.High-fvu.Seeds.Value-half) > 1e-9 {
		t.Errorf("over seeds +- %v, want %v", fvu.Seeds.High-fvu.Seeds.Value, half)
	}
	for _, m := range []struct {
		what string
		got  *stats.Interval
		want float64
	}{
		{"FVU over random", fvu.OverRandom, 0.4},
		{"FVU over PCA", fvu.OverPCA, 0.198},
		{"cosine over random", r.find("a", "cosine").OverRandom, 0.4},
		{"cosine over mean ablation", r.find("a", "cosine").OverAblated, 0.798},
	} {
		if m.got == nil || math.Abs(m.got.Value-m.want) > 1e-9 || m.got.High-m.got.Low > 1e-9 {
			t.Errorf("%s: %+v, want %v without width: the noise is the same on both sides", m.what, m.got, m.want)
		}
	}
	if r.find("a", "fvu").OverAblated != nil || r.find(random, "fvu").OverPCA != nil {
		t.Error("a margin over what there is not")
	}
	for _, k := range rankings {
		if k.Metric == "neighbours" {
			continue
		}
		if o := k.Order; o[0].Name != "a" || o[1].Name != "b" || o[0].Rank != 1 || o[1].Rank != 1 || o[2].Rank != 3 {
			t.Errorf("by %s: %+v", k.Metric, o)
		}
	}
	if i := slices.IndexFunc(rankings, func(k Ranking) bool { return k.Metric == "l0" }); i >= 0 {
		t.Error("L0 ranks")
	}
	n := r.numbers()
	if n["a.fvu"].Low >= n["a.fvu"].Value || n["c.fvu.rank"].Value != 3 || n["a.cosine.over_mean_ablation"].Value < 0.7 || n["a.dead_share"].High <= n["a.dead_share"].Value {
		t.Errorf("numbers %v", n)
	}
	if b := best(all); b.eval.Name != "a-0" {
		t.Errorf("best is %s", b.eval.Name)
	}
}

func TestOverTexts(t *testing.T) {
	same, err := overTexts(t.Context(), 5, stats.MeanOf([]float64{2, 2, 2, 2, 2}), 1)
	if err != nil || same.Low != 2 || same.High != 2 || same.N != 5 {
		t.Errorf("texts that are alike: %+v, %v", same, err)
	}
	some, err := overTexts(t.Context(), 5, stats.MeanOf([]float64{1, 2, 3, 4, 5}), 1)
	if err != nil || !(some.Low < 3 && 3 < some.High) || some.Value != 3 {
		t.Errorf("%+v, %v", some, err)
	}
}

func TestMoments(t *testing.T) {
	sum, cross := moments([]float32{1, 2, 3, 4, 5, 6}, 2)
	if !slices.Equal(sum, []float64{9, 12}) || !slices.Equal(cross, []float64{35, 44, 44, 56}) {
		t.Errorf("%v, %v", sum, cross)
	}
	// More rows than one block.
	rows := make([]float32, 2*5000)
	for i := range rows {
		rows[i] = float32(i % 2)
	}
	if sum, cross := moments(rows, 2); sum[1] != 5000 || cross[3] != 5000 || cross[0] != 0 || cross[1] != cross[2] {
		t.Errorf("%v, %v", sum, cross)
	}
}

func TestWithout(t *testing.T) {
	lat := sae.Latents{Start: []int{0, 2, 3, 4}, Index: []int32{5, 6, 7, 8}, Value: []float32{1, 2, 3, 4}}
	got := without(lat, []bool{false, true, false})
	if !slices.Equal(got.Start, []int{0, 2, 2, 3}) || !slices.Equal(got.Index, []int32{5, 6, 8}) || !slices.Equal(got.Value, []float32{1, 2, 4}) {
		t.Errorf("%+v", got)
	}
}

func TestExcerpt(t *testing.T) {
	if got := (Excerpt{Before: "a\n\tb ", Token: " c", After: " d"}).text(); got != "a b «c» d" {
		t.Errorf("%q", got)
	}
	if x, y := thinned([]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2); !slices.Equal(x, []float64{2, 4}) || !slices.Equal(y, []float64{7, 9}) {
		t.Errorf("%v, %v", x, y)
	}
}

func TestRanked(t *testing.T) {
	order := []sae.Ranked{
		{Contender: sae.Contender{Name: "a"}, Mean: stats.Interval{Value: 0.11256}, Rank: 1}, {Contender: sae.Contender{Name: "b"}, Mean: stats.Interval{Value: 0.11269}, Rank: 1},
		{Contender: sae.Contender{Name: "c"}, Mean: stats.Interval{Value: 0.2}, Rank: 3},
	}
	if got, want := ranked(order), "1 a 0.1126, b 0.1127 (tie); 3 c 0.2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
