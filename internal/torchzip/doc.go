// Package torchzip reads the checkpoints that torch.save writes (.pt, .pth, .bin since PyTorch 1.6): a zip archive with a
// pickle, data.pkl, and one member data/KEY for the bytes of each tensor storage. It also writes the plain ones: a
// dictionary of tensors.
//
// # Layout
//
//	NAME/data.pkl     the saved object as a pickle; a storage is a persistent id ("storage", type, KEY, device, elements)
//	NAME/byteorder    "little", or absent
//	NAME/data/KEY     the elements of a storage, uncompressed
//	NAME/version      and other members, which are not read
//
// # Safety
//
// A pickle is a program and may call anything. Here it is interpreted by a machine that knows only the instructions that
// build numbers, text, lists, tuples and dictionaries, and the few names that a tensor needs; any other instruction or
// name is an error that names it. Nothing is ever called and nothing is extracted: names of members are looked up in the
// archive's directory and are never paths of files. Sizes are checked against the file before anything is allocated
// or sliced, every storage against the archive's checksum, and the tree that comes out has no cycles and bounded size
// and depth, so that a caller may walk it.
//
// References: https://docs.python.org/3/library/pickletools.html and
// https://docs.pytorch.org/docs/stable/notes/serialization.html.
package torchzip
