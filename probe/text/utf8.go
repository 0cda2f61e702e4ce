package text

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const bom = "\xef\xbb\xbf" // byte order mark of UTF-8

// clean returns b as a valid string. where names the file and offset is b's place in it.
func (c CorpusConfig) clean(b []byte, where string, offset int64) (string, error) {
	if utf8.Valid(b) {
		return string(b), nil
	}
	if c.InvalidUTF8 == "replace" {
		return strings.ToValidUTF8(string(b), string(utf8.RuneError)), nil
	}
	at := invalidAt(b)
	return "", fmt.Errorf("text: %s: byte %d (0x%02x) is not UTF-8; convert the file, or set invalid_utf8: replace", where, offset+int64(at), b[at])
}

// invalidAt is the offset of the first byte that is not UTF-8.
func invalidAt(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}
