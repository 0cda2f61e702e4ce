// Package encoder runs text encoders as erasers, attacks and evaluations need them: texts to states, with edited weights or a hook
// between two layers, from words or from given word embeddings, and gradients of losses of the states back to the word embeddings.
//
// # Overview
//
//	e, err := encoder.New(engine, m, tokenizer, "")
//	states, err := e.States(ctx, variant, texts)     // final states of each text
//	x, err := e.Embed(ctx, variant, texts)           // one row a text
//
// A Variant is an encoder after an erasure; nil is the encoder as it is. Its hook sees one text at a time, without padding, and
// where it does not act the text keeps its states: the passes behind it are not run again.
//
// # Shapes
//
// T tokens of a text, special ones included; d the width of the residual stream. States are in float64; the encoder computes in
// float32.
//
// An Encoder may be used from one goroutine at a time.
package encoder
