// Package matmul has the two products of a sparse autoencoder's training step on the host: a dense one by tiles and a
// sparse one by rows.
//
// # Overview
//
// [Tile] gives TileRows x TileCols elements of X Wᵀ, so that the caller can use them while they lie in the cache and never
// holds the whole product. Both factors are packed into panels by [Pack]: X, [n, d], into panels of [TileRows] rows and W,
// [f, d], into panels of [TileCols]. A loop over the panels of W outside and over some panels of X inside keeps a panel of
// W in the first two levels of the cache. An element is a sum over d in order, so that it does not depend on the tile that
// it is part of. With AVX-512 each product is added without a rounding of its own, elsewhere with one: the two differ by
// rounding.
//
// [AddRows] adds some rows of a matrix, each times a factor. Its two forms give the same bytes.
package matmul
