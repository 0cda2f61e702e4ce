// Package capture runs a model over a corpus and writes the activations of chosen sites to an activation store.
//
// # Overview
//
// [Open] loads what a [Config] names, [Capture.Plan] says what a capture would cost, and [Capture.Run] does it:
//
//	corpus -> documents -> tokens -> sequences -> batches -> one forward pass with all sites -> store
//
// Three things go on at once: the next window of documents is tokenised, a batch is computed, and the last batch's
// rows are handed to the store, whose own goroutine writes them. What is between two stages is bounded, so that memory
// does not grow with the corpus.
//
// # Windows and batches
//
// A window is a run of documents with about Window batches' worth of tokens. Its sequences are sorted by length and
// cut into batches, longest first; a batch is padded to the smallest length bucket that holds its longest sequence,
// and has BatchTokens / bucket rows, so that every bucket is one compile. Windows depend on nothing before them: a
// capture that was killed goes on at the batch after the last one that is safe on disk, and ends in the same bytes.
//
// # Rows
//
// The store's columns doc, pos, seq, segment, token, char_start, char_end and special mean:
//
//	                 one document a sequence               packed
//	pos              position in the sequence               position in the pack
//	seq              piece of the document, from 0          number of the pack, from 0
//	segment          token type id                          ordinal of the document in the pack
//	char_start, end  the token's place in the document, in code points; 0, 0 for tokens that the text does not have
//	special          added by a template, or a special token written in the text
//
// # Packing
//
// Packing puts documents one after the other into rows of MaxLength tokens, cutting them at the ends. It resets
// nothing: positions count through the pack, and a token attends to everything before it in the pack, other documents
// included, as in the usual pre-training and in SAELens. The column segment keeps the boundaries. Encoders are not
// packed, because every token would see the documents around it.
package capture
