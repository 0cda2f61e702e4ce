// Package stats holds the statistics that loupe's tables rest on: intervals, tests, effect sizes, corrections for many
// tests, and measures of similarity, diversity and overlap. Everything is float64.
//
// # Overview
//
//   - Intervals: [Bootstrap] over examples, [BootstrapClusters], [BootstrapStrata], [BootstrapHierarchical] over seeds and
//     the examples nested in them, [BootstrapCrossed] over seeds that share their examples, [BootstrapFrom] from given
//     indices, [Wilson] for a proportion.
//   - Permutation tests: [PermuteMeans], [PermuteSigns], [PermuteTwoSample], [PermutePairing].
//   - Ranking: [AUC] with [AUCDeLong], [AUCNewcombe] or [AUCBootstrap]; [MannWhitney], [KolmogorovSmirnov], [Jonckheere].
//   - Association: [Pearson], [Spearman], [KendallTauB].
//   - Differences: [Welch], [Hedges].
//   - Many tests at once: [Holm], [BenjaminiHochberg], [BenjaminiYekutieli].
//   - Representations: [LinearCKA], [DebiasedCKA], [PermuteCKA], [Vendi], [VendiCosine], [MeanCosineDistance].
//   - Text: [CountNGrams] (distinct-n, EAD, entropy), [RougeN], [RougeL], [PorterStem].
//
// # Invariants
//
// No function returns NaN without an error. Errors wrap one of four sentinels, so that a caller can tell an undefined
// statistic ([ErrDegenerate]) from a mistake ([ErrTooFew], [ErrNotFinite], [ErrArgument]). Inputs are never modified.
// Statistics of ranks accept infinities, statistics of moments do not. What is random is a function of the seed alone.
//
// # References
//
//   - Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 14 (percentile, BCa).
//   - Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8 (hierarchical data).
//   - Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007 (crossed data).
//   - Phipson and Smyth, Permutation P-values should never be zero, 2010, arXiv:1603.05766.
//   - DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; Sun and Xu, IEEE Signal Processing Letters 21, 2014.
//   - Newcombe, Statistics in Medicine 25, 2006, part 2, method 5 (interval of an AUC).
//   - Wilson, Journal of the American Statistical Association 22, 1927.
//   - Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition, 2014 (Mann-Whitney, Jonckheere, Kendall).
//   - Knight, Journal of the American Statistical Association 61, 1966 (Kendall in n log n).
//   - Hodges, Arkiv för Matematik 3, 1958; Vrbik, Pioneer Journal of Theoretical and Applied Statistics 15, 2018 (KS).
//   - Hedges, Journal of Educational Statistics 6, 1981 (g).
//   - Holm 1979; Benjamini and Hochberg 1995; Benjamini and Yekutieli 2001.
//   - Kornblith et al., arXiv:1905.00414 (CKA). Friedman and Dieng, arXiv:2210.02410; Pasarkar and Dieng,
//     arXiv:2310.12952 (Vendi score and its orders). Li et al., arXiv:1510.03055 (distinct-n). Liu et al., arXiv:2202.13587 (EAD).
//   - Lin, ROUGE, 2004. Porter, An algorithm for suffix stripping, Program 14, 1980.
package stats
