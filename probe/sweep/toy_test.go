package sweep

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"loupe/internal/config"
	"loupe/internal/run"
	"loupe/probe/store"
	"loupe/probe/text"
)

// The toy model has 12 dimensions. At blocks.0 and blocks.1 every word has a vector of its own; at the span of blocks.1, and
// in the sentence, the words of concept c have coordinate c raised besides.
const toyWidth = 12

type toyOptions struct {
	model string
	seed  uint64
	cut   bool // one token reaches into a word
	short bool // one text is truncated before its span
	leak  bool // one held-out text is a training text
	plain bool // no text is kept
}

// toyStore writes pairs of sentences of two concepts: "first WORD of all" and the like, a token a word, between two special
// tokens. Held-out sentences have other words and templates.
func toyStore(t testing.TB, opt toyOptions) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	digest := "toy-digest"
	if opt.model != "" {
		digest = opt.model
	}
	site := func(name string, per store.Per) store.Site {
		return store.Site{Name: name, Per: per, Shape: []int{toyWidth}, DType: store.Float32}
	}
	w, err := store.Create(dir, store.Spec{
		Model: store.Source{ID: "toy", Digest: digest}, Tokenizer: "t", Corpus: store.Source{ID: "toy", Digest: "c"},
		Sites:  []store.Site{site("blocks.0.hook_resid_post", store.Token), site("blocks.1.hook_resid_post", store.Token), site("sentence", store.Example)},
		Labels: []string{"concept", "positive", "entry", "template", "pair", "span_start", "span_end", "length"}, KeepText: !opt.plain, Moments: store.MomentOptions{Off: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))            // of words
	noise := rand.New(rand.NewPCG(opt.seed+3, 4)) // of texts
	vector := map[string][]float32{}
	of := func(token string) []float32 {
		if vector[token] == nil {
			for range toyWidth {
				vector[token] = append(vector[token], float32(rng.NormFloat64()))
			}
		}
		return vector[token]
	}
	templates := []string{"first %s of all", "we saw %s today", "the %s is near", "look at %s", "no %s was there at noon", "every %s counts"}
	id, tokenID := int64(0), map[string]int32{}
	var b store.Batch
	b.Rows.Sites, b.Examples.Sites = make([][]float32, 2), make([][]float32, 1)
	add := func(concept int, positive bool, word, template string, pair int, split string) {
		body := fmt.Sprintf(template, word)
		if opt.leak && id == 200 {
			split = text.HeldOut
		}
		from := utf8.RuneCountInString(template[:strings.Index(template, "%s")])
		doc := store.Doc{ID: id, Source: fmt.Sprint("toy/", id), Text: body, Split: split, Group: fmt.Sprint("c", concept), Labels: map[string]string{
			"concept": fmt.Sprint("c", concept), "positive": fmt.Sprint(positive), "entry": word, "template": template, "pair": fmt.Sprint(pair),
			"span_start": fmt.Sprint(from), "span_end": fmt.Sprint(from + len(word)), "length": fmt.Sprint(len(body)),
		}}
		sum := make([]float32, toyWidth)
		tokens := append(append([]string{"[CLS]"}, strings.Fields(body)...), "[SEP]")
		at := 0
		for i, token := range tokens {
			special := i == 0 || i == len(tokens)-1
			lo, hi := 0, 0
			if !special {
				lo, hi = at, at+len(token)
				at = hi + 1
			}
			isWord := token == word
			if opt.cut && id == 4 && isWord {
				hi -= 2
			}
			if opt.cut && id == 4 && !isWord && lo == from+len(word)+1 {
				lo -= 3
			}
			if opt.short && id == 8 && isWord {
				break
			}
			base := of(token)
			for site := range 2 {
				for j := range toyWidth {
					v := base[j] + float32(0.2*noise.NormFloat64())
					if site == 1 && isWord && positive && j == concept {
						v += 4
					}
					b.Rows.Sites[site] = append(b.Rows.Sites[site], v)
					if site == 1 {
						sum[j] += v / float32(len(tokens))
					}
				}
			}
			if _, ok := tokenID[token]; !ok {
				tokenID[token] = int32(len(tokenID))
			}
			b.Rows.Doc, b.Rows.Pos, b.Rows.Token = append(b.Rows.Doc, id), append(b.Rows.Pos, int32(i)), append(b.Rows.Token, tokenID[token])
			b.Rows.CharStart, b.Rows.CharEnd = append(b.Rows.CharStart, int32(lo)), append(b.Rows.CharEnd, int32(hi))
			b.Rows.Special = append(b.Rows.Special, special)
		}
		b.Docs = append(b.Docs, doc)
		b.Examples.Doc, b.Examples.Sites[0] = append(b.Examples.Doc, id), append(b.Examples.Sites[0], sum...)
		id++
	}
	for concept := range 2 {
		for _, part := range []struct {
			split                                      string
			words, firstWord, templates, firstTemplate int
		}{{text.Train, 14, 0, 4, 0}, {text.HeldOut, 6, 14, 2, 4}} {
			pair := 0
			for k := range part.words {
				for m := range part.templates {
					word, template := part.firstWord+k, templates[part.firstTemplate+m]
					add(concept, true, fmt.Sprintf("yes%c%d", 'a'+concept, word), template, pair, part.split)
					add(concept, false, fmt.Sprintf("not%c%d", 'a'+concept, word), template, pair, part.split)
					pair++
				}
			}
		}
	}
	if err := w.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// toyConfig probes the toy store; keys are `key=value` settings over the defaults.
func toyConfig(t testing.TB, dir string, keys ...string) *Config {
	t.Helper()
	c, err := load(append([]string{"store=" + dir, "sites=blocks.*.hook_resid_post", "positions=span-last"}, keys...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func load(keys ...string) (*Config, error) {
	kinds := []config.Kind{{Name: Kind, New: func() any { c := DefaultConfig(); return &c }}}
	c, err := config.Load(kinds, config.Input{Kind: Kind, Set: keys})
	if err != nil {
		return nil, err
	}
	return c.Value.(*Config), nil
}

// toyRun runs a configuration in a new run folder below root.
func toyRun(t testing.TB, c *Config, root string, save bool) (*Report, error) {
	t.Helper()
	j, err := Open(t.Context(), c)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	dir, err := run.Create(run.Spec{Root: root, Name: "toy", Kind: Kind, Command: []string{"probe"}, Config: []byte("a: 1\n"), ConfigHash: strings.Repeat("0", 64)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := j.Run(t.Context(), dir, RunOptions{Save: save})
	if err != nil {
		return nil, dir.Fail(err)
	}
	return r, dir.Finish()
}
