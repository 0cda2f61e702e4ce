// Package bottleneck classifies texts through named concepts: an encoder's embedding becomes one score a concept, and a small
// head reads the scores alone, so that each decision can be told, and changed, in terms of the concepts.
//
// # Overview
//
//   - Scores: FitScorer turns embeddings into standardised similarities to the concepts of a Bank, without labels.
//   - Heads: FitPostHoc (a sparse linear head, with a residual where it is asked for), MatrixSearch (no training),
//     FitSparse (a concept layer and a head trained together: l1, gumbel, contrastive, gates).
//   - Choice and vote: ChooseDPP (greedy determinantal point process), SoftTrim (concepts of a class weighted by how far they
//     lie from the median).
//   - Inspection: Contributions, KeepTop and DropTop (which concepts carry a decision), Intervention (concepts set to their true
//     values), Encoder with LeaveOneOut and IntegratedGradients, and Audit (do a concept's words carry its score?).
//
// A head's accuracy says nothing of the names: random directions in place of concepts read nearly as well once there are many.
// Hold every number against RandomBank, ShuffleNames and a linear probe of the embeddings.
//
// # Shapes
//
// n texts, d embedding width, m concepts, k classes, t tokens. Embeddings are [n, d], scores [n, m], logits [n, k], all float64;
// labels y are [n], 0 to k-1. Inputs are never modified and never kept, but for a Bank in its Scorer.
//
// # Errors
//
// Inputs are checked for shape, NaN and Inf, and labels for classes. Errors wrap vectors.ErrShape, ErrNotFinite, ErrClasses,
// ErrSingular, ErrArgument, ErrNotConverged, or a context's error.
//
// # References
//
//   - Koh et al., arXiv:2007.04612 (bottlenecks, interventions). Yuksekgonul et al., arXiv:2205.15480 (post-hoc, residual).
//     Oikarinen et al., arXiv:2304.06129 (label-free scores). Mahinpei et al., arXiv:2106.13314 (leakage).
//   - Semenov et al., arXiv:2404.03323 (sparse concept layers, concept matrix search). Louizos et al., arXiv:1712.01312
//     (hard concrete gates).
//   - Chen et al., arXiv:1709.05135 (greedy maximum of a determinantal point process by Cholesky updates).
//   - Furby et al., arXiv:2402.00912 (semantically meaningful inputs). Sundararajan et al., arXiv:1703.01365 (integrated
//     gradients).
package bottleneck
