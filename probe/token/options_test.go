package token

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// mustParse reads a tokenizer definition.
func mustParse(t testing.TB, definition string) *Tokenizer {
	t.Helper()
	tok, err := Parse([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// synthetic reads a generated tokenizer.
func synthetic(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := Load(filepath.Join("testdata", "synthetic", name+".tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestTruncation compares with Hugging Face tokenizers for every strategy and side.
func TestTruncation(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "synthetic", "truncation.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Tokenizer, Text string
		Pair            *string
		MaxLen          int `json:"max_len"`
		Strategy        Strategy
		Side            Side
		IDs             []int32
		Offsets         [][2]int
		TypeIDs         []int32 `json:"type_ids"`
		Error           string
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	toks := map[string]*Tokenizer{}
	for i, c := range cases {
		if toks[c.Tokenizer] == nil {
			toks[c.Tokenizer] = synthetic(t, c.Tokenizer)
		}
		e, err := toks[c.Tokenizer].Encode(c.Text, EncodeOptions{AddSpecial: true, Pair: c.Pair, MaxLen: c.MaxLen,
			Truncation: Truncation{Side: c.Side, Strategy: c.Strategy}})
		if c.Error != "" {
			if err == nil {
				t.Errorf("case %d: no error, want %s", i, c.Error)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(e.IDs, c.IDs) || !reflect.DeepEqual(e.Offsets, c.Offsets) || !reflect.DeepEqual(e.TypeIDs, c.TypeIDs) {
			t.Errorf("case %d, %+v\n got %v %v %v %v", i, c, e.IDs, e.Offsets, e.TypeIDs, err)
		}
		if e.Len() > c.MaxLen {
			t.Errorf("case %d: %d tokens", i, e.Len())
		}
	}
	if len(cases) < 200 {
		t.Fatalf("only %d cases", len(cases))
	}
	wordpiece := toks["wordpiece"]
	for name, opt := range map[string]EncodeOptions{
		"no room":          {AddSpecial: true, MaxLen: 1},
		"unknown side":     {MaxLen: 1, Truncation: Truncation{Side: "top"}},
		"unknown strategy": {MaxLen: 1, Truncation: Truncation{Strategy: "best"}},
	} {
		if _, err := wordpiece.Encode("tokens tokens", opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPad(t *testing.T) {
	row := func(ids ...int32) Encoding {
		types := make([]int32, len(ids))
		for i := range types {
			types[i] = 1
		}
		return Encoding{IDs: ids, TypeIDs: types}
	}
	encodings := []Encoding{row(5, 6, 7), row(), row(8)}
	for name, c := range map[string]struct {
		p    Padding
		want Batch
	}{
		"right": {Padding{ID: 9, Side: Right}, Batch{B: 3, T: 3, IDs: []int32{5, 6, 7, 9, 9, 9, 8, 9, 9},
			Mask: []int32{1, 1, 1, 0, 0, 0, 1, 0, 0}, TypeIDs: []int32{1, 1, 1, 0, 0, 0, 1, 0, 0}, Lengths: []int{3, 0, 1}}},
		"left": {Padding{ID: 9, TypeID: 4, Side: Left, Length: 4}, Batch{B: 3, T: 4, IDs: []int32{9, 5, 6, 7, 9, 9, 9, 9, 9, 9, 9, 8},
			Mask: []int32{0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1}, TypeIDs: []int32{4, 1, 1, 1, 4, 4, 4, 4, 4, 4, 4, 1}, Lengths: []int{3, 0, 1}}},
	} {
		got, err := Pad(encodings, c.p)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, c.want)
		}
	}
	if b, err := Pad(encodings, Padding{Multiple: 8}); err != nil || b.T != 8 {
		t.Errorf("multiple of 8: length %d, %v", b.T, err)
	}
	for name, p := range map[string]Padding{"too long": {Length: 2}, "no pad token": {ID: None}, "unknown side": {Side: "top"}} {
		if _, err := Pad(encodings, p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestBucket(t *testing.T) {
	buckets := []int{16, 32, 128}
	for n, want := range map[int]int{0: 16, 1: 16, 16: 16, 17: 32, 128: 128} {
		if got, err := Bucket(n, buckets); err != nil || got != want {
			t.Errorf("%d tokens: bucket %d, %v; want %d", n, got, err, want)
		}
	}
	if _, err := Bucket(129, buckets); err == nil {
		t.Error("129 tokens fit")
	}
}

// TestUnknownParts wants every part that is not known to be refused by name.
func TestUnknownParts(t *testing.T) {
	const model = `"model": {"type": "WordLevel", "unk_token": "u", "vocab": {"u": 0, "a": 1}}`
	for name, c := range map[string]struct{ definition, want string }{
		"model":            {`{"model": {"type": "Neural"}}`, `model "Neural"`},
		"no model":         {`{}`, "no model"},
		"normalizer":       {`{` + model + `, "normalizer": {"type": "Rot13"}}`, `normalizer "Rot13"`},
		"nested":           {`{` + model + `, "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "X"}]}}`, `normalizer "X"`},
		"pre-tokenizer":    {`{` + model + `, "pre_tokenizer": {"type": "UnicodeScripts"}}`, `pre-tokenizer "UnicodeScripts"`},
		"post-processor":   {`{` + model + `, "post_processor": {"type": "Y"}}`, `post-processor "Y"`},
		"decoder":          {`{` + model + `, "decoder": {"type": "CTC"}}`, `decoder "CTC"`},
		"field":            {`{` + model + `, "normalizer": {"type": "NFC", "form": 2}}`, `"form"`},
		"top level":        {`{` + model + `, "postscript": 1}`, `"postscript"`},
		"no type":          {`{` + model + `, "normalizer": {"lowercase": true}}`, "without a \"type\""},
		"version":          {`{"version": "2.0", ` + model + `}`, `version "2.0"`},
		"behavior":         {`{` + model + `, "pre_tokenizer": {"type": "Punctuation", "behavior": "Folded"}}`, `"Folded"`},
		"prepend scheme":   {`{` + model + `, "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"}}`, `"last"`},
		"lookbehind":       {split(`(?<=a)b`), "(?<="},
		"backreference":    {split(`(a)\1`), `\1`},
		"possessive":       {split(`a++b`), "possessive"},
		"anchor":           {split(`^a`), "anchor"},
		"folded group":     {split(`(?i:a)`), "(?i:"},
		"script":           {split(`\p{Han}`), "Han"},
		"nested class":     {split(`[a[b]]`), "class in a class"},
		"dropout":          {`{"model": {"type": "BPE", "dropout": 0.1, "vocab": {}, "merges": []}}`, "dropout"},
		"merge":            {`{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}`, "merge 0"},
		"merge of three":   {`{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b c"]}}`, "not two tokens"},
		"unknown token":    {`{"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"a": 0}}}`, `"[UNK]"`},
		"unk_id":           {`{"model": {"type": "Unigram", "unk_id": 2, "vocab": [["a", 0]]}}`, "unk_id is 2"},
		"negative id":      {`{"model": {"type": "WordLevel", "unk_token": "u", "vocab": {"u": -1}}}`, "id -1"},
		"sparse ids":       {`{"model": {"type": "WordLevel", "unk_token": "u", "vocab": {"u": 2000000000}}}`, "largest id is 2000000000"},
		"template":         {`{` + model + `, "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}], "pair": [], "special_tokens": {}}}`, `"[X]"`},
		"template text":    {`{` + model + `, "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}], "pair": [], "special_tokens": {}}}`, `"B"`},
		"charsmap":         {`{` + model + `, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}}`, "the trie should take 4294967295 of 0"},
		"truncation":       {`{` + model + `, "truncation": {"max_length": 3, "strategy": "Middle", "stride": 0}}`, `"Middle"`},
		"added twice":      {`{` + model + `, "normalizer": {"type": "Lowercase"}, "added_tokens": [{"id": 2, "content": "X", "normalized": true}, {"id": 3, "content": "x", "normalized": true}]}`, "another added token"},
		"not JSON":         {`{`, "unexpected EOF"},
		"not UTF-8":        {"{\"\xff\": 1}", "UTF-8"},
		"number for model": {`{"model": 3}`, "model"},
	} {
		_, err := Parse([]byte(c.definition))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
		switch name {
		case "model", "normalizer", "pre-tokenizer", "post-processor", "decoder", "version", "dropout", "anchor":
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s: %v is not ErrUnsupported", name, err)
			}
		}
	}
}

// split is a tokenizer that splits by a regular expression.
func split(pattern string) string {
	quoted, _ := json.Marshal(pattern)
	return `{"model": {"type": "WordLevel", "unk_token": "u", "vocab": {"u": 0}}, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": ` +
		string(quoted) + `}, "behavior": "Isolated", "invert": false}}`
}

func TestEncodeRefuses(t *testing.T) {
	tok := synthetic(t, "gpt2")
	if _, err := tok.Encode("ab\xffc", EncodeOptions{}); err == nil || !strings.Contains(err.Error(), "byte 2") {
		t.Errorf("invalid UTF-8: %v", err)
	}
	if _, err := tok.Decode([]int32{1 << 20}, false); err == nil || !strings.Contains(err.Error(), "id 1048576 at 0") {
		t.Errorf("an id out of range: %v", err)
	}
	noUnk := mustParse(t, `{"model": {"type": "Unigram", "unk_id": null, "vocab": [["a", -1]]}}`)
	if _, err := noUnk.Encode("b", EncodeOptions{}); err == nil || !strings.Contains(err.Error(), "unk_id") {
		t.Errorf("no unknown token: %v", err)
	}
}

// TestSpecialFlags marks what is structure and nothing else.
func TestSpecialFlags(t *testing.T) {
	tok := synthetic(t, "wordpiece")
	e, err := tok.Encode("tokens [MASK] 鬱", EncodeOptions{AddSpecial: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, token := range e.Tokens {
		if want := token == "[CLS]" || token == "[MASK]" || token == "[SEP]"; e.Special[i] != want {
			t.Errorf("%s: special is %t", token, e.Special[i])
		}
	}
	if !strings.Contains(strings.Join(e.Tokens, " "), "[CLS] token") || !strings.HasSuffix(strings.Join(e.Tokens, " "), "[UNK] [SEP]") {
		t.Errorf("tokens %v", e.Tokens)
	}
}

// TestLookup relates tokens and ids.
func TestLookup(t *testing.T) {
	tok := synthetic(t, "gpt2")
	for id := range int32(tok.VocabSize()) {
		token, ok := tok.Token(id)
		if !ok {
			t.Fatalf("id %d of %d has no token", id, tok.VocabSize())
		}
		if back, ok := tok.ID(token); !ok || back != id {
			t.Errorf("%q: id %d, then %d", token, id, back)
		}
	}
	if _, ok := tok.Token(int32(tok.VocabSize())); ok {
		t.Error("a token beyond the vocabulary")
	}
	if _, ok := tok.Token(-1); ok {
		t.Error("a token with id -1")
	}
	if a, b := tok.Digest(), synthetic(t, "roberta").Digest(); len(a) != 64 || a == b {
		t.Errorf("digests %s and %s", a, b)
	}
}

// TestConcurrent encodes from many goroutines, which share the word cache.
func TestConcurrent(t *testing.T) {
	tok := synthetic(t, "gpt2")
	rows := readRows(t, filepath.Join("testdata", "synthetic", "gpt2.jsonl"))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for _, r := range rows {
				var want []int32
				if err := json.Unmarshal(r.fields["ids"], &want); err != nil {
					t.Error(err)
				}
				e, err := tok.Encode(r.Text, EncodeOptions{AddSpecial: true, Pair: r.Pair})
				if err != nil || len(e.IDs) != len(want) || len(want) > 0 && !reflect.DeepEqual(e.IDs, want) {
					t.Errorf("%q: %v, %v", r.Text, e.IDs, err)
				}
			}
		})
	}
	group.Wait()
}

// TestLongWords merges words beyond what the short path and the cache take, where both paths must agree.
func TestLongWords(t *testing.T) {
	m := synthetic(t, "gpt2").model.(*cachedModel).model.(*bpe)
	word := strings.Repeat("tokenizerbananacatsxyzzy", 400)
	symbols := m.split(word)
	heap := m.mergeAll(append([]symbol(nil), symbols...))
	// Merge by definition: the best pair of all, leftmost first, one at a time.
	naive := append([]symbol(nil), symbols...)
	for {
		best, at := merge{rank: 1 << 30}, -1
		for i := 0; i+1 < len(naive); i++ {
			if to, ok := m.merges[pair{naive[i].id, naive[i+1].id}]; ok && to.rank < best.rank {
				best, at = to, i
			}
		}
		if at < 0 {
			break
		}
		naive[at] = symbol{best.id, naive[at].size + naive[at+1].size}
		naive = append(naive[:at+1], naive[at+2:]...)
	}
	if !reflect.DeepEqual(heap, naive) {
		t.Fatalf("the heap gives %d symbols, the definition %d", len(heap), len(naive))
	}
}

// TestCacheIsBounded fills the word cache far beyond its size.
func TestCacheIsBounded(t *testing.T) {
	c := newCachedModel(&wordLevel{&vocabulary{}, 0})
	for i := range 2 * shardWords * len(c.shards) {
		if _, err := c.tokenize(strconv.Itoa(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("z", cachedBytes+1)
	if _, err := c.tokenize(long, nil); err != nil {
		t.Fatal(err)
	}
	total := 0
	for i := range c.shards {
		n := len(c.shards[i].words)
		if total += n; n > shardWords {
			t.Errorf("shard %d holds %d words", i, n)
		}
		if _, ok := c.shards[i].words[long]; ok {
			t.Error("a word that is too long was kept")
		}
	}
	if total == 0 {
		t.Error("nothing was kept")
	}
}

// TestUnigramIsBest compares Viterbi with all ways to cut a word.
func TestUnigramIsBest(t *testing.T) {
	m := synthetic(t, "unigram_plain").model.(*cachedModel).model.(*unigram)
	var best func(word string) float64
	best = func(word string) float64 {
		if word == "" {
			return 0
		}
		top := m.unkScore + best(word[1:])
		single := false
		for n := 1; n <= len(word); n++ {
			if id, ok := m.ids[word[:n]]; ok {
				single = single || n == 1
				score := m.scores[id] + best(word[n:])
				if n == 1 || score > top {
					top = score
				}
			}
		}
		return top
	}
	for _, word := range []string{"tokens", "tokenizer", "concepts", "x", "erasureing", "thecat"} {
		units, err := m.tokenize(word, nil)
		if err != nil {
			t.Fatal(err)
		}
		score := 0.0
		for _, u := range units {
			score += m.scores[u.id]
		}
		if want := best(word); score < want-1e-9 || score > want+1e-9 {
			t.Errorf("%s: score %v, the best is %v", word, score, want)
		}
	}
}
