// Package npy reads and writes NumPy's array files: .npy, and .npz archives of them for reading.
//
// # Layout of a .npy file
//
//	"\x93NUMPY", version (1.0, 2.0 or 3.0), length of the header as uint16 (1.0) or uint32
//	header     a Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, padded with spaces, then "\n"
//	data       the values, in C order (the last index runs fastest) or Fortran order
//
// Read returns C order always. Little-endian floats of 16, 32 and 64 bits, integers of 8 to 64 bits, signed or not,
// and booleans are read; big-endian, complex, text, object and structured arrays are refused. Object arrays are
// pickles, which can run code: nothing here ever unpickles.
//
// # Why not the library's reader
//
// GoMLX has core/tensors/numpy. It allocates by the shape that a header claims before it knows the file's size,
// panics on negative dimensions, and finds the header's fields by regular expressions anywhere in the text. Files of
// others need a parser that cannot be led astray; this one is checked by fuzzing.
//
// Reference: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
package npy
