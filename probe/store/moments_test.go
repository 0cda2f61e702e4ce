package store

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"loupe/internal/gemm"
)

// naive computes moments in two passes.
func naive(x [][]float32, d int) *Moments {
	m := &Moments{Count: int64(len(x)), Mean: make([]float64, d), M2: make([]float64, d), Cross: make([]float64, d*d)}
	for _, row := range x {
		for i, v := range row {
			m.Mean[i] += float64(v) / float64(len(x))
		}
	}
	for _, row := range x {
		for i := range d {
			a := float64(row[i]) - m.Mean[i]
			m.M2[i] += a * a
			for j := range d {
				m.Cross[i*d+j] += a * (float64(row[j]) - m.Mean[j])
			}
		}
	}
	return m
}

func nearMoments(t *testing.T, what string, got, want *Moments, rtol float64) {
	t.Helper()
	if got.Count != want.Count {
		t.Errorf("%s: count %d, want %d", what, got.Count, want.Count)
	}
	for name, v := range map[string][2][]float64{"mean": {got.Mean, want.Mean}, "m2": {got.M2, want.M2}, "cross": {got.Cross, want.Cross}} {
		if v[0] == nil && name == "cross" {
			continue
		}
		if len(v[0]) != len(v[1]) {
			t.Errorf("%s: %s has %d values, want %d", what, name, len(v[0]), len(v[1]))
			continue
		}
		top := 0.0
		for _, w := range v[1] {
			top = max(top, math.Abs(w))
		}
		for i, w := range v[1] {
			if math.Abs(v[0][i]-w) > rtol*top {
				t.Errorf("%s: %s[%d] is %v, want %v", what, name, i, v[0][i], w)
				break
			}
		}
	}
}

// TestMomentsOfAStore compares the stored moments of every site, filter and class with two passes over the rows that
// a reader gets. The common mean of the first site is fifty standard deviations.
func TestMomentsOfAStore(t *testing.T) {
	s := open(t, makeStore(t, testSpec()))
	docs, err := s.Docs()
	if err != nil {
		t.Fatal(err)
	}
	topic := func(id int64) string { return docs.Labels["topic"][docs.Index(id)] }
	for _, site := range s.Manifest().Sites {
		d := site.Dim()
		rows := map[[2]string][][]float32{} // by filter and class
		put := func(doc int64, special bool, x []float32) {
			row := append([]float32{}, x...)
			for _, class := range []string{"", topic(doc)} {
				rows[[2]string{"all", class}] = append(rows[[2]string{"all", class}], row)
				if !special {
					rows[[2]string{"non-special", class}] = append(rows[[2]string{"non-special", class}], row)
				}
				if topic(doc) == "" {
					break
				}
			}
		}
		if site.Per == Token {
			err = s.Scan(context.Background(), []string{site.Name}, func(c Chunk) error {
				for r, doc := range c.Doc {
					put(doc, c.Special[r], c.Sites[0][r*d:(r+1)*d])
				}
				return nil
			})
		} else {
			err = s.ScanExamples(context.Background(), []string{site.Name}, func(c ExampleChunk) error {
				for r, doc := range c.Doc {
					put(doc, false, c.Sites[0][r*d:(r+1)*d])
				}
				return nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 6 {
			t.Fatalf("%d sets of rows", len(rows))
		}
		for _, f := range []Filter{All, NonSpecial} {
			got, err := s.Moments(site.Name, f)
			if err != nil {
				t.Fatal(err)
			}
			want := naive(rows[[2]string{string(f), ""}], d)
			nearMoments(t, fmt.Sprint(site.Name, " ", f), got, want, 1e-12)
			classes, err := s.ClassMoments(site.Name, "topic", f)
			if err != nil || len(classes) != 2 {
				t.Fatalf("%d classes, %v", len(classes), err)
			}
			for _, c := range classes {
				if c.Cross == nil {
					t.Errorf("%s: no cross moments of class %s", site.Name, c.Class)
				}
				nearMoments(t, fmt.Sprint(site.Name, " ", f, " ", c.Class), c, naive(rows[[2]string{string(f), c.Class}], d), 1e-12)
			}
			cov, err := got.Covariance()
			second, err2 := got.SecondMoment()
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			n := float64(got.Count)
			if v := got.Variance()[1]; v != cov[d+1] || math.Abs(v-want.M2[1]/n) > 1e-12*v {
				t.Errorf("variance %v, covariance %v, want %v", v, cov[d+1], want.M2[1]/n)
			}
			raw := 0.0
			for _, row := range rows[[2]string{string(f), ""}] {
				raw += float64(row[0]) * float64(row[1]) / n
			}
			if math.Abs(second[1]-raw) > 1e-12*math.Abs(second[0]) {
				t.Errorf("second moment %v, want %v", second[1], raw)
			}
		}
	}
}

// TestAccumulator checks wide rows, several panels, diagonal-only sums and a mean of 1e4 standard deviations.
func TestAccumulator(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	const d, n = 37, 300
	x, rows, index := make([]float32, n*d), make([][]float32, n), make([]int32, n)
	for r := range rows {
		for i := range d {
			x[r*d+i] = float32(1e4 + rng.NormFloat64() + float64(i))
		}
		rows[r], index[r] = x[r*d:(r+1)*d], int32(r)
	}
	want := naive(rows, d)
	var s gemm.Gram
	for _, cross := range []bool{true, false} {
		a := newAccumulator(d, cross)
		a.add(&s, x, index[:7])
		a.add(&s, x, index[7:])
		got := a.moments()
		if cross != (got.Cross != nil) {
			t.Errorf("cross %v", cross)
		}
		// the shift is the mean of seven rows, so values are of size 1 and sums of 300 lose nothing
		nearMoments(t, fmt.Sprint("cross ", cross), got, want, 1e-13)
	}
}

// TestMerge checks that any partition gives the moments of the whole, empty parts included.
func TestMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 3))
	const d = 5
	rows := make([][]float32, 200)
	for r := range rows {
		rows[r] = make([]float32, d)
		for i := range d {
			rows[r][i] = float32(rng.NormFloat64()*float64(i+1) + 30)
		}
	}
	want := naive(rows, d)
	for _, cuts := range [][]int{{0, 200}, {0, 0, 1, 200}, {0, 100, 100, 150, 200}, {0, 3, 5, 8, 13, 21, 34, 200}} {
		got := &Moments{}
		for i := range cuts[1:] {
			got.merge(naive(rows[cuts[i]:cuts[i+1]], d))
		}
		nearMoments(t, fmt.Sprint(cuts), got, want, 1e-13)
	}
}

func TestMomentOptions(t *testing.T) {
	spec := testSpec()
	spec.Moments = MomentOptions{MaxCross: 6}
	s := open(t, makeStore(t, spec))
	narrow, err := s.Moments("blocks.0.hook_resid_post", All)
	if err != nil || narrow.Cross == nil {
		t.Errorf("d 6: %v", err)
	}
	wide, err := s.Moments("blocks.1.attn.hook_z", All)
	if err != nil || wide.Cross != nil {
		t.Errorf("d 18 keeps cross moments, %v", err)
	}
	if _, err := wide.Covariance(); err == nil {
		t.Error("a covariance without cross moments")
	}
	classes, err := s.ClassMoments("blocks.0.hook_resid_post", "topic", All)
	if err != nil || len(classes) != 2 || classes[0].Cross != nil {
		t.Errorf("classes %d, %v", len(classes), err)
	}
	if err := Verify(context.Background(), s.Dir()); err != nil {
		t.Error(err)
	}
	spec.Moments = MomentOptions{Off: true}
	s = open(t, makeStore(t, spec))
	if _, err := s.Moments("pooler", All); err == nil {
		t.Error("moments that were switched off")
	}
	if err := Verify(context.Background(), s.Dir()); err != nil {
		t.Error(err)
	}
}

func TestTooManyClasses(t *testing.T) {
	w, err := Create(filepath.Join(t.TempDir(), "s"), testSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var b Batch
	for i := range maxClasses + 1 {
		b.Docs = append(b.Docs, Doc{ID: int64(i), Labels: map[string]string{"topic": fmt.Sprint(i)}})
	}
	if err := w.Append(context.Background(), b); err == nil {
		t.Error("no error")
	}
}
