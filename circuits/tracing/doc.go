// Package tracing makes attribution graphs: which features of which layer and position made a model say what it said.
//
// # Overview
//
//	dictionary, err := tracing.Transcoders(m.Spec, saes)                 // or CrossLayer, Autoencoders
//	tracer, err := tracing.New(ctx, engine, m, dictionary)
//	run, err := tracer.Trace(ctx, tokens, tracing.DefaultConfig())
//	pruned, err := run.Graph.Prune(tracing.DefaultPruning())
//	file, err := tracing.NewFile(run.Graph, pruned, tracing.Naming{Slug: "capital", Scan: "gpt2", Tokens: words})
//	err = file.Write(w)
//
// For one prompt the model is replaced by one that is linear in its features (Ameisen et al., Circuit Tracing, Transformer
// Circuits 2025): attention patterns and the divisors of norms are held at this prompt's values, and what a dictionary
// reconstructs is replaced by its active features and an error that is held too. A[target, source] is what the source adds to
// the target's pre-activation (of a feature) or to its logit less the mean over the vocabulary. With the row's bias, which
// collects what biases and positions add, the sources of a row sum to its target.
//
// Patterns are held, not explained: what a graph leaves out is why a head looked where it looked.
//
// # Shapes
//
// t positions, d residual width, n nodes, r rows (targets). Nodes are, in order, features by (layer, position, index), errors
// by (layer, position), tokens and logits; rows are the features, then the logits.
//
// # References
//
//   - Ameisen et al., Circuit Tracing: Revealing Computational Graphs in Language Models. Transformer Circuits 2025.
//   - Dunefsky et al., arXiv:2406.11944 (transcoders). Marks et al., arXiv:2403.19647 (autoencoders' features, MLPs by their gradient).
package tracing
