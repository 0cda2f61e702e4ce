package token

import (
	"cmp"
	"fmt"
	"slices"
)

// ggufSPM builds the SentencePiece tokenizer of a GGUF file. SentencePiece's BPE has scores in the place of merges: of all
// neighbouring pieces whose concatenation is a token, the one with the best score is merged first, the leftmost of equals. That is
// byte-pair encoding whose merges are all ways to cut a token into two others, ranked by the token's score.
func (t *Tokenizer) ggufSPM(meta Metadata, types []int64) error {
	tokens := t.vocab.tokens
	scores, _ := meta.Floats("tokenizer.ggml.scores")
	if len(scores) != len(tokens) || len(types) != len(tokens) {
		return fmt.Errorf("token: gguf: a SentencePiece vocabulary of %d tokens with %d scores and %d types", len(tokens), len(scores), len(types))
	}
	// Control, unknown and byte tokens are never made of text.
	text := &vocabulary{ids: map[string]int32{}, tokens: tokens, used: t.vocab.used, size: len(tokens)}
	m := &bpe{vocabulary: text, merges: map[pair]merge{}, unk: -1, fuseUnk: true, byteFallback: true}
	for b := range m.bytes {
		m.bytes[b] = -1
	}
	for id, typ := range types {
		switch typ {
		case ggufControl, ggufUserDefined:
		case ggufUnknown:
			m.unk = int32(id)
		case ggufByte:
			if b, ok := namedByte(tokens[id]); ok {
				m.bytes[b] = int32(id)
			}
		default:
			if _, twice := text.ids[tokens[id]]; !twice {
				text.ids[tokens[id]] = int32(id)
			}
		}
	}
	ranks := rankByScore(scores)
	for token, id := range text.ids {
		for cut := range token {
			left, okLeft := text.ids[token[:cut]]
			right, okRight := text.ids[token[cut:]]
			if cut > 0 && okLeft && okRight {
				m.merges[pair{left, right}] = merge{ranks[id], id}
			}
		}
	}
	t.model = newCachedModel(m)
	lead := 0 // spaces that go before the text and come off again
	if prefix, said := meta.Bool("tokenizer.ggml.add_space_prefix"); prefix || !said {
		lead = 1
	}
	t.normalizer = &replace{pattern: literal(" "), content: "▁"}
	if lead > 0 {
		t.normalizer = normalizerSequence{prepend(" "), t.normalizer}
	}
	t.decoder = decoderSequence{&replace{pattern: literal("▁"), content: " "}, byteFallback{}, fuse{}, stripDecoder{" ", lead, 0}}
	return nil
}

// rankByScore gives the best score rank 0 and equal scores the same rank.
func rankByScore(scores []float64) []int32 {
	order := make([]int32, len(scores))
	for id := range order {
		order[id] = int32(id)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(scores[b], scores[a]) })
	ranks := make([]int32, len(scores))
	for i, id := range order {
		ranks[id] = int32(i)
		if i > 0 && scores[id] == scores[order[i-1]] {
			ranks[id] = ranks[order[i-1]]
		}
	}
	return ranks
}
