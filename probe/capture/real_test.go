package capture

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/probe/text"
	"loupe/probe/token"
)

// TestMiniLM captures every layer of MiniLM on documentation of the Go standard library and compares all of it with
// direct runs of the model on what the tokenizer itself says about each document.
func TestMiniLM(t *testing.T) {
	dir := graphtest.Model(t, "minilm")
	b := graphtest.Backend(t)
	cfg := DefaultConfig()
	cfg.Model = dir
	cfg.Corpus.MaxDocs, cfg.KeepText, cfg.MaxLength, cfg.Buckets = 12, true, 96, []int{32, 96}
	cfg.BatchTokens, cfg.Store = 384, filepath.Join(t.TempDir(), "store")
	names := []string{"hook_embed", "blocks.*.hook_resid_post", "blocks.3.attn.hook_z", "blocks.2.mlp.hook_post", "last_hidden_state", "sentence", "blocks.3.hook_resid_post@mean"}
	cfg.Sites = sites(names...)
	c, err := Open(t.Context(), b, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sum, err := c.Run(t.Context(), RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Compiles != 2 || sum.Documents != 12 || sum.Examples != 12 {
		t.Errorf("summary %+v", sum)
	}
	s := openStore(t, cfg.Store)
	if m := s.Manifest(); m.Model.Digest != c.model.Digest || m.Model.ID != "minilm" || m.Tokenizer != c.tok.Digest() {
		t.Errorf("the store says it is of %+v, tokenizer %s", m.Model, m.Tokenizer)
	}
	rows, err := s.TokenRows(rowRange(s.Rows()))
	if err != nil {
		t.Fatal(err)
	}
	exampleDocs, _, err := s.ExampleIDs()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.Docs()
	if err != nil {
		t.Fatal(err)
	}
	columns := c.columns()
	plan := model.Plan{Batch: 1, Seq: 96}
	for _, x := range columns {
		if whole := (model.Capture{Site: x.capture.Site}); !slices.Contains(plan.Captures, whole) {
			plan.Captures = append(plan.Captures, whole)
		}
	}
	program, err := c.engine.Compile(c.model.Spec, plan)
	if err != nil {
		t.Fatal(err)
	}
	for id, d := range docs(t, cfg) {
		want, err := c.tok.Encode(d.Text, token.EncodeOptions{AddSpecial: true, MaxLen: 96})
		if err != nil {
			t.Fatal(err)
		}
		of := rowsOfDoc(rows, id)
		if len(of) != want.Len() {
			t.Fatalf("document %d has %d rows, the tokenizer gives %d tokens", id, len(of), want.Len())
		}
		at := make([]int64, len(of))
		for i, r := range of {
			at[i] = r.Row
			if r.Token != want.IDs[i] || [2]int{int(r.CharStart), int(r.CharEnd)} != want.Offsets[i] || r.Special != want.Special[i] || int(r.Pos) != i {
				t.Fatalf("document %d, row %d is %+v, the tokenizer says %d at %v", id, i, r, want.IDs[i], want.Offsets[i])
			}
			piece := strings.TrimPrefix(want.Tokens[i], "##")
			if got := string([]rune(d.Text)[r.CharStart:r.CharEnd]); !r.Special && !strings.EqualFold(got, piece) {
				t.Fatalf("document %d: token %q stands at text %q", id, piece, got)
			}
		}
		if stored, _, err := kept.Text(kept.Index(id)); err != nil || stored != d.Text {
			t.Fatalf("document %d came back as %q (%v)", id, stored, err)
		}
		compareDocument(t, c, program, s, columns, want.IDs, at, int64(slices.Index(exampleDocs, id)))
	}
}

func rowsOfDoc(rows []store.TokenRow, id int64) []store.TokenRow {
	var out []store.TokenRow
	for _, r := range rows {
		if r.Doc == id {
			out = append(out, r)
		}
	}
	return out
}

// compareDocument runs the model on one padded sequence and compares every column's values at the given rows.
func compareDocument(t *testing.T, c *Capture, program *model.Program, s *store.Store, columns []column, ids []int32, at []int64, example int64) {
	t.Helper()
	n := len(ids)
	in := model.Inputs{IDs: make([]int32, 96), Mask: make([]int32, 96)}
	copy(in.IDs, ids)
	for i := range n {
		in.Mask[i] = 1
	}
	out, err := program.Run(t.Context(), c.model.Params, in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Free()
	for _, x := range columns {
		want, err := tensors.CopyFlatData[float32](out.Site(x.capture.Site))
		if err != nil {
			t.Fatal(err)
		}
		d := x.site.Dim()
		if x.site.Per == store.Token {
			got := make([]float32, n*d)
			if err := s.Gather(got, x.site.Name, at); err != nil {
				t.Fatal(err)
			}
			nearly(t, x.site.Name, got, want[:n*d], 1e-4) // another batch shape sums in another order
			continue
		}
		got := make([]float32, d)
		if err := s.Gather(got, x.site.Name, []int64{example}); err != nil {
			t.Fatal(err)
		}
		nearly(t, x.site.Name, got, reduced(x, want, n), 1e-4)
	}
}

// TestSmolLM2Chat captures an early layer of a GGUF model on chats.
func TestSmolLM2Chat(t *testing.T) {
	if testing.Short() {
		t.Skip("loads a model of 540 MB")
	}
	graphtest.Model(t, "smollm2")
	cfg := DefaultConfig()
	cfg.Model, cfg.Offline, cfg.Chat = "smollm2", true, true
	cfg.Corpus = text.DefaultCorpusConfig(text.KindNeutral)
	cfg.Corpus.NeutralNumber, cfg.Buckets, cfg.MaxLength, cfg.BatchTokens = 6, []int{64}, 64, 256
	cfg.Sites, cfg.Store = sites("blocks.0.hook_resid_post", "blocks.0.hook_resid_post@last"), filepath.Join(t.TempDir(), "store")
	c, err := Open(t.Context(), graphtest.Backend(t), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Run(t.Context(), RunOptions{}); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, cfg.Store)
	rows, err := s.TokenRows(rowRange(s.Rows()))
	if err != nil {
		t.Fatal(err)
	}
	d := c.model.Spec.DModel
	last := make([]float32, d)
	exampleDocs, _, err := s.ExampleIDs()
	if err != nil {
		t.Fatal(err)
	}
	for id, doc := range docs(t, cfg) {
		var said strings.Builder
		of := rowsOfDoc(rows, id)
		for _, r := range of {
			if !r.Special {
				said.WriteString(string([]rune(doc.Text)[r.CharStart:r.CharEnd]))
			}
		}
		if strings.ReplaceAll(said.String(), " ", "") != strings.ReplaceAll(doc.Text, " ", "") {
			t.Errorf("the rows of document %d say %q, want %q", id, said.String(), doc.Text)
		}
		if start, _ := c.tok.Token(of[0].Token); !of[0].Special || start != "<|im_start|>" {
			t.Errorf("document %d begins with %q", id, start)
		}
		final := make([]float32, d)
		if err := s.Gather(final, "blocks.0.hook_resid_post", []int64{of[len(of)-1].Row}); err != nil {
			t.Fatal(err)
		}
		if err := s.Gather(last, "blocks.0.hook_resid_post.last", []int64{int64(slices.Index(exampleDocs, id))}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(final, last) {
			t.Errorf("document %d: the last token's example row differs from its token row", id)
		}
	}
}
