#!/usr/bin/env python3
"""Compiles a small character map with sentencepiece 0.2 and prints it in base64, as tokenizer.json holds it.

    python3 make_charsmap.py > charsmap.b64
"""
import base64
import io
import os
import tempfile

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb

RULES = {
    "\u00a0": " ", "\u2003": " ", "\t": " ", "\n": " ", "\r": "", "\u200b": "", "\ufeff": " ",
    "\ufb01": "fi", "\ufb02": "fl", "\u212b": "\u00c5", "\u212a": "K", "\u00bd": "1\u20442", "\u00b2": "2", "\u2460": "1", "\u2167": "VIII",
    "\u2026": "...", "\ufdfa": "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647", "e\u0301": "\u00e9", "a\u0308": "\u00e4", "o\u0323": "\u1ecd",
    "\u30ab\u3099": "\u30ac", "\uff76": "\u30ab", "\uff21": "A", "\uff41": "a", "\uff10": "0", "\u1112\u1161\u11ab": "\ud55c",
    "\U0001f44d\U0001f3fd": "+1", "\u00df": "ss", "\u0130": "i\u0307", "\u2014": "-", "\u00ab": "\"", "ab": "x",
}


def main():
    with tempfile.TemporaryDirectory() as tmp:
        rules = os.path.join(tmp, "rules.tsv")
        with open(rules, "w", encoding="utf-8") as fh:
            for source, target in RULES.items():
                code = lambda s: " ".join("%04X" % ord(c) for c in s)
                fh.write(code(source) + "\t" + code(target) + "\n")
        model = io.BytesIO()
        spm.SentencePieceTrainer.train(sentence_iterator=iter(["a b c d e f g h i j k"] * 50), model_writer=model, vocab_size=20,
                                       normalization_rule_tsv=rules, minloglevel=2, hard_vocab_limit=False)
        proto = pb.ModelProto()
        proto.ParseFromString(model.getvalue())
        print(base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode())


if __name__ == "__main__":
    main()
