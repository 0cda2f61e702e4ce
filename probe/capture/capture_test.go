package capture

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/store"
)

func TestRows(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 16, 50)
	cfg := f.cfg
	cfg.Sites = sites("blocks.1.hook_resid_post", "blocks.0.attn.hook_z", "blocks.1.hook_resid_post@mean", "pooler", "hook_embed@first", "hook_embed@last")
	sum, s := f.run(t, cfg, RunOptions{})
	all := docs(t, cfg)
	if sum.Documents != 16 || sum.Rows != s.Rows() || sum.Examples != 16 || sum.Sequences != 16 || sum.Empty != 0 || sum.Tokens != sum.Rows {
		t.Errorf("summary %+v", sum)
	}
	if sum.Truncated == 0 || sum.Truncated == 16 {
		t.Errorf("%d documents were truncated; the test needs both kinds", sum.Truncated)
	}
	rows, err := s.TokenRows(rowRange(s.Rows()))
	if err != nil {
		t.Fatal(err)
	}
	next := map[int64]int32{}
	for _, r := range rows {
		if r.Pos != next[r.Doc] || r.Seq != 0 || r.Segment != 0 {
			t.Fatalf("row %+v: want position %d, sequence 0, segment 0", r, next[r.Doc])
		}
		next[r.Doc]++
		text := []rune(all[r.Doc].Text)
		word, _ := f.tok.Token(r.Token)
		got := string(text[r.CharStart:r.CharEnd])
		switch {
		case r.Special && (got != "" || word != "[CLS]" && word != "[SEP]"):
			t.Fatalf("row %+v: special token %q at text %q", r, word, got)
		case !r.Special && word == "[UNK]" && got != "é":
			t.Fatalf("row %+v: unknown token at text %q", r, got)
		case !r.Special && word != "[UNK]" && got != word:
			t.Fatalf("row %+v: token %q at text %q", r, word, got)
		}
	}
	if len(next) != 16 {
		t.Errorf("%d documents have rows", len(next))
	}
	d, err := s.Docs()
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range d.ID {
		if int64(i) != id || d.Labels["parity"][i] != all[id].Labels["parity"] {
			t.Fatalf("document %d of docs.arrow is %d with parity %s", i, id, d.Labels["parity"][i])
		}
	}
	checkAgainstDirectRun(t, f, cfg, s, 1e-5)
}

func TestDeterministic(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 50, 50)
	cfg := f.cfg
	cfg.Sites, cfg.ShardBytes = sites("blocks.*.hook_resid_post", "pooler"), 20_000
	var first map[string]string
	for i := range 2 {
		cfg.Store = filepath.Join(t.TempDir(), fmt.Sprint(i))
		_, s := f.run(t, cfg, RunOptions{})
		if n := len(s.Manifest().Shards); n < 3 {
			t.Fatalf("%d shards; the test needs several", n)
		}
		got := digests(t, cfg.Store)
		if i == 0 {
			first = got
		} else if !maps.Equal(first, got) {
			t.Errorf("two captures differ:\n%v\n%v", first, got)
		}
	}
}

func TestCompileCount(t *testing.T) {
	for _, tc := range []struct {
		name    string
		buckets []int
		longest int
		want    int
	}{
		{"one bucket", []int{40}, 50, 1},
		{"three buckets", []int{8, 24, 40}, 50, 3},
		{"the default", nil, 50, 4}, // 16, 24, 32, 40
		{"short documents use the short buckets only", []int{8, 24, 40}, 3, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, graphtest.Backend(t), "bert", 200, tc.longest)
			cfg := f.cfg
			cfg.Buckets, cfg.Sites = tc.buckets, sites("blocks.2.hook_resid_post", "blocks.0.hook_mlp_out")
			sum, _ := f.run(t, cfg, RunOptions{})
			if sum.Compiles != tc.want || f.engine.Compiles() != tc.want {
				t.Errorf("%d compiles over %d batches, want %d", sum.Compiles, sum.Batches, tc.want)
			}
			if sum.Batches <= int64(tc.want) {
				t.Errorf("%d batches: the test needs more than compiles", sum.Batches)
			}
		})
	}
}

// TestPadding checks that sorting leaves little more padding than the buckets themselves: every sequence alone in the
// smallest bucket that holds it.
func TestPadding(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 1000, 36)
	cfg := f.cfg
	cfg.Sites, cfg.Window, cfg.Buckets = sites("hook_embed"), 32, []int{8, 16, 24, 32, 40}
	sum, s := f.run(t, cfg, RunOptions{})
	rows, err := s.TokenRows(rowRange(s.Rows()))
	if err != nil {
		t.Fatal(err)
	}
	length := map[int64]int{}
	for _, r := range rows {
		length[r.Doc]++
	}
	ideal := 0
	for _, n := range length {
		ideal += (n + 7) / 8 * 8
	}
	if over := float64(sum.Cells) / float64(ideal); over > 1.06 || over < 1 {
		t.Errorf("%d cells, %.3f of the %d that the buckets cost", sum.Cells, over, ideal)
	}
	if want := 1 - float64(sum.Tokens)/float64(sum.Cells); sum.Padding != want || want > 0.2 {
		t.Errorf("padding %.3f, want %.3f and below 0.2", sum.Padding, want)
	}
}

func TestSpecialRowsExcluded(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 20, 30)
	cfg := f.cfg
	cfg.Sites = sites("blocks.2.hook_resid_post", "blocks.2.hook_resid_post@mean")
	kept, a := f.run(t, cfg, RunOptions{})
	cfg.SpecialRows, cfg.Store = Exclude, filepath.Join(t.TempDir(), "b")
	left, b := f.run(t, cfg, RunOptions{})
	if left.Rows != kept.Rows-2*kept.Sequences || left.Tokens != kept.Tokens {
		t.Errorf("%d rows of %d tokens, with special rows %d of %d", left.Rows, left.Tokens, kept.Rows, kept.Tokens)
	}
	rows, err := a.TokenRows(rowRange(a.Rows()))
	if err != nil {
		t.Fatal(err)
	}
	var plain []int64
	for _, r := range rows {
		if !r.Special {
			plain = append(plain, r.Row)
		}
	}
	d := f.model.Spec.DModel
	want, got := make([]float32, len(plain)*d), make([]float32, int(b.Rows())*d)
	if err := a.Gather(want, "blocks.2.hook_resid_post", plain); err != nil {
		t.Fatal(err)
	}
	if err := b.Gather(got, "blocks.2.hook_resid_post", rowRange(b.Rows())); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("leaving special rows out changes the others")
	}
}

func TestFloat16(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 20, 30)
	cfg := f.cfg
	cfg.Sites = sites("blocks.2.hook_resid_post")
	_, a := f.run(t, cfg, RunOptions{})
	cfg.Store = filepath.Join(t.TempDir(), "half")
	cfg.Sites = slices.Clone(cfg.Sites)
	cfg.Sites[0].DType = string(store.Float16)
	_, b := f.run(t, cfg, RunOptions{})
	d := f.model.Spec.DModel
	want, got := make([]float32, int(a.Rows())*d), make([]float32, int(b.Rows())*d)
	for _, x := range []struct {
		s   *store.Store
		dst []float32
	}{{a, want}, {b, got}} {
		if err := x.s.Gather(x.dst, "blocks.2.hook_resid_post", rowRange(x.s.Rows())); err != nil {
			t.Fatal(err)
		}
	}
	nearly(t, "float16", got, want, 1e-3) // 11 bits of significand
	if slices.Equal(got, want) {
		t.Error("float16 changed nothing")
	}
}
