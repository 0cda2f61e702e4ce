package capture

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

func TestPacker(t *testing.T) {
	doc := func(d int32, ids ...int32) []cell {
		var out []cell
		for _, id := range ids {
			out = append(out, cell{doc: d, id: id})
		}
		return out
	}
	p := &packer{length: 4, next: 7, bos: []cell{{id: 99, special: true}}}
	p.add(doc(0, 1, 2))
	p.add(doc(1, 3, 4, 5, 6, 7, 8))
	p.add(nil)
	p.add(doc(2, 9))
	p.flush()
	p.flush()
	type cellOf = [3]int32 // doc, segment, id
	want := [][]cellOf{
		{{0, 0, 1}, {0, 0, 2}, {1, 1, 3}, {1, 1, 4}},
		{{1, 0, 99}, {1, 0, 5}, {1, 0, 6}, {1, 0, 7}},
		{{1, 0, 99}, {1, 0, 8}, {2, 1, 9}},
	}
	if len(p.ready) != len(want) || p.next != 10 {
		t.Fatalf("%d packs, next is %d", len(p.ready), p.next)
	}
	for i, s := range p.ready {
		var got []cellOf
		for _, c := range s.cells {
			got = append(got, cellOf{c.doc, c.segment, c.id})
		}
		if !slices.Equal(got, want[i]) || s.seq != int32(7+i) {
			t.Errorf("pack %d has number %d and tokens %v, want %d and %v", i, s.seq, got, 7+i, want[i])
		}
	}
}

// TestPacking packs documents for a tiny GPT-2, rebuilds the text from the rows, and compares every activation with a
// run of the whole pack.
func TestPacking(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "gpt2", 80, 45)
	cfg := f.cfg
	cfg.Packing, cfg.AddSpecial, cfg.BOS, cfg.Overflow = true, false, BOSPrepend, Split
	cfg.Sites, cfg.ShardBytes, cfg.Window = sites("blocks.*.hook_resid_post"), 50_000, 16
	sum, s := f.run(t, cfg, RunOptions{})
	if sum.Compiles != 1 || sum.Padding > 0.08 {
		t.Errorf("%d compiles, padding %.3f", sum.Compiles, sum.Padding)
	}
	all := docs(t, cfg)
	rows, err := s.TokenRows(rowRange(s.Rows()))
	if err != nil {
		t.Fatal(err)
	}
	type key struct{ seq, segment int32 }
	docOf := map[key]int64{}
	packs := map[int32]int32{} // tokens of each
	words := map[int64]map[int32]string{}
	bos := f.tok.Specials().BOS
	for _, r := range rows {
		packs[r.Seq]++
		k := key{r.Seq, r.Segment}
		if d, ok := docOf[k]; ok && d != r.Doc {
			t.Fatalf("pack %d, segment %d holds documents %d and %d", r.Seq, r.Segment, d, r.Doc)
		}
		docOf[k] = r.Doc
		if r.Pos == 0 && (r.Token != bos || !r.Special) {
			t.Errorf("pack %d begins with token %d", r.Seq, r.Token)
		}
		if r.Special {
			continue
		}
		if words[r.Doc] == nil {
			words[r.Doc] = map[int32]string{}
		}
		text := []rune(all[r.Doc].Text)
		if _, twice := words[r.Doc][r.CharStart]; twice {
			t.Fatalf("row %+v is there twice", r)
		}
		words[r.Doc][r.CharStart] = string(text[r.CharStart:r.CharEnd])
	}
	for id, d := range all {
		var at []int32
		for start := range words[id] {
			at = append(at, start)
		}
		slices.Sort(at)
		var got []string
		for _, start := range at {
			got = append(got, words[id][start])
		}
		if text := strings.Join(got, " "); text != d.Text {
			t.Errorf("document %d came back as %q, want %q", id, text, d.Text)
		}
	}
	for pack, n := range packs {
		if n > 32 {
			t.Errorf("pack %d has %d tokens", pack, n)
		}
	}
	checkAgainstDirectRun(t, f, cfg, s, 1e-5)

	before := digests(t, cfg.Store)
	cfg.Store = filepath.Join(t.TempDir(), "resumed")
	resumeOverAndOver(t, f, cfg)
	compareFiles(t, before, digests(t, cfg.Store), "")
}

func TestPackingRefused(t *testing.T) {
	bert := newFixture(t, graphtest.Backend(t), "bert", 3, 5)
	gpt2 := newFixture(t, graphtest.Backend(t), "gpt2", 3, 5)
	for _, tc := range []struct {
		name string
		f    *fixture
		site string
		want string
	}{
		{"encoder", bert, "blocks.0.hook_resid_post", "packing is for decoders"},
		{"example site", gpt2, "blocks.0.hook_resid_post@mean", "site blocks.0.hook_resid_post.mean has one value a sequence, and a pack holds several documents"},
	} {
		cfg := tc.f.cfg
		cfg.Packing, cfg.Overflow, cfg.Sites = true, Split, sites(tc.site)
		if _, err := tc.f.capture(t, cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}
