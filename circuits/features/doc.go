// Package features finds circuits whose nodes are features: latents of sparse autoencoders, or any directions with coefficients, at several
// sites of a model at once, and what they leave of each site, its error (sparse feature circuits; Marks et al., arXiv:2403.19647).
//
// A Dictionary writes a site's value as x = sum_i f_i(x) w_i + e(x) + constant. With m the loss, f_i' and e' the values on the corrupted
// input, the effect of a feature at a place is (f_i' - f_i) dm/df_i, where dm/df_i is w_i . dm/dx, and that of the error is (e' - e) . dm/dx.
//
// Shapes: b rows, t positions, d width of a site, n features. A place is a row and a position, numbered row*t + position.
package features
