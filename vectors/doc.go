// Package vectors finds, tests, removes and adds concept directions and subspaces of activations, on the host in
// float64, and hands what it finds to probe/model as run-time edits.
//
// # Overview
//
//   - Directions: DiffOfMeans, DiffOfMeansWhitened, FitPCA, CAA, PairPCA, MassMean, MassMeanCov, LDA, Ridge, Logistic,
//     Multinomial, SquaredHinge and FitCAV.
//   - Testing: TCAV with a permutation null; AdjustP for tables of tests.
//   - Removal: Ablation, LEACE, OracleLEACE, QuadraticFitter, INLP, MeanProjection, SAL, RandomProjection as their control.
//     What needs no labels later is an Eraser (thin matrices), applied to rows by Apply or inside a model by Eraser.Edit.
//   - Steering: Steering (add, ablate, both, at the old norm), Clamp, Gated by a Condition, all of them Interventions that Edits and
//     Steer put into a model with weights for each token (TokenMask); DoseResponse; ControlVector with its GGUF and .svec files.
//   - Decomposition: NMF, SobolIndices with SobolPair.
//   - Automatic concepts: an Extractor (KMeansExtractor, PCAExtractor, NMFExtractor, SemiNMFExtractor, SAEExtractor; AboutMean) finds Concepts;
//     an Importance (GradientImportance, IntegratedImportance, OcclusionImportance, SobolImportance, ShapleyImportance) says
//     how much each counts for a Score; Deletion, Insertion, Quality and Stability judge both; FitCRAFT for spans of texts.
//   - Reading: Lens (logit lens and direct logit attribution), TunedLens, AttentionTable, TopTokens, Purity, FindVectors,
//     CompareVectors; LeaveOneOut, IntegratedGradients and AttendValues for the tokens of a prompt.
//   - Concept metrics: GlobalImportance, Existence, Location.
//
// # Shapes
//
// n rows (examples or tokens), d activation width, k classes or concept columns, r directions, v vocabulary, t tokens.
// Activations x are [n, d]; labels y are [n] with classes 0..k-1, in binary methods 1 for the concept; concept columns z
// are [n, k]. Inputs are never modified and never kept.
//
// # Errors
//
// Every input is checked for shape, NaN and Inf, and labels for classes. Errors wrap ErrShape, ErrNotFinite, ErrClasses,
// ErrSingular, ErrArgument, ErrNotConverged or a context's error.
//
// # References
//
//   - Kim et al., arXiv:1711.11279 (CAV, TCAV).
//   - Zou et al., arXiv:2310.01405 (RepE). Rimsky et al., arXiv:2312.06681 (CAA). Marks and Tegmark, arXiv:2310.06824
//     (mass-mean probes).
//   - Belrose et al., arXiv:2306.03819 (LEACE). Ravfogel et al., arXiv:2004.07667 (INLP). Shao et al., arXiv:2203.07893
//     (SAL). Álvarez-Esteban et al., arXiv:1511.05355 (barycentres). Bodnar et al., arXiv:1308.2608 (shrinkage).
//   - Lee and Seung, NIPS 2000 (multiplicative updates). Jansen, Computer Physics Communications 117, 1999; Saltelli
//     et al., Computer Physics Communications 181, 2010 (Sobol indices). Fel et al., arXiv:2211.10154 (CRAFT).
//   - Hong et al., arXiv:2406.11614 (ConceptVectors). Aysel et al., arXiv:2501.19271 (concept metrics). Lee et al., arXiv:2409.05907 (CAST). Belrose et al., arXiv:2303.08112
//     (tuned lens). Sundararajan et al., arXiv:1703.01365 (integrated gradients). Kobayashi et al., arXiv:2004.10102
//     (attention by norms).
package vectors
