#!/usr/bin/env python3
"""Makes small tokenizers and the rows that Hugging Face `tokenizers` (0.23.3) gives for random text, in the form of the shared goldens.

    python3 make_rows.py --out synthetic --rows 18                          what is stored here
    python3 make_rows.py --out DIR --rows 3000 --seed 7                     a longer run; add NAME.tokenizer.json with --also NAME=FILE
    (then LOUPE_TOKEN_ROWS=DIR go test ./probe/token -run Synthetic)

Texts and vocabularies are generated from the seed. charsmap.b64 is a small character map compiled by sentencepiece 0.2
(make_charsmap.py).
"""
import argparse
import json
import os
import random

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers)

HERE = os.path.dirname(os.path.abspath(__file__))
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"|\s+(?!\S)|\s+"
PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+" + TAIL,
    "llama3": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+" + TAIL,
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]" + TAIL,
    "qwen2": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+" + TAIL,
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + "?"
             r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?"
             r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+" + TAIL,
    # Not among the hand-written scanners: read as regular expressions.
    "tekken": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
              r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
              r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+" + TAIL,
    "marks": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+" + TAIL,
    "punct": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+" + TAIL,
    "classes": r"\w+|\d{2,3}?|[^\w\s]|\S|\u00e9|\p{Nd}",
}
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", " \n ", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\v", "\f", "\u1680", " " * 9]
WORDS = ["the", "Hello", "WORLD", "cats", "don", "it", "we", "THEY", "naïve", "café", "Ångström", "straße", "İstanbul", "ǅ", "ﬁne", "x",
         "concept", "erasure", "token", "tokens", "tokenizer", "ΣΑΣ", "σας", "привет", "мир", "שלום", "مرحبا", "नमस्ते", "ไทย", "日本語",
         "漢字", "カタカナ", "한국어", "각", "ㄱㅏ", "ﾊﾝｶｸ", "𝔘𝔫𝔦", "Ⅷ", "½", "²", "①", "ª", "ʰ", "ß", "ſ", "K", "Å", "ﷺ"]
TAILS = ["'s", "'T", "'re", "'VE", "'ll", "'LL", "'d", "'M", "n't", "'ſ", "''", "'x", "’s"]
DIGITS = ["0", "7", "12", "123", "1234", "3.14", "1,000", "٣٤٥", "१२", "𝟘𝟙", "Ⅻ", "1²", "2026", "000000"]
MARKS = ["\u0301", "\u0323", "\u0308\u0301", "\u0345", "\u093c", "\u0e33", "\u20dd", "\u3099", "\u0f71\u0f72", "\u1ac1", "\u0898", "\u1e08f"]
EMOJI = ["🙂", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "❤️", "🏴‍☠️", "\u200d", "\ufe0f"]
CONTROLS = ["\x00", "\x01", "\x07", "\x1b", "\x7f", "\u200b", "\ufeff", "\u202e", "\ufffd", "\u00ad", "\ue000", "\U000f0000", "\U0010ffff"]
PUNCT = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "—", "«", "。", "¿", "--", "//", "\\n", "▁", "##", "</w>"]
SPECIALS = ["<s>", "</s>", "<unk>", "<pad>", "[CLS]", "[MASK]", "[SEP]", "[UNK]", "<|endoftext|>", "<|startoftext|>", "<|im_start|>", "<|im_end|>",
            "<mask>", "  <mask> ", "<one>", "<One>", "<two>", "Word", "word", "<0x41>", "<|x|>", "<|begin_of_text|>"]


def any_char(rng):
    while True:
        c = rng.choice([rng.randrange(0x80), rng.randrange(0x80, 0x800), rng.randrange(0x800, 0x10000), rng.randrange(0x10000, 0x20000),
                        rng.randrange(0x110000), rng.randrange(0xAC00, 0xD7A4), rng.randrange(0x1100, 0x1200), rng.randrange(0x300, 0x370)])
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def random_text(rng):
    kinds = [(SPACES, 6), (WORDS, 6), (TAILS, 2), (DIGITS, 2), (MARKS, 2), (EMOJI, 1), (CONTROLS, 1), (PUNCT, 3), (SPECIALS, 1), (None, 3)]
    picked = rng.choices([k for k, _ in kinds], [w for _, w in kinds], k=rng.choice([0, 1, 2, 3, 5, 8, 13, 30]))
    return "".join(any_char(rng) if k is None else rng.choice(k) for k in picked)


def corpus(rng):
    stems = ["".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randrange(2, 8))) for _ in range(60)] + WORDS
    for _ in range(400):
        yield " ".join(rng.choice(stems) + rng.choice(["", "s", "ing", "'s", "123", "."]) for _ in range(12))


def train(model, trainer, rng, normalizer=None, pre=None):
    tok = Tokenizer(model)
    if normalizer:
        tok.normalizer = normalizer
    if pre:
        tok.pre_tokenizer = pre
    tok.train_from_iterator(list(corpus(rng)), trainer)
    return tok


def bpe(rng, pre, size=420, **kw):
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=kw.pop("special", []))
    return train(models.BPE(**kw.pop("model", {})), trainer, rng, pre=pre, **kw)


def byte_split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated", False),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def edit(tok, **changes):
    d = json.loads(tok.to_str())
    for key, value in changes.items():
        part, _, field = key.partition("__")
        if field:
            d[part][field] = value
        else:
            d[part] = value
    return Tokenizer.from_str(json.dumps(d))


def spm_pieces(rng, byte_fallback):
    """A vocabulary as SentencePiece makes it: specials, bytes, then pieces, with merges in order of score."""
    tok = train(models.BPE(unk_token="<unk>", byte_fallback=byte_fallback, fuse_unk=True),
                trainers.BpeTrainer(vocab_size=700, show_progress=False, limit_alphabet=60,
                                    special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]), rng,
                normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))
    return edit(tok, added_tokens=[t for t in json.loads(tok.to_str())["added_tokens"] if t["id"] < 3])


def build(rng):
    out = {}
    tok = bpe(rng, pre_tokenizers.ByteLevel(add_prefix_space=True), special=["<|endoftext|>"])
    tok.post_processor, tok.decoder = processors.ByteLevel(trim_offsets=True, add_prefix_space=True), decoders.ByteLevel()
    tok.add_tokens([AddedToken("<one>", single_word=True), AddedToken("<two>", lstrip=True, rstrip=True), "Word"])
    out["gpt2"] = tok
    tok = bpe(rng, byte_split(PATTERNS["gpt2"]), special=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tok.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    out["roberta"] = tok
    tok = bpe(rng, byte_split(PATTERNS["llama3"]), special=["<|begin_of_text|>", "<|im_start|>", "<|im_end|>"])
    tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1", special_tokens=[("<|begin_of_text|>", 0)])])
    tok.decoder = decoders.ByteLevel()
    out["llama3"] = edit(tok, model__ignore_merges=True)
    for name in ("cl100k", "qwen2", "o200k", "tekken", "marks", "punct"):
        tok = bpe(rng, byte_split(PATTERNS[name]), size=330, special=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
        tok.decoder = decoders.ByteLevel()
        if name in ("qwen2", "marks"):
            tok.normalizer = normalizers.NFC()
        out[name] = tok
    tok = train(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"), trainers.BpeTrainer(
        vocab_size=300, show_progress=False, limit_alphabet=70, end_of_word_suffix="</w>", special_tokens=["<unk>", "<pad>"]), rng,
        normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(), normalizers.Lowercase()]),
        pre=pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Punctuation("contiguous")]))
    tok.decoder = decoders.BPEDecoder()
    out["suffix"] = tok
    tok = train(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=True), trainers.BpeTrainer(
        vocab_size=260, show_progress=False, limit_alphabet=50, continuing_subword_prefix="##", special_tokens=["<unk>"]), rng,
        pre=pre_tokenizers.Whitespace())
    tok.decoder = decoders.WordPiece(prefix="##")
    out["prefix"] = tok
    tok = spm_pieces(rng, True)
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)])
    out["spm_bpe"] = tok
    tok = spm_pieces(rng, False)
    tok.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tok.normalizer = normalizers.Replace(Regex(r"\s{2,}|[aeiou]'"), "▁")
    out["gemma"] = tok
    unigram = lambda **kw: trainers.UnigramTrainer(vocab_size=320, show_progress=False, unk_token="<unk>", special_tokens=["<pad>", "</s>", "<unk>"], **kw)
    charsmap = normalizers.Precompiled(__import__("base64").b64decode(open(os.path.join(HERE, "charsmap.b64")).read()))
    tok = train(models.Unigram(), unigram(), rng, pre=pre_tokenizers.Metaspace())
    tok.normalizer = normalizers.Sequence([charsmap, normalizers.Replace(Regex(" {2,}"), " ")])
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tok.decoder = decoders.Metaspace()
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    out["unigram_t5"] = tok
    tok = train(models.Unigram(), unigram(), rng, normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Nmt()]),
                pre=pre_tokenizers.Metaspace(prepend_scheme="first"))
    tok.decoder = decoders.Metaspace(prepend_scheme="first")
    tok.add_tokens([AddedToken("word", single_word=True, normalized=True), AddedToken("<mask>", lstrip=True)])
    vocab = json.loads(tok.to_str())["model"]["vocab"]
    out["unigram_bytes"] = edit(tok, model__vocab=vocab + [["<0x%02X>" % b, -20.0 - b / 256] for b in range(256)], model__byte_fallback=True)
    tok = train(models.Unigram(), unigram(), rng, normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]))
    out["unigram_plain"] = tok
    tok = train(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=12), trainers.WordPieceTrainer(
        vocab_size=300, show_progress=False, limit_alphabet=60, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]), rng,
        normalizer=normalizers.BertNormalizer(), pre=pre_tokenizers.BertPreTokenizer())
    tok.decoder = decoders.WordPiece()
    tok.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tok.add_tokens([AddedToken("<One>", normalized=True), AddedToken("Café", normalized=True, single_word=True)])
    out["wordpiece"] = tok
    tok = Tokenizer.from_str(tok.to_str())
    tok.normalizer = normalizers.BertNormalizer(clean_text=False, strip_accents=True, lowercase=False)
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation("merged_with_next"), pre_tokenizers.CharDelimiterSplit(" "),
                                                 pre_tokenizers.Digits(individual_digits=True)])
    out["wordpiece_cased"] = tok
    tok = train(models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=200, show_progress=False, special_tokens=["<unk>"]), rng,
                normalizer=normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents()]), pre=pre_tokenizers.Split(Regex(PATTERNS["classes"]), "removed", invert=True))
    out["wordlevel"] = tok
    tok = bpe(rng, pre_tokenizers.ByteLevel(add_prefix_space=False), special=["<|endoftext|>"])
    tok.normalizer = normalizers.ByteLevel()
    tok.pre_tokenizer = pre_tokenizers.Split("Ġ", "merged_with_next")
    tok.decoder = decoders.ByteLevel()
    out["bytes_first"] = tok
    return out


def rows(tok, texts, rng):
    for text in texts:
        for pair in (None, rng.choice(texts)) if rng.random() < 0.15 else (None,):
            e = tok.encode(text, pair)
            r = {"text": text}
            if pair is not None:
                r["pair"] = pair
            r |= {"ids": e.ids, "tokens": e.tokens, "offsets": e.offsets, "type_ids": e.type_ids}
            plain = tok.encode(text, pair, add_special_tokens=False).ids
            if plain != e.ids:
                r["ids_no_special"] = plain
            try:
                r["decoded"] = tok.decode(e.ids, skip_special_tokens=False)
                r["decoded_skip"] = tok.decode(e.ids, skip_special_tokens=True)
            except BaseException:  # BPEDecoder panics on an empty list
                r.pop("decoded", None)
            yield r


def truncations(toks, rng):
    """Every strategy and side on single texts and pairs of many lengths."""
    out = []
    for name in ("wordpiece", "llama3"):
        tok = Tokenizer.from_str(toks[name].to_str())
        texts = [" ".join(["tokens", "naïve", "x"][i % 3] for i in range(n)) for n in (0, 1, 3, 8)]
        for text in texts:
            for pair in [None] + texts:
                for strategy in ("longest_first", "only_first", "only_second"):
                    for side in ("right", "left"):
                        most = rng.choice([4, 5, 6, 9, 14])
                        tok.enable_truncation(most, strategy=strategy, direction=side)
                        case = {"tokenizer": name, "text": text, "pair": pair, "max_len": most, "strategy": strategy, "side": side}
                        try:
                            e = tok.encode(text, pair)
                            out.append(case | {"ids": e.ids, "offsets": e.offsets, "type_ids": e.type_ids})
                        except Exception as error:
                            out.append(case | {"error": str(error)})
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", default=os.path.join(HERE, "synthetic"))
    ap.add_argument("--rows", type=int, default=18)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--only", default="")
    ap.add_argument("--also", action="append", default=[], metavar="NAME=FILE")
    args = ap.parse_args()
    rng = random.Random(args.seed)
    os.makedirs(args.out, exist_ok=True)
    toks = build(rng)
    for also in args.also:
        name, _, path = also.partition("=")
        toks[name] = Tokenizer.from_file(path)
        toks[name].no_truncation()
        toks[name].no_padding()
    with open(os.path.join(args.out, "truncation.json"), "w") as fh:
        json.dump(truncations(toks, random.Random(args.seed)), fh, separators=(",", ":"))
    for name, tok in toks.items():
        if args.only and name not in args.only.split(","):
            continue
        texts = ["", " ", "a", "Hello World"] + [random_text(rng) for _ in range(args.rows - 4)]
        with open(os.path.join(args.out, name + ".tokenizer.json"), "w", encoding="utf-8") as fh:
            json.dump(json.loads(tok.to_str()), fh, ensure_ascii=False, separators=(",", ":"))
        with open(os.path.join(args.out, name + ".jsonl"), "w", encoding="utf-8") as fh:
            for r in rows(tok, texts, rng):
                fh.write(json.dumps(r, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
