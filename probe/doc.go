// Package probe fits supervised probes: small models that read a concept, a class or a number from a model's activations, with
// the controls without which their scores mean little.
//
// # Overview
//
//   - Methods: Logistic and Multinomial (all targets of a site in one pass), ElasticNet (a path of sparse probes), KSparse,
//     Ridge, LDA, MassMean, FitQuadratic, FitMLP, FitAttention (sequences of tokens), FitCCS (contrast pairs, no labels).
//     FitAdaWAC (pairs of augmentations). Method names one with its settings and gives a Function.
//   - Splits: HoldOut by word, template or any other Key, Folds, CheckLeaks.
//   - Scores: Evaluate (accuracy, AUC, F1, R² with intervals over groups), CrossValidate, Calibration, Calibrate, OnlineCode
//     (minimum description length).
//   - Controls: ShuffledLabels, ControlTask (selectivity), BagOfWords and BagOfTokens, Lengths.
//
// # Shapes
//
// n rows (texts or tokens), d activation width, k classes. Activations are Rows [n, d] in float32, as stores hold them; scores
// are [n, outputs] in float64, one output for a concept or a number, k for several classes.
//
// # Determinism
//
// Equal inputs and seeds give equal bits, whatever the number of processors, the vector instructions (TestKernelsAgree) and
// the targets that are fitted beside.
//
// # Errors
//
// Every input is checked: shapes, NaN and Inf, classes, columns that do not vary. Errors wrap vectors.ErrShape, ErrNotFinite,
// ErrClasses, ErrSingular, ErrArgument, ErrNotConverged, or a context's error, and name the target and the row.
//
// # References
//
//   - Alain and Bengio, arXiv:1610.01644 (linear probes). Hewitt and Liang, arXiv:1909.03368 (control tasks). Voita and
//     Titov, arXiv:2003.12298 (online code). Gurnee et al., arXiv:2305.01610 (sparse probes). Marks and Tegmark,
//     arXiv:2310.06824 (mass-mean). Burns et al., arXiv:2212.03827 (CCS).
//   - Friedman, Hastie and Tibshirani, Journal of Statistical Software 33, 2010; Tibshirani et al., arXiv:1011.2234
//     (elastic-net paths). Golub, Heath and Wahba, Technometrics 21, 1979 (GCV). Liu and Nocedal, Mathematical
//     Programming 45, 1989 (L-BFGS). Guo et al., arXiv:1706.04599 (calibration).
package probe
