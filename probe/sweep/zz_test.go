package sweep

import (
	"math"
	"os"
	"testing"
	"time"

	"loupe/internal/npy"
	"loupe/probe"
	"loupe/probe/store"
)

func TestZZ(t *testing.T) {
	st, err := store.Open("/tmp/probe-try/store", store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := openSource(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	label, _ := s.label("category")
	m := probe.NewMulticlass("category", label)
	for _, name := range []string{"blocks.0.hook_resid_pre", "blocks.3.hook_resid_pre", "blocks.5.hook_resid_pre"} {
		site, _ := st.Site(name)
		p, _ := parsePosition("span-last")
		docs := make([]int, s.docs.Len())
		for i := range docs {
			docs[i] = i
		}
		rows, bad, err := s.places(p, docs)
		if err != nil || len(bad) > 0 {
			t.Fatal(err, len(bad))
		}
		x, err := s.gather(site, rows)
		if err != nil {
			t.Fatal(err)
		}
		var ts []probe.Target
		for c, n := range m.Counts() {
			if n < 100 {
				continue
			}
			y := make([]bool, x.N)
			for i := range y {
				y[i] = m.Class[i] == c
			}
			ts = append(ts, probe.NewBinary(m.Classes[c], y))
		}
		for _, std := range []bool{false, true} {
			cfg := probe.LogisticConfig{C: 1, Standardize: std, Tolerance: 1e-6}
			b := time.Now()
			fits, err := probe.Logistic(t.Context(), x, ts, cfg)
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(b)
			cfg.Tolerance = 1e-10
			exact, err := probe.Logistic(t.Context(), x, ts, cfg)
			if err != nil {
				t.Log(err)
				exact = fits
			}
			for i := range fits {
				if i < 3 {
					t.Logf("%s std %v %s: evals %d, objective %.6f, rel above %.2e, exact evals %d", name, std, ts[i].Name, fits[i].Evaluations, fits[i].Objective, fits[i].Objective/exact[i].Objective-1, exact[i].Evaluations)
				}
			}
			t.Logf("%d targets x %d rows: %v", len(ts), x.N, took)
		}
		if name == "blocks.3.hook_resid_pre" {
			f, _ := os.Create("/tmp/mx.npy")
			f.Close()
			_ = npy.Array{}
			out, _ := os.Create("/tmp/mx.f32")
			b := make([]byte, 0, 4*len(x.Values))
			for _, v := range x.Values {
				u := math.Float32bits(v); b = append(b, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
			}
			out.Write(b)
			out.Close()
			ys, _ := os.Create("/tmp/my.i8")
			for i := range x.N {
				for _, tt := range ts {
					ys.Write([]byte{byte(tt.Class[i])})
				}
			}
			ys.Close()
			t.Log(x.N, x.D, len(ts))
		}
	}
}
