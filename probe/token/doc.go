// Package token turns text into the token ids of a model and back.
//
// # Overview
//
// A Tokenizer is read from Hugging Face's tokenizer.json or from a GGUF file (Load; FromGGUF for an open one). Encode runs
// the five stages of the format:
//
//	text -> added tokens and normalizer -> pre-tokenizer -> model (WordPiece, BPE, Unigram, WordLevel) -> post-processor
//
// and gives ids, token strings, and for each token the code points of the original text that it came from, equal to those of
// Hugging Face's `tokenizers` library. A stage, pattern or field that this package does not know is an error that names it: no
// part of a tokenizer is ever left out in silence.
//
// What is added around the text (BOS, EOS, template tokens), cut off or padded is asked for by EncodeOptions and Padding; the
// truncation and padding that a tokenizer.json ships are reported by Policy and applied only on request. A Policy can be
// recorded beside stored activations.
//
// # Offsets
//
// A piece of text carries for each of its bytes the range of original code points behind it, so that any chain of
// normalizers keeps its offsets. Splitting a piece copies nothing.
//
// # References
//
//   - The tokenizer.json format and its reference implementation: github.com/huggingface/tokenizers, version 0.23.
//   - BPE: arXiv:1508.07909. Unigram: arXiv:1804.10959. WordPiece: arXiv:1609.08144.
//   - Byte-level BPE and its split pattern: the GPT-2 release, github.com/openai/gpt-2, src/encoder.py.
package token
