package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/text"
)

// TestFamilies captures with a tiny golden model for every way in which the input shapes the numbers (positions, token
// types, pooled position) and compares with runs without padding.
func TestFamilies(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(graphtest.Golden(t), "models", "tiny"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			f := newFixture(t, graphtest.Backend(t), e.Name(), 1, 1)
			spec := f.model.Spec
			way := fmt.Sprint(spec.Causal, spec.Positions, spec.PosFromID, spec.Pooler, spec.PoolLargestID, spec.TypeVocab > 0, spec.RelBias != nil)
			if seen[way] {
				return // as another model, for what a batch is made of
			}
			seen[way] = true
			cfg := f.cfg
			// of equal lengths, so that the unpadded runs compile once
			content := `{"text":"w5 é w9 w11 w6","parity":"a"}` + "\n" + `{"text":"w6 w6 w7 w12 w8","parity":"b"}` + "\n"
			if err := os.WriteFile(cfg.Corpus.Path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			names := []string{"hook_embed", "last_hidden_state", "last_hidden_state@mean"}
			for _, pooled := range []string{"pooler", "text_embeds", "sentence"} {
				for _, site := range f.model.Spec.Sites() {
					if site.String() == pooled {
						names = append(names, pooled)
					}
				}
			}
			cfg.Sites, cfg.MaxLength, cfg.Buckets, cfg.BatchTokens = sites(names...), 12, []int{12}, 48
			_, s := f.run(t, cfg, RunOptions{})
			checkAgainstDirectRun(t, f, cfg, s, 1e-4)
		})
	}
	if len(seen) < 6 {
		t.Errorf("only %d kinds of input among the golden models", len(seen))
	}
}

func TestPairs(t *testing.T) {
	f := newFixture(t, graphtest.Backend(t), "bert", 1, 1)
	cfg := f.cfg
	cfg.Corpus = text.DefaultCorpusConfig(text.KindConcepts)
	cfg.Corpus.Concepts, cfg.Corpus.TrainPairs, cfg.Corpus.HeldOutPairs = []string{"animals", "joy"}, 4, 2
	cfg.Sites, cfg.Labels = sites("pooler"), []string{"concept", "pair"}
	_, s := f.run(t, cfg, RunOptions{})
	ids, pairs, err := s.ExampleIDs()
	if err != nil {
		t.Fatal(err)
	}
	all := docs(t, cfg)
	of := map[int64][]string{}
	for i, p := range pairs {
		d := all[ids[i]]
		of[p] = append(of[p], d.Group+"/"+d.Labels["pair"])
	}
	if len(of) != 12 || of[0] != nil {
		t.Errorf("%d pairs, want 12: %v", len(of), of)
	}
	for p, names := range of {
		if len(names) != 2 || names[0] != names[1] {
			t.Errorf("pair %d holds %v", p, names)
		}
	}
}

func TestRemoveTemporary(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".manifest.json.tmp123", "mine.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeTemporary(dir); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if !slices.Equal(left, []string{"mine.txt"}) {
		t.Errorf("left: %v", left)
	}
	if err := removeTemporary(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}
