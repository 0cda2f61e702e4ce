package conceptincongruence

import (
	"fmt"

	"loupe/internal/lab"
	"loupe/probe/token"
)

// single is the id of a word that is one token.
func single(l *lab.Lab, word string) (int, error) {
	e, err := l.Tokenizer.Encode(word, token.EncodeOptions{})
	if err != nil {
		return 0, err
	}
	if e.Len() != 1 {
		return 0, fmt.Errorf("%q is %d tokens of model %s; the answers must be one token each", word, e.Len(), l.Model.Name)
	}
	return int(e.IDs[0]), nil
}
