#!/usr/bin/env python3
"""Prints, as JSON, the character classes and mappings that the installed `tokenizers` library (0.23.3) uses.

    python3 unicode_properties.py > properties.json     then: go run gen_unicode.go properties.json (in probe/token)
"""
import json

from tokenizers import Regex, normalizers, pre_tokenizers

POINTS = [c for c in range(1, 0x110000) if not 0xD800 <= c <= 0xDFFF]


def ranges(test):
    out = []
    for c in POINTS:
        if test(c):
            if out and out[-1][1] == c - 1:
                out[-1][1] = c
            else:
                out.append([c, c])
    return out


def regex_class(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    return ranges(lambda c: not split.pre_tokenize_str(chr(c)))


def isolated(pre_tokenizer):
    return ranges(lambda c: len(pre_tokenizer.pre_tokenize_str(chr(c) * 2)) == 2)


def removed(normalizer):
    return ranges(lambda c: normalizer.normalize_str(chr(c)) == "")


def mapping(normalizer):
    pairs = ((c, normalizer.normalize_str(chr(c))) for c in POINTS)
    return {str(c): [ord(x) for x in s] for c, s in pairs if s != chr(c)}


bert = lambda **on: normalizers.BertNormalizer(**{k: on.get(k, False) for k in (
    "clean_text", "handle_chinese_chars", "strip_accents", "lowercase")})
word = pre_tokenizers.Whitespace()
print(json.dumps({
    "letter": regex_class(r"\p{L}"),
    "number": regex_class(r"\p{N}"),
    "mark": regex_class(r"\p{M}"),
    "space": regex_class(r"\s"),
    "upper": regex_class(r"[\p{Lu}\p{Lt}]"),
    "lower": regex_class(r"\p{Ll}"),
    **{c: regex_class(r"\p{%s}" % c) for c in ("Lm", "Lo", "Nd", "P", "S")},
    "numeric": isolated(pre_tokenizers.Digits(individual_digits=True)),
    "punctuation": isolated(pre_tokenizers.Punctuation()),
    "word": ranges(lambda c: [x[1] for x in word.pre_tokenize_str("a" + chr(c))] == [(0, 2)]),
    "white_space": removed(normalizers.Strip()),
    "control": removed(bert(clean_text=True)),
    "nonspacing": removed(bert(strip_accents=True)),
    "combining": removed(normalizers.StripAccents()),
    "lowercase": mapping(normalizers.Lowercase()),
    "nfd": mapping(normalizers.NFD()),
    "nfkd": mapping(normalizers.NFKD()),
}))
