// Package store keeps activations of a model on disk and gives them back fast.
//
// # Overview
//
// A store is a folder that [Create] and a [Writer] fill and [Open] reads:
//
//	manifest.json          what was captured from what, the list of shards with digests, and whether the store is whole
//	token/00000.arrow      one row a token: doc, pos, seq, segment, token, char_start, char_end, special, and the token sites
//	example/00000.arrow    one row a document: doc, pair, and the example sites (pooled activations, sequence-level values)
//	docs.arrow             doc, source, text, digest, split, group, and the label columns
//	moments/<site>/        counts, means, second and cross moments by token filter and class
//
// Shards are uncompressed Arrow IPC files that any Arrow reader opens. Nothing in a store holds a time, a host or a
// path outside it: equal runs give equal bytes, and a run that was killed and resumed equals an unbroken one.
//
// # Shapes
//
// n is a number of rows and d a site's width, the product of its shape. Site columns are [n, d], row by row.
//
// # Rows
//
// A row index counts token rows (or example rows) over all shards. Two stores with equal row digest (see
// [Store.Aligned]) hold the same tokens in the same rows, so that an index means the same in both.
package store
