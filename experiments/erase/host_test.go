package erase_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/sae"
	"loupe/vectors"
)

// TestTransportHand: orthogonal states leave the overlap of token sets, 1 of 2; equal states give 1; opposite ones without shared
// tokens stay at 0, not below; and gates of 0 leave the layer as it is, bit by bit.
func TestTransportHand(t *testing.T) {
	state := func(v ...float64) *mat.Dense { return mat.NewDense(1, len(v), v) }
	concept := []erase.TransportPrompt{{Hidden: state(1, 0), Tokens: []int{7, 8, 8}}}
	for _, test := range []struct {
		prompt erase.TransportPrompt
		want   float64
	}{
		{erase.TransportPrompt{Hidden: state(0, 1), Tokens: []int{8, 9}}, 0.5},
		{erase.TransportPrompt{Hidden: state(3, 0), Tokens: []int{9}}, 1},
		{erase.TransportPrompt{Hidden: state(-1, 0), Tokens: []int{9}}, 0},
	} {
		if got := get[erase.Transport](t)(erase.FacilitatedTransport(test.prompt, concept)); got.Gamma != test.want {
			t.Errorf("%v: %+v, want %v", test.prompt.Tokens, got, test.want)
		}
	}
	w, x := mat.NewDense(2, 2, []float64{1, 2, 3, 4}), []float64{1, 1}
	membranes := []erase.Membrane{{Up: []float64{1, 0}, Down: []float64{1, 1}}, {Up: []float64{0, 1}, Down: []float64{2, 0}}}
	if y := get[[]float64](t)(erase.Compose(w, membranes, []float64{0.5, 1}, 2, x)); !slices.Equal(y, []float64{3 + 2, 7 + 4}) {
		t.Errorf("composed %v", y)
	}
	if y := get[[]float64](t)(erase.Compose(w, membranes, []float64{0, 0}, 2, x)); !slices.Equal(y, []float64{3, 7}) {
		t.Errorf("gates of 0: %v", y)
	}
	if _, err := erase.FacilitatedTransport(concept[0], []erase.TransportPrompt{{Hidden: mat.NewDense(2, 2, nil), Tokens: []int{1}}}); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("another length: %v", err)
	}
}

// TestSimilaritiesHand: one concept token (2, 1) with a neighbour (1, -1): similarities 4, 1 and 2, -1; the median of 1, 2, 4 is 2, so
// that only the 4 stays, as 1; alpha 1/2 gives (1 + 0.5 * 2, 0.5).
func TestSimilaritiesHand(t *testing.T) {
	f := mat.NewDense(2, 2, []float64{2, 1, 1, -1})
	out := get[*erase.Corrected](t)(erase.CorrectSimilarities(f, []int{0}, erase.SimilaritiesConfig{Quantile: 0.5, Window: 1, Alpha: 0.5}))
	if got := flatten(out.Hidden); !slices.Equal(got, []float64{2, 0.5, 1, -1}) || out.Thresholds[0] != 2 {
		t.Errorf("corrected %v, tau %v", got, out.Thresholds)
	}
	if f.At(0, 1) != 1 {
		t.Error("the input was changed")
	}
	if _, err := erase.CorrectSimilarities(f, []int{2}, erase.DefaultSimilarities()); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("a token outside: %v", err)
	}
}

// dictionary is an autoencoder whose features are the axes.
func dictionary(d int) *erase.TopKCoder {
	one := mat.NewDense(d, d, nil)
	for i := range d {
		one.Set(i, i, 1)
	}
	return &erase.TopKCoder{Encoder: one, Decoder: mat.DenseCopyOf(one), BEnc: make([]float64, d), BPre: make([]float64, d), K: 2}
}

// TestITDHand: features are axes; the target uses axes 0 and 1, what remains 1 and 2, so that the concept is axis 0. Strength -1 moves
// a code of 3 by 6: score 36/4 = 9, threshold 0.99 of it. Padding counts neither for features nor for the score.
func TestITDHand(t *testing.T) {
	coder := dictionary(4)
	text := func(length int, rows ...float64) erase.Text {
		return erase.Text{X: mat.NewDense(len(rows)/4, 4, rows), Length: length}
	}
	target := text(2, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 50)
	remain := text(2, 0, 0, 0, 0, 0, 1, 2, 0, 9, 0, 0, 0)
	cfg := erase.ITDConfig{Top: 2, Strength: -1, Margin: 0.99}
	e := get[*erase.ITD](t)(erase.FitITD(coder, []erase.Text{target}, []erase.Text{remain}, cfg))
	if !slices.Equal(e.Features, []int{0}) || math.Abs(e.Threshold-0.99*9) > 1e-12 {
		t.Fatalf("features %v, threshold %v", e.Features, e.Threshold)
	}
	x, fired, err := e.Apply(target)
	if err != nil || !fired || x.At(1, 0) != -3 || x.At(1, 1) != 1 {
		t.Errorf("fired %v, %v, %v", fired, x, err)
	}
	if x, fired, err = e.Apply(remain); err != nil || fired || x != remain.X { // although its padding holds the feature
		t.Errorf("what remains: fired %v, %v", fired, err)
	}
	cfg.Between = true // between the score 9 and 1/4, the autoencoder's error in a prompt whose third largest axis, 1, it leaves out
	other := text(2, 0, 0, 0, 0, 1, 0, 3, 2)
	between := get[*erase.ITD](t)(erase.FitITD(coder, []erase.Text{target}, []erase.Text{remain, other}, cfg))
	if want := math.Sqrt(9 * 0.25); math.Abs(between.Threshold-want) > 1e-12 || between.Warning != "" {
		t.Errorf("threshold between: %v, want %v; %s", between.Threshold, want, between.Warning)
	}
	cfg.Between = false
	if _, err := erase.FitITD(coder, []erase.Text{target}, []erase.Text{target}, cfg); err == nil || !strings.Contains(err.Error(), "raise top") {
		t.Errorf("no feature left: %v", err)
	}
	if _, err := erase.FitITD(coder, []erase.Text{text(4, 0, 0, 0, 0)}, []erase.Text{remain}, cfg); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("length beyond the text: %v", err)
	}
}

// TestSAECoder: a trained autoencoder's file form gives the codes and states of the same autoencoder in float64, to rounding.
func TestSAECoder(t *testing.T) {
	x := newTexts(11, 6, 3)
	we, wd := x.normal(6, 10, 1), x.normal(10, 6, 1)
	want := &erase.TopKCoder{Encoder: we, Decoder: wd, BEnc: make([]float64, 10), BPre: slices.Repeat([]float64{0.5}, 6), K: 3}
	narrow := func(v []float64) (out []float32) {
		for _, e := range v {
			out = append(out, float32(e))
		}
		return out
	}
	coder := get[*erase.SAECoder](t)(erase.NewSAECoder(&sae.SAE{
		Arch: sae.ArchTopK, DIn: 6, DSAE: 10, K: 3, ApplyBDecToInput: true, Normalize: sae.NormalizeNone,
		WEnc: narrow(flatten(we)), WDec: narrow(flatten(wd)), BEnc: make([]float32, 10), BDec: narrow(want.BPre),
	}))
	states := x.rows(20)
	z, zWant := get[*erase.Codes](t)(coder.Encode(states)), get[*erase.Codes](t)(want.Encode(states))
	if gap := furthest(z.Dense(), zWant.Dense()); gap > 1e-4 {
		t.Errorf("codes differ by %.3g", gap)
	}
	if gap := furthest(get[*mat.Dense](t)(coder.Decode(z)), get[*mat.Dense](t)(want.Decode(zWant))); gap > 1e-4 {
		t.Errorf("states differ by %.3g", gap)
	}
	g := x.rows(20)
	if gap := furthest(get[*mat.Dense](t)(coder.Pullback(z, g)), get[*mat.Dense](t)(want.Pullback(zWant, g))); gap > 1e-4 {
		t.Errorf("gradients differ by %.3g", gap)
	}
	if _, err := erase.NewSAECoder(&sae.SAE{Arch: sae.ArchGated}); err == nil {
		t.Error("a gated autoencoder without weights was taken")
	}
}

// TestITDPullback: the gradient through the deactivated states against central differences, with and without the autoencoder's error,
// and the gradient itself where the gate stays shut.
func TestITDPullback(t *testing.T) {
	x := newTexts(21, 6, 3)
	coder := &erase.TopKCoder{Encoder: x.normal(6, 12, 1), Decoder: x.normal(12, 6, 1), BEnc: make([]float64, 12), BPre: slices.Repeat([]float64{0.25}, 6), K: 3}
	states := erase.Text{X: x.rows(4), Length: 4}
	active := get[*erase.Codes](t)(coder.Encode(states.X))
	feature := int(active.Index[2][0])
	g := x.rows(4)
	const step = 1e-6
	for _, keep := range []bool{false, true} {
		e := &erase.ITD{Coder: coder, Features: []int{feature}, Strength: -8, KeepError: keep}
		loss := func(s *mat.Dense) float64 {
			y, fired, err := e.Apply(erase.Text{X: s, Length: 4})
			if err != nil || !fired {
				t.Fatalf("fired %v: %v", fired, err)
			}
			y.MulElem(y, g)
			return mat.Sum(y)
		}
		slope := get[*mat.Dense](t)(e.Pullback(states, g))
		for i := range 4 {
			for j := range 6 {
				up, down := mat.DenseCopyOf(states.X), mat.DenseCopyOf(states.X)
				up.Set(i, j, up.At(i, j)+step)
				down.Set(i, j, down.At(i, j)-step)
				if want := (loss(up) - loss(down)) / (2 * step); math.Abs(want-slope.At(i, j)) > 1e-6*(1+math.Abs(want)) {
					t.Errorf("error kept %v: at %d, %d %v, differences give %v", keep, i, j, slope.At(i, j), want)
				}
			}
		}
		_, _, rise, err := e.Score(states)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			for j := range 6 {
				score := func(by float64) float64 {
					s := mat.DenseCopyOf(states.X)
					s.Set(i, j, s.At(i, j)+by)
					return get[*erase.Deactivation](t)(e.Deactivate(erase.Text{X: s, Length: 4})).Score
				}
				if want := (score(step) - score(-step)) / (2 * step); math.Abs(want-rise.At(i, j)) > 1e-5*(1+math.Abs(want)) {
					t.Errorf("error kept %v: score at %d, %d rises by %v, differences give %v", keep, i, j, rise.At(i, j), want)
				}
			}
		}
		e.Threshold = math.Inf(1)
		if shut := get[*mat.Dense](t)(e.Pullback(states, g)); shut != g {
			t.Error("behind a gate that is shut the gradient changed")
		}
	}
}

// TestSAUCEHand: features are axes; the concept raises axis 0 from 0 to 3 and axis 1 from 1 to 2 on average, so that of one feature
// axis 0 is scaled, by -1, in the start token too; a text without it is the same matrix.
func TestSAUCEHand(t *testing.T) {
	coder := dictionary(4)
	text := func(rows ...float64) erase.Text {
		return erase.Text{X: mat.NewDense(len(rows)/4, 4, rows), Length: len(rows) / 4}
	}
	with, without := text(5, 0, 0, 0, 3, 2, 0, 0), text(0, 0, 0, 0, 0, 1, 2, 0)
	s := get[*erase.SAUCE](t)(erase.FitSAUCE(coder, []erase.Text{with}, []erase.Text{without}, erase.SAUCEConfig{Features: 1, Factor: -1}))
	if !slices.Equal(s.Features, []int{0}) || s.Gap[0] != 3 {
		t.Fatalf("features %v, gaps %v", s.Features, s.Gap)
	}
	x, acted, err := s.Apply(with)
	if err != nil || !acted || x.At(0, 0) != -5 || x.At(1, 0) != -3 || x.At(1, 1) != 2 {
		t.Errorf("acted %v, %v, %v", acted, x, err)
	}
	if x, acted, err = s.Apply(without); err != nil || acted || x != without.X {
		t.Errorf("a text without the feature: acted %v, %v", acted, err)
	}
	if _, err := erase.FitSAUCE(coder, []erase.Text{with}, []erase.Text{without}, erase.SAUCEConfig{Features: 3, Factor: 0}); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("more features than the concept raises: %v", err)
	}
	g := text(1, 2, 3, 4, 5, 6, 7, 8).X
	if back := get[*mat.Dense](t)(s.Pullback(with, g)); back.At(0, 0) != -1 || back.At(1, 0) != -5 || back.At(1, 1) != 6 {
		t.Errorf("gradient %v", back)
	}
}

func classifier(x *texts, h int, bias float64) *erase.Classifier {
	return &erase.Classifier{
		Query: flatten(x.normal(1, x.d, 1)), Key: x.normal(x.d, x.d, 0.5), Value: x.normal(x.d, x.d, 0.5), Hidden: x.normal(x.d, h, 0.5),
		HiddenB: flatten(x.normal(1, h, 0.1)), Output: flatten(x.normal(1, h, 0.5)), OutputB: bias,
	}
}

// TestCGCEGradient: the gradients of the logit and the loss against central differences.
func TestCGCEGradient(t *testing.T) {
	x := newTexts(12, 5, 2)
	c := classifier(x, 7, 0.3)
	e := x.normal(4, 5, 1)
	_, slope, err := c.Logit(e)
	if err != nil {
		t.Fatal(err)
	}
	_, lossSlope, err := c.Loss(e)
	if err != nil {
		t.Fatal(err)
	}
	const step = 1e-6
	for i := range 4 {
		for j := range 5 {
			up, down := mat.DenseCopyOf(e), mat.DenseCopyOf(e)
			up.Set(i, j, e.At(i, j)+step)
			down.Set(i, j, e.At(i, j)-step)
			a, _, _ := c.Logit(up)
			b, _, _ := c.Logit(down)
			if got := (a - b) / (2 * step); math.Abs(got-slope.At(i, j)) > 1e-7 {
				t.Errorf("logit at %d, %d: %v, differences give %v", i, j, slope.At(i, j), got)
			}
			la, _, _ := c.Loss(up)
			lb, _, _ := c.Loss(down)
			if got := (la - lb) / (2 * step); math.Abs(got-lossSlope.At(i, j)) > 1e-7 {
				t.Errorf("loss at %d, %d: %v, differences give %v", i, j, lossSlope.At(i, j), got)
			}
		}
	}
}

// TestRefineSeveral: two classifiers that both fire are both satisfied at the end; a text that neither finds comes back as the same
// matrix; too few steps are reported.
func TestRefineSeveral(t *testing.T) {
	x := newTexts(13, 6, 2)
	both := []*erase.Classifier{classifier(x, 8, 0), classifier(x, 8, 0)}
	cfg := erase.DefaultCGCE()
	cfg.MaxSteps = 200
	var refined, untouched int
	for range 20 {
		e := x.normal(5, 6, 1.5)
		r := get[*erase.Refinement](t)(erase.Refine(both, e, cfg))
		if r.Steps == 0 {
			untouched++
			if r.X != e || !r.Safe {
				t.Error("a safe text was changed")
			}
			continue
		}
		refined++
		for i, c := range both {
			if logit, _, err := c.Logit(r.X); err != nil || r.Safe != (r.P[r.Steps] <= 0.5) || r.Safe && logit > 1e-12 {
				t.Errorf("classifier %d: logit %v after %d steps (safe: %v), %v", i, logit, r.Steps, r.Safe, err)
			}
		}
	}
	if refined == 0 || untouched == 0 {
		t.Errorf("%d refined, %d untouched: the test needs both", refined, untouched)
	}
	cfg.MaxSteps, cfg.Step = 1, 1e-9
	for range 20 {
		if r := get[*erase.Refinement](t)(erase.Refine(both, x.normal(5, 6, 1.5), cfg)); r.Steps == 1 && r.Safe {
			t.Error("a step of 1e-9 is said to be enough")
		}
	}
}

// TestHiRMGradient: against differences, with and without a mask.
func TestHiRMGradient(t *testing.T) {
	x := newTexts(14, 4, 2)
	h, target := x.normal(3, 4, 1), x.normal(3, 4, 1)
	for _, valid := range [][]bool{nil, {true, false, true}} {
		_, g, err := erase.HiRM(h, target, 2, valid)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			for j := range 4 {
				up, down := mat.DenseCopyOf(h), mat.DenseCopyOf(h)
				up.Set(i, j, h.At(i, j)+1e-5)
				down.Set(i, j, h.At(i, j)-1e-5)
				a, _, _ := erase.HiRM(up, target, 2, valid)
				b, _, _ := erase.HiRM(down, target, 2, valid)
				if got := (a - b) / 2e-5; math.Abs(got-g.At(i, j)) > 1e-8 {
					t.Errorf("mask %v at %d, %d: %v, differences give %v", valid, i, j, g.At(i, j), got)
				}
			}
		}
	}
	if loss, _, _ := erase.HiRM(target, target, 1, nil); loss != 0 {
		t.Errorf("loss at the target is %v", loss)
	}
	if _, _, err := erase.HiRM(h, target, 1, make([]bool, 3)); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("an empty mask: %v", err)
	}
}

func TestSurrogatesHand(t *testing.T) {
	if got := get[[]float64](t)(erase.ESDTarget([]float64{1, 2}, []float64{2, 5}, 0.5)); !slices.Equal(got, []float64{0.5, 0.5}) {
		t.Errorf("ESD target %v", got)
	}
	// equal keys: the mean of the values
	h := mat.NewDense(2, 2, []float64{1, 2, 1, 4})
	key, value := mat.NewDense(1, 2, []float64{1, 0}), mat.NewDense(1, 2, []float64{0, 1})
	if got := get[*mat.Dense](t)(erase.ReadAttention(h, key, value, mat.NewDense(1, 1, []float64{5}))); math.Abs(got.At(0, 0)-3) > 1e-15 {
		t.Errorf("read %v", got.At(0, 0))
	}
	with, without := []*mat.Dense{mat.NewDense(1, 2, []float64{3, 1}), mat.NewDense(1, 2, []float64{1, 1})}, []*mat.Dense{mat.NewDense(1, 2, []float64{1, 1}), mat.NewDense(1, 2, []float64{1, -1})}
	if got := flatten(get[*mat.Dense](t)(erase.RingABell(with, without))); !slices.Equal(got, []float64{1, 1}) {
		t.Errorf("concept tensor %v", got)
	}
	// gradients (3, -4) and (0, 1): pcgrad takes all of -4 away; the published variant takes -4/5 only
	for unit, want := range map[bool][]float64{false: {3, 0}, true: {3, -3.2}} {
		if got := get[[]float64](t)(erase.GradientSurgery([]float64{3, -4}, []float64{0, 2}, unit)); floats.Distance(got, want, 2) > 1e-12 {
			t.Errorf("surgery %v, want %v", got, want)
		}
	}
	if got := get[[]float64](t)(erase.GradientSurgery([]float64{3, 4}, []float64{0, 2}, false)); !slices.Equal(got, []float64{3, 4}) {
		t.Errorf("no conflict: %v", got)
	}
	ratio := get[[]float64](t)(erase.EnergyLogRatio(mat.NewDense(1, 3, []float64{2, 1, 0}), mat.NewDense(1, 3, []float64{1, 1, 0}), 1e-9))
	if math.Abs(ratio[0]-math.Log(4)) > 1e-8 || ratio[1] != 0 || ratio[2] != 0 {
		t.Errorf("energy %v", ratio)
	}
	for factor, want := range map[float64]int{2: 1, 5: 0} {
		if got := get[[]int](t)(erase.Collateral(ratio, []int{1}, factor)); len(got) != want {
			t.Errorf("collateral at %v: %v", factor, got)
		}
	}
	if got := get[[]int](t)(erase.Collateral(ratio, []int{0}, 2)); got != nil {
		t.Errorf("an erased feature is collateral: %v", got)
	}
}

// TestSimplex: the projection lies on the simplex, leaves its points, and no other point of it is nearer.
func TestSimplex(t *testing.T) {
	x := newTexts(15, 8, 2)
	for range 50 {
		z := flatten(x.normal(1, 8, 2))
		p := get[[]float64](t)(erase.ProjectSimplex(z))
		if math.Abs(floats.Sum(p)-1) > 1e-12 || floats.Min(p) < 0 {
			t.Fatalf("%v is not on the simplex", p)
		}
		if again := get[[]float64](t)(erase.ProjectSimplex(p)); floats.Distance(p, again, 2) > 1e-12 {
			t.Errorf("%v moves to %v", p, again)
		}
		other := flatten(absolute(x.normal(1, 8, 1)))
		floats.Scale(1/floats.Sum(other), other)
		if floats.Distance(z, other, 2) < floats.Distance(z, p, 2) {
			t.Errorf("%v is nearer to %v than %v", other, z, p)
		}
	}
	if _, err := erase.ProjectSimplex([]float64{math.NaN()}); !errors.Is(err, vectors.ErrNotFinite) {
		t.Errorf("NaN: %v", err)
	}
}

// TestEvaluationHand: counts by hand.
func TestEvaluationHand(t *testing.T) {
	z := get[*erase.ZeroShot](t)(erase.NewZeroShot([]*mat.Dense{mat.NewDense(2, 2, []float64{2, 0, 0, 1}), mat.NewDense(1, 2, []float64{1, -1})}))
	if math.Abs(z.Prototypes.At(0, 0)-math.Sqrt(0.5)) > 1e-15 || math.Abs(z.Prototypes.At(0, 1)-math.Sqrt(0.5)) > 1e-15 {
		t.Errorf("prototype %v: templates must count alike, whatever their norm", z.Prototypes.RawRowView(0))
	}
	if got := get[[]int](t)(z.Predict(mat.NewDense(2, 2, []float64{1, 3, 3, -1}))); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("predicted %v", got)
	}
	if _, err := z.Predict(mat.NewDense(1, 2, nil)); err == nil || !strings.Contains(err.Error(), "row 0 is zero") {
		t.Errorf("a zero embedding: %v", err)
	}
	labels, predicted := []int{0, 0, 0, 0, 1, 1, 2, 2}, []int{0, 1, 1, 1, 1, 2, 2, 2}
	a := get[erase.Accuracies](t)(erase.Judge(predicted, labels, []int{0}, []bool{true, true, false, false, false, false, true, false}))
	if a.Erased != (erase.Share{Hits: 1, N: 4}) || a.Specific != (erase.Share{Hits: 3, N: 4}) || a.General != (erase.Share{Hits: 1, N: 2}) {
		t.Errorf("accuracies %+v", a)
	}
	if h := get[float64](t)(a.Harmonic()); math.Abs(h-3/(1/0.75+1/0.75+2)) > 1e-15 {
		t.Errorf("harmonic mean %v", h)
	}
	a.General = erase.Share{}
	if h := get[float64](t)(a.Harmonic()); h != 0.75 {
		t.Errorf("harmonic mean without synonyms %v", h)
	}
	a.Erased = erase.Share{Hits: 4, N: 4}
	if h := get[float64](t)(a.Harmonic()); h != 0 {
		t.Errorf("nothing erased: %v", h)
	}
	if _, err := (erase.Accuracies{}).Harmonic(); err == nil {
		t.Error("an accuracy over no text")
	}
	g := get[erase.GridScores](t)(erase.Grid(predicted, labels, 0, []int{0, 0, 1}))
	if g.Unlearning != (erase.Share{Hits: 3, N: 4}) || g.InDomain != (erase.Share{Hits: 1, N: 2}) || g.CrossDomain != (erase.Share{Hits: 2, N: 2}) || math.Abs(get[float64](t)(g.Average())-0.75) > 1e-15 {
		t.Errorf("grid %+v", g)
	}
	r := get[erase.AttackRates](t)(erase.AttackSuccess([]bool{true, false, false, false}, []bool{false, true, false, false}))
	if r.Before.Hits != 1 || r.After.Hits != 2 {
		t.Errorf("attack %+v", r)
	}
	if got := get[float64](t)(erase.RecognitionRate([]bool{true, false, false, false})); got != 25 {
		t.Errorf("CRR %v", got)
	}
	if s := get[erase.Share](t)(erase.ErasingRate([]float64{1, 2, 3}, []float64{1, 3, 2})); s != (erase.Share{Hits: 2, N: 3}) {
		t.Errorf("CER %+v", s)
	}
	for _, test := range []struct{ b, want float64 }{{1, 2.5}, {-1, 0}} {
		if got := get[float64](t)(erase.CLIPScore([]float64{2, 0}, []float64{test.b, 0})); got != test.want {
			t.Errorf("CLIP score %v, want %v", got, test.want)
		}
	}
	if i, err := r.After.Interval(0.95); err != nil || !(i.Low < 0.5 && i.High > 0.5) {
		t.Errorf("interval %+v, %v", i, err)
	}
}

// TestNeighboursKept: rotation keeps neighbours and ranks but not cosines; the identity keeps all.
func TestNeighboursKept(t *testing.T) {
	x := newTexts(16, 4, 4).normal(9, 4, 1)
	same := get[*erase.Preservation](t)(erase.Neighbours(x, x, 3))
	turn := mat.NewDense(4, 4, []float64{0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0})
	var turned mat.Dense
	turned.Mul(x, turn)
	rotated := get[*erase.Preservation](t)(erase.Neighbours(x, &turned, 3))
	for i := range 9 {
		for what, got := range map[string]float64{"cosine": same.Cosine[i], "overlap": same.Overlap[i], "rank": same.Rank[i], "rotated overlap": rotated.Overlap[i], "rotated rank": rotated.Rank[i]} {
			if math.Abs(got-1) > 1e-12 {
				t.Errorf("concept %d: %s is %v", i, what, got)
			}
		}
		if math.Abs(rotated.Cosine[i]) > 1e-12 { // a quarter turn
			t.Errorf("concept %d: cosine after a quarter turn is %v", i, rotated.Cosine[i])
		}
	}
	flat := mat.NewDense(9, 4, slices.Repeat([]float64{1, 2, 3, 4}, 9)) // an edit that made all concepts one
	if p := get[*erase.Preservation](t)(erase.Neighbours(x, flat, 3)); slices.Max(p.Rank) != 0 || slices.Min(p.Rank) != 0 {
		t.Errorf("ranks after everything became one: %v", p.Rank)
	}
	if _, err := erase.Neighbours(x, x, 9); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("as many neighbours as concepts: %v", err)
	}
}

// TestGate: the curve by hand, with a tie; thresholds; and rates.
func TestGate(t *testing.T) {
	scores, concept := []float64{5, 4, 4, 3, 1}, []bool{true, true, false, true, false}
	curve := get[[]erase.ROCPoint](t)(erase.ROC(scores, concept))
	want := []erase.ROCPoint{{5, 1. / 3, 0}, {4, 2. / 3, 0.5}, {3, 1, 0.5}, {1, 1, 1}}
	if !slices.Equal(curve, want) {
		t.Errorf("ROC %v", curve)
	}
	for maxFPR, threshold := range map[float64]float64{0: 5, 0.5: 3} {
		if g := get[erase.Gate](t)(erase.CalibrateGate(scores, concept, maxFPR)); g.Threshold != threshold {
			t.Errorf("FPR up to %v: threshold %v, want %v", maxFPR, g.Threshold, threshold)
		}
	}
	r := get[erase.GateRates](t)(erase.Gate{Threshold: 4}.Rates(scores, concept, 0.95))
	if r.TPR != (erase.Share{Hits: 2, N: 3}) || r.FPR != (erase.Share{Hits: 1, N: 2}) || !(r.AUC.Low < 0.75 && r.AUC.High > 0.75) {
		t.Errorf("rates %+v", r)
	}
	if _, err := erase.CalibrateGate([]float64{1, 2}, []bool{true, false}, 0); err == nil || !strings.Contains(err.Error(), "no threshold") {
		t.Errorf("a score that is the wrong way round: %v", err)
	}
	if _, err := erase.ROC([]float64{1, 2}, []bool{true, true}); !errors.Is(err, vectors.ErrClasses) {
		t.Errorf("one kind: %v", err)
	}
	x := mat.NewDense(1, 1, []float64{0})
	if s := get[erase.Share](t)(erase.Identical([]*mat.Dense{x, x}, []*mat.Dense{x, mat.NewDense(1, 1, []float64{math.Copysign(0, -1)})})); s.Hits != 1 {
		t.Errorf("-0 counts as the bits of 0: %+v", s)
	}
}

func TestSelect(t *testing.T) {
	text := erase.Text{X: mat.NewDense(5, 1, []float64{1, 2, 4, 8, 100}), Length: 4} // [CLS] a b [SEP] [PAD]
	special := []bool{true, false, false, true, true}
	for selector, want := range map[string][]float64{
		erase.SelectLast: {4}, erase.SelectAll: {2, 4}, erase.SelectEOS: {8}, erase.SelectCLS: {1}, erase.SelectMean: {15. / 4},
	} {
		if got := flatten(get[*mat.Dense](t)(erase.Select(text, special, selector))); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", selector, got, want)
		}
	}
	for _, selector := range erase.Selectors() {
		if _, err := erase.Select(text, make([]bool, 5), selector); (err != nil) != (selector == erase.SelectEOS || selector == erase.SelectCLS) {
			t.Errorf("%s without special tokens: %v", selector, err)
		}
	}
	if _, err := erase.Select(text, special, "first"); err == nil || !strings.Contains(err.Error(), "last, all, eos, cls, mean") {
		t.Errorf("an unknown selector: %v", err)
	}
}
