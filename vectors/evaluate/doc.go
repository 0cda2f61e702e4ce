// Package evaluate measures what an edit costs a model: perplexity on text that has nothing to do with it, multiple choice by
// log-likelihood, and drift of sentence embeddings, each before and after, with intervals over texts or questions.
//
// An edit is a run-time edit (an eraser or a steering vector at a site), other weights of the same architecture, or both. The
// model as it is runs through the same code. Language models have perplexity and multiple choice, sentence encoders drift.
package evaluate
