#!/usr/bin/env python3
"""Trains a small BPE model with sentencepiece 0.2 and prints its vocabulary, as a GGUF file holds it, with the ids that it gives.

    python3 make_spm.py > spm.json
"""
import io
import json
import os
import random
import sys

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
WORDS = "the cat sat on a mat and then the hat ran to the barn banana bandana anna aaaa aaaaa naïve café tokens tokenizer concept".split()
EXTRA = ["  ", "   ", "\n", "\t", "é", "日本語", "🙂", "\u0301", "1234", "!?", "x", "Z", "ａ", "<s>", "▁", "\u00a0", "<0x41>"]


def main():
    rng = random.Random(3)
    corpus = [" ".join(rng.choice(WORDS) for _ in range(8)) for _ in range(400)]
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=out, vocab_size=380, model_type="bpe", byte_fallback=True,
                                   normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True, minloglevel=2,
                                   hard_vocab_limit=False)
    proto = pb.ModelProto()
    proto.ParseFromString(out.getvalue())
    sp = spm.SentencePieceProcessor(model_proto=out.getvalue())
    rows = []
    for i in range(80):
        pool = WORDS + EXTRA if i % 2 else WORDS
        text = "".join(rng.choice(pool) + rng.choice(["", " "]) for _ in range(rng.choice([1, 2, 4, 9, 40])))
        if "<s>" in text:  # a control token: sentencepiece reads it as text, llama.cpp as the token
            text = text.replace("<s>", "")
        ids = sp.encode(text)
        rows.append({"text": text, "ids": ids, "decoded": sp.decode(ids)})
    json.dump({"tokens": [p.piece for p in proto.pieces], "scores": [p.score for p in proto.pieces], "types": [p.type for p in proto.pieces],
               "rows": rows}, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
