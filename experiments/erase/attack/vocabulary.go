package attack

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/internal/gemm"
)

// VocabularyConfig says which tokens an attack may use.
type VocabularyConfig struct {
	Pieces bool `json:"pieces" doc:"continuations of words too"`
	Names  bool `json:"names" doc:"the tokens of the concept's own name and synonyms too"`
}

// vocabulary is the ids that an attack may use, ascending: no special and no unused token.
func (s *search) vocabulary(c VocabularyConfig) ([]int32, error) {
	tok := s.e.Tokenizer
	banned := make(map[int32]bool)
	if !c.Names {
		for _, name := range append([]string{s.g.Target.Name}, s.g.Target.Synonyms...) {
			t, err := s.e.Tokens(name)
			if err != nil {
				return nil, err
			}
			for i, id := range t.IDs {
				banned[id] = banned[id] || !t.Special[i]
			}
		}
	}
	special := tok.Specials()
	for _, id := range []int32{special.BOS, special.EOS, special.PAD, special.UNK, special.CLS, special.SEP, special.MASK} {
		banned[id] = true
	}
	byteLevel, suffix := conventions(func(i int32) (string, bool) { return tok.Token(i) }, int32(tok.VocabSize()))
	var out []int32
	for id := range int32(min(tok.VocabSize(), s.e.Model.Spec.Vocab)) {
		word, ok := tok.Token(id)
		if !ok || banned[id] || isSpecial(word) {
			continue
		}
		if !c.Pieces && isPiece(word, byteLevel, suffix) {
			continue
		}
		out = append(out, id)
	}
	if len(out) == 0 {
		return nil, errors.New("attack: the tokenizer has no token that an attack may use; allow pieces")
	}
	return out, nil
}

// isSpecial tells tokens such as [MASK], <s>, <|endoftext|> and [unused12].
func isSpecial(word string) bool {
	return len(word) > 2 && (word[0] == '[' && word[len(word)-1] == ']' || word[0] == '<' && word[len(word)-1] == '>')
}

// conventions tells how a vocabulary marks words: by a sign in front (byte-level BPE, SentencePiece) or </w> behind.
func conventions(token func(int32) (string, bool), size int32) (front, behind bool) {
	for id := range size {
		word, _ := token(id)
		front = front || strings.HasPrefix(word, "Ġ") || strings.HasPrefix(word, "▁")
		behind = behind || strings.HasSuffix(word, "</w>")
	}
	return front, behind
}

// isPiece tells tokens that continue a word.
func isPiece(word string, front, behind bool) bool {
	switch {
	case behind:
		return !strings.HasSuffix(word, "</w>")
	case front:
		return !strings.HasPrefix(word, "Ġ") && !strings.HasPrefix(word, "▁")
	}
	return strings.HasPrefix(word, "##")
}

// draw returns k ids of the list at random.
func (s *search) draw(ids []int32, k int) []int32 {
	out := make([]int32, k)
	for i := range out {
		out[i] = ids[s.rng.IntN(len(ids))]
	}
	return out
}

// table is a surface's word embeddings of ids, [n, d] each, as they are and at length 1.
type table struct {
	ids        []int32
	rows, unit *mat.Dense
}

func (s *search) table(on *encoder.Variant, c VocabularyConfig) (*table, error) {
	ids, err := s.vocabulary(c)
	if err != nil {
		return nil, err
	}
	rows, err := s.words(on).WordEmbeddings(ids)
	if err != nil {
		return nil, err
	}
	t := &table{ids: ids, rows: rows, unit: mat.DenseCopyOf(rows)}
	for i := range ids {
		row := t.unit.RawRowView(i)
		if norm := floats.Norm(row, 2); norm > 0 {
			floats.Scale(1/norm, row)
		}
	}
	return t, nil
}

// nearest are the places in the table of the largest cosine with each row of x [n, d]; of equal ones the first.
func (t *table) nearest(x *mat.Dense) []int {
	n, _ := x.Dims()
	scores := products(x, t.unit)
	out := make([]int, n)
	for i := range out {
		out[i] = floats.MaxIdx(scores.RawRowView(i))
	}
	return out
}

// products is x y' for x [n, d] and y [m, d].
func products(x, y *mat.Dense) *mat.Dense {
	n, _ := x.Dims()
	m, _ := y.Dims()
	out := mat.NewDense(n, m, nil)
	gemm.AddMulTrans(out.RawMatrix(), x.RawMatrix(), y.RawMatrix())
	return out
}

// checkAtLeast refuses counts below 1; pairs of name and value.
func checkAtLeast(pairs ...any) error {
	for pair := range slices.Chunk(pairs, 2) {
		if v := pair[1].(int); v < 1 {
			return fmt.Errorf("%s is %d; use 1 or more", pair[0], v)
		}
	}
	return nil
}
