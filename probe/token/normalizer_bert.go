package token

// bertNormalizer is the text cleaning of BERT's basic tokenizer.
type bertNormalizer struct {
	CleanText    bool  `json:"clean_text"`
	ChineseChars bool  `json:"handle_chinese_chars"`
	StripAccents *bool `json:"strip_accents"` // nil: as Lowercase
	Lowercase    bool  `json:"lowercase"`
}

func (n *bertNormalizer) normalize(p piece) piece {
	if n.CleanText {
		p = p.filter(func(r rune) bool { return r != 0 && r != 0xFFFD && !isControl(r) })
		p = p.mapRunes(func(r rune) rune {
			if isSpace(r) {
				return ' '
			}
			return r
		})
	}
	if n.ChineseChars {
		p = spaceIdeographs(p)
	}
	accents := n.Lowercase
	if n.StripAccents != nil {
		accents = *n.StripAccents
	}
	if accents {
		p = nfd.normalize(p).filter(func(r rune) bool { return !isNonspacing(r) })
	}
	if n.Lowercase {
		p = lowercase{}.normalize(p)
	}
	return p
}

// spaceIdeographs puts a space on both sides of each CJK ideograph, so that each becomes a word.
func spaceIdeographs(p piece) piece {
	var w *rewriter
	for i, r := range p.text {
		ideograph := isIdeograph(r)
		if w == nil {
			if !ideograph {
				continue
			}
			w = newRewriter(p)
			w.keepTo(i)
		}
		if !ideograph {
			w.replace(r)
			continue
		}
		w.replace(' ')
		w.insert(r)
		w.insert(' ')
	}
	if w == nil {
		return p
	}
	return w.piece()
}

// isIdeograph lists the blocks that BERT calls Chinese characters: no kana, no hangul.
func isIdeograph(r rune) bool {
	switch {
	case r < 0x3400:
		return false
	case r <= 0x4DBF, 0x4E00 <= r && r <= 0x9FFF, 0xF900 <= r && r <= 0xFAFF, 0x20000 <= r && r <= 0x2A6DF,
		0x2A700 <= r && r <= 0x2B73F, 0x2B740 <= r && r <= 0x2B81F, 0x2B920 <= r && r <= 0x2CEAF, 0x2F800 <= r && r <= 0x2FA1F:
		return true
	}
	return false
}
