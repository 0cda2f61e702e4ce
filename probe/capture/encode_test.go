package capture

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/text"
	"loupe/probe/token"
)

func newTestEncoder(t *testing.T, maxLength int, change func(*Config)) (*encoder, error) {
	t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	return newEncoder(wordTokenizer(t, 40), &cfg, maxLength, 40)
}

// shape writes sequences as ids, with the specials in brackets.
func shape(seqs []sequence) []string {
	var out []string
	for _, s := range seqs {
		var b strings.Builder
		fmt.Fprintf(&b, "%d:", s.seq)
		for _, c := range s.cells {
			if c.special {
				fmt.Fprintf(&b, " [%d]", c.id)
			} else {
				fmt.Fprintf(&b, " %d@%d-%d", c.id, c.start, c.end)
			}
		}
		out = append(out, b.String())
	}
	return out
}

func TestSequences(t *testing.T) {
	const five = "w5 w6 é w8 w9" // 1 is [UNK]
	for _, tc := range []struct {
		name   string
		text   string
		length int
		change func(*Config)
		want   []string
		cut    bool
	}{
		{"whole", five, 7, nil, []string{"0: [2] 5@0-2 6@3-5 1@6-7 8@8-10 9@11-13 [3]"}, false},
		{"truncated", five, 5, nil, []string{"0: [2] 5@0-2 6@3-5 1@6-7 [3]"}, true},
		{"split", five, 4, func(c *Config) { c.Overflow = Split },
			[]string{"0: [2] 5@0-2 6@3-5 [3]", "1: [2] 1@6-7 8@8-10 [3]", "2: [2] 9@11-13 [3]"}, false},
		{"split without template", five, 4, func(c *Config) { c.Overflow, c.AddSpecial = Split, false },
			[]string{"0: 5@0-2 6@3-5 1@6-7 8@8-10", "1: 9@11-13"}, false},
		{"split that fits", "w5 w6", 4, func(c *Config) { c.Overflow = Split }, []string{"0: [2] 5@0-2 6@3-5 [3]"}, false},
		{"prepended", "w5 w6", 9, func(c *Config) { c.BOS, c.AddSpecial = BOSPrepend, false }, []string{"0: [4] 5@0-2 6@3-5"}, false},
		{"prepended before the template", "w5", 9, func(c *Config) { c.BOS = BOSPrepend }, []string{"0: [4] [2] 5@0-2 [3]"}, false},
		{"every piece has its BOS", "w5 w6 w7", 3, func(c *Config) { c.BOS, c.AddSpecial, c.Overflow = BOSPrepend, false, Split },
			[]string{"0: [4] 5@0-2 6@3-5", "1: [4] 7@6-8"}, false},
		{"no text", "", 9, nil, []string{"0: [2] [3]"}, false},
		{"no token", "", 9, func(c *Config) { c.AddSpecial = false }, nil, false},
		{"special token in the text", "w5 [SEP] w6", 9, nil, []string{"0: [2] 5@0-2 [3] 6@9-11 [3]"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := newTestEncoder(t, tc.length, tc.change)
			if err != nil {
				t.Fatal(err)
			}
			seqs, cut, err := e.sequences(text.Doc{Text: tc.text}, 3)
			if err != nil {
				t.Fatal(err)
			}
			if got := shape(seqs); !slices.Equal(got, tc.want) || cut != tc.cut {
				t.Errorf("got %q, cut %v\nwant %q, cut %v", got, cut, tc.want, tc.cut)
			}
			for _, s := range seqs {
				for _, c := range s.cells {
					if c.doc != 3 {
						t.Errorf("token %d is of document %d", c.id, c.doc)
					}
				}
			}
		})
	}
}

// TestTemplateMatchesTokenizer compares our template and truncation with the tokenizer's own, on a real tokenizer.
func TestTemplateMatchesTokenizer(t *testing.T) {
	tok, err := token.Load(graphtest.Model(t, "minilm"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	for _, length := range []int{3, 5, 16, 64} {
		e, err := newEncoder(tok, &cfg, length, tok.VocabSize())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"", "Hello", "Package fmt implements formatted I/O.", "naïve café 😀 unaffable, antidisestablishmentarianism", "[SEP] a [CLS]"} {
			want, err := tok.Encode(s, token.EncodeOptions{AddSpecial: true, MaxLen: length})
			if err != nil {
				t.Fatal(err)
			}
			seqs, _, err := e.sequences(text.Doc{Text: s}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := shape(seqs), shape([]sequence{{cells: cells(&want, 0, want.Len(), 0)}}); !slices.Equal(got, want) {
				t.Errorf("%q at most %d: got %q, the tokenizer %q", s, length, got, want)
			}
		}
	}
}

func TestEncoderErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		length int
		change func(*Config)
		text   string
		want   string
	}{
		{"no room", 2, nil, "", "max_length 2 leaves no room beside 2 special tokens"},
		{"too long", 4, func(c *Config) { c.Overflow = Refuse }, "w5 w6 w7", "document 9 (here): it has 3 tokens and a sequence holds 2 beside the template; set overflow"},
		{"not UTF-8", 9, nil, "w5 \xff", "document 9 (here): token: encode: the text is not valid UTF-8"},
		{"huge", 9, nil, strings.Repeat("w5 ", maxDocument/3+1), "document 9 (here): it has 8388609 bytes, more than 8388608; cut documents with corpus.doc_chars"},
		{"no chat template", 9, func(c *Config) { c.Chat = true }, "", "set chat to false"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := newTestEncoder(t, tc.length, tc.change)
			if err == nil {
				_, _, err = e.sequences(text.Doc{ID: 9, Source: "here", Text: tc.text}, 0)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	cfg := DefaultConfig()
	e, err := newEncoder(wordTokenizer(t, 40), &cfg, 9, 30)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.sequences(text.Doc{ID: 9, Source: "here", Text: "w5 w35"}, 0); err == nil || !strings.Contains(err.Error(), "document 9 (here): token id 35 is outside the model's vocabulary of 30") {
		t.Errorf("got %v", err)
	}
}
