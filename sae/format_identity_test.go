package sae

import (
	"math"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// fitted is an SAE that explains x = strengths * directions well: the directions are its decoder and encoder.
func fitted(t *testing.T, d, features int) (*SAE, func(seed uint64, rows int) []float32) {
	t.Helper()
	p := plant(3, d, features, 2, 1, 0)
	s := &SAE{
		Arch: ArchTopK, DIn: d, DSAE: features, K: 2, ApplyBDecToInput: true, Normalize: NormalizeNone, Metadata: map[string]any{},
		WEnc: turned(p.dictionary, features, d), WDec: slices.Clone(p.dictionary), BEnc: make([]float32, features), BDec: normals(9, d),
	}
	return s, func(seed uint64, rows int) []float32 {
		strengths := normals(seed, rows*2)
		x := make([]float32, rows*d)
		for r := range rows {
			copy(x[r*d:(r+1)*d], s.BDec)
			for j := range 2 {
				i := (r*7 + j*5) % features
				axpy(4+strengths[2*r+j]/4, p.dictionary[i*d:(i+1)*d], x[r*d:(r+1)*d])
			}
		}
		return x
	}
}

// TestIdentify: the right activations pass; a wrong site, scale, normalisation or b_dec is told as such.
func TestIdentify(t *testing.T) {
	const d, rows = 32, 200
	s, data := fitted(t, d, 40)
	x := data(5, rows)
	other, long := normals(17, rows*d), slices.Clone(x)
	scaleBy(long, 50)
	special := normals(19, 4*d)
	scaleBy(special, 500)
	for name, c := range map[string]struct {
		sae     func() *SAE
		samples []Sample
		ok      bool
		want    string
	}{
		"right":        {s.clone, []Sample{{Site: "a", X: x}, {Site: "b", X: other}}, true, ""},
		"special rows": {s.clone, []Sample{{Site: "a", X: x, Special: special}}, true, "times as long"},
		"wrong site":   {s.clone, []Sample{{Site: "b", X: other}, {Site: "a", X: x}}, false, "site a"},
		"nothing fits": {s.clone, []Sample{{Site: "b", X: other}}, false, "does not fit"},
		"b_dec": {func() *SAE {
			c := s.clone()
			c.ApplyBDecToInput = false
			return c
		}, []Sample{{Site: "a", X: x}}, false, "b_dec subtracted"},
		"scale": {func() *SAE { // trained on inputs scaled to the mean norm sqrt(d), which was not folded
			c := s.clone()
			norm := 0.0
			for row := range slices.Chunk(x, d) {
				norm += float64(norm2(row)) / rows
			}
			if err := c.FoldScale(norm / math.Sqrt(d)); err != nil {
				t.Fatal(err)
			}
			return c
		}, []Sample{{Site: "a", X: long}}, false, "inputs scaled to the mean norm sqrt(d)"},
	} {
		id, err := Identify(t.Context(), graphtest.Backend(t), c.sae(), c.samples)
		if err != nil {
			t.Fatal(err)
		}
		if id.OK != c.ok || !strings.Contains(strings.Join(id.Findings, "; "), c.want) {
			t.Errorf("%s: ok %v, FVU %.3f, findings %q, trials %+v; want ok %v and %q", name, id.OK, id.FVU, id.Findings, id.Trials, c.ok, c.want)
		}
	}
	if _, err := Identify(t.Context(), graphtest.Backend(t), s, nil); err == nil {
		t.Error("no sample was accepted")
	}
	if _, err := Identify(t.Context(), graphtest.Backend(t), s, []Sample{{X: x[:31]}}); err == nil {
		t.Error("half a row was accepted")
	}
}
