// Package evaluate measures sparse autoencoders and transcoders, several at once, beside their controls.
//
// # Overview
//
// A [Bench] is where dictionaries are measured: rows of an activation store and, for most suites, the model that made them
// (a [Subject]). Measure takes dictionaries and the names of suites, makes the controls (random directions of equal L0,
// principal components of equal number), runs every suite on all of them, joins the seeds of a method and ranks with ties:
//
//	dict, err := evaluate.New(backend, "topk", "runs/topk-1/weights", s)      // one for each SAE; seeds share the method's name
//	bench := evaluate.Bench{Backend: backend, Store: st, Config: evaluate.DefaultConfig(), Subject: subject}
//	report, err := bench.Measure(ctx, []*evaluate.Dictionary{dict}, []string{"core", "splice", "probing"})
//	err = report.Print(os.Stdout)
//
// [Suites] lists the suites. Each can be called by itself too: Bench.Core, Bench.Splice, Bench.Probing and so on take
// dictionaries, controls included ([Bench.Controls]), and return an [Outcome] with a [Score] for each.
//
// # Intervals
//
// A method with several seeds has Student's interval over them. With one seed the interval is within the data: over
// documents, texts, tasks or concepts, as the suite says; it does not tell methods apart, and everything ties in the ranking.
//
// # References
//
//   - Karvonen et al., SAEBench, arXiv:2503.09532, and the papers that the metrics in loupe/sae name
//   - Chanin, arXiv:2605.18229, on what of it can be relied on
package evaluate
