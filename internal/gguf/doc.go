// Package gguf reads models in the GGUF format: metadata, the list of tensors, and their values as float32.
//
// # Layout of a file, version 2 or 3, little-endian
//
//	"GGUF", version uint32, tensor count uint64, metadata count uint64
//	metadata   key, value type uint32, value; a string is its length as uint64 and its bytes
//	tensors    name, rank uint32, dimensions uint64 (innermost first), type uint32, offset uint64
//	padding    to a multiple of general.alignment (32 when absent)
//	data       each tensor at its offset, itself a multiple of the alignment
//
// # Division of work
//
// Parsing and dequantisation are go-huggingface's. That library allocates by what a file claims, so Open first walks
// the header of the mapped file and checks every count, length, dimension and offset against the file's size
// (scan.go): a lying file gives an error that names the file and the key or tensor.
//
// # Shapes and names
//
// Shapes are row-major, the reverse of the file's dimensions: a linear layer is [out, in]. Names are ggml's
// (blk.0.attn_q.weight). Nothing here undoes the row permutation that converters apply to the query and key weights
// of llama models; that is the model loader's job.
//
// # Rounding
//
// A quantised weight is scale*q or scale*q+min in float32. On amd64 the product and the sum are rounded separately,
// as in the reference implementation, and values are equal bit for bit; where the compiler fuses them (arm64) the
// last bit can differ.
//
// Reference: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
package gguf
