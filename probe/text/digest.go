package text

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"maps"
	"slices"
)

// digester sums up documents. Every string is preceded by its length, so that different documents give different bytes.
type digester struct {
	hash hash.Hash
	buf  []byte
}

func newDigester() *digester { return &digester{hash: sha256.New()} }

func (s *digester) add(d Doc) {
	s.buf = binary.AppendVarint(s.buf[:0], d.ID)
	for _, field := range []string{d.Text, d.Split, d.Group} {
		s.string(field)
	}
	s.buf = binary.AppendUvarint(s.buf, uint64(len(d.Labels)))
	for _, k := range slices.Sorted(maps.Keys(d.Labels)) {
		s.string(k)
		s.string(d.Labels[k])
	}
	s.hash.Write(s.buf)
}

func (s *digester) string(v string) {
	s.buf = binary.AppendUvarint(s.buf, uint64(len(v)))
	s.buf = append(s.buf, v...)
}

func (s *digester) hex() string { return hex.EncodeToString(s.hash.Sum(nil)) }
