// Package erase removes concepts from text encoders, text embeddings and the key and value matrices that read them, and
// measures what was removed, what was harmed and what an attack brings back.
//
// # Overview
//
//   - Closed forms on embeddings: UCE, UCETensor, RECE, TRCE, RealEra. All but UCETensor give a Map E with W' = W E for every
//     matrix W that reads the embeddings, so that none of them is needed to fit it. EraseContinually, one request after the other.
//   - Attacks on closed forms: Map.Invert, Derive with RecoveryError.
//   - Edits at inference: ITD, Refine (CGCE), Transport (SPM), CorrectSimilarities (T2I-Zero); Gate and CalibrateGate.
//   - Parts of trained methods: HiRM, ESDTarget, GradientSurgery, ProjectSimplex, RingABell, ReadAttention.
//   - Evaluation: ZeroShot with Accuracies and Grid, AttackSuccess, RecognitionRate, Neighbours, Measure, EnergyLogRatio.
//   - Shared: Select (one vector of a text's tokens), Prior (second moments of ordinary text).
//
// # Shapes
//
// d is the width of an embedding, n concepts, m preserved rows, T tokens of a text, o outputs of a matrix W [o, d] that
// reads embeddings as W x. Embeddings are rows [n, d]; so W' = W E acts on a row x as x' = E x. Inputs are never modified.
//
// # Errors
//
// Inputs are checked for shape, NaN and Inf. Errors wrap vectors.ErrShape, vectors.ErrNotFinite, vectors.ErrArgument,
// ErrSingular or ErrAnchor.
//
// # References
//
//   - Gandikota et al., arXiv:2308.14761 (UCE). Gong et al., arXiv:2407.12383 (RECE). Chen et al., arXiv:2503.07389 (TRCE).
//   - Tian et al., arXiv:2503.09446 (ItD). Lyu et al., arXiv:2312.16145 (SPM). Tunanyan et al., arXiv:2310.07419 (T2I-Zero).
//   - Gandikota et al., arXiv:2303.07345 (ESD). Tsai et al., arXiv:2310.10012 (Ring-A-Bell). Wu et al., arXiv:2405.15304
//     (DoCo). Yu et al., arXiv:2001.06782 (PCGrad). Zhang et al., arXiv:2310.11868 (UnlearnDiffAtk).
//   - Zhang et al., arXiv:2402.11846 (UnlearnCanvas). Lu et al., arXiv:2403.06135 (MACE: harmonic means).
package erase
