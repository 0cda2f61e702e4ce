// Package arrowio reads and writes Arrow IPC files and writes Parquet. It is the only importer of the Arrow library,
// and its own types (Field, Schema, Table, File) are all that the rest of loupe sees.
//
// # Writing
//
// [Writer] makes uncompressed IPC files: little-endian, every buffer at a multiple of 64 bytes from the start of the
// file, no time, host or random value inside, so that equal rows give equal bytes. Columns are wrapped, not copied.
//
// # Reading
//
// [Open] maps a file and walks its metadata itself, since the library's reader copies every batch. Columns are slices
// of the map: no copy, no allocation that a length inside the file could inflate. Every offset and length is checked
// against the file before use. Files of other writers open too when they are uncompressed: the IPC file format and the
// stream format (Hugging Face datasets).
//
// # References
//
// Arrow columnar format 1.5, "Serialization and Interprocess Communication"; Schema.fbs, Message.fbs and File.fbs.
package arrowio
