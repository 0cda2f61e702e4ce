// Package evaluate measures every method of package method in the same way: what is erased, what is kept, what comes back.
//
// # Overview
//
//	s, err := evaluate.NewSuite(ctx, e, cfg)   // prompts, prototypes and the original encoder's states, once
//	row, err := s.Row(ctx, m, label, m.Config())
//	table := evaluate.Table([]*evaluate.Row{row})
//
// Run does both for one method. A Suite erases each concept of the task by itself, and sets of generated names at once, fits with
// several seeds where that is asked for (each seed after the first takes three quarters of the fitting templates, other ordinary sentences and other draws), and
// embeds each distinct text once per fitted encoder; a variant that acts on final states is applied to the states of the original encoder.
//
// # Intervals
//
// At the level 0.95, from resampling prompts: the same prompt under several fits counts as one unit, with its mean. Where every prompt
// says the same, so that resampling knows no doubt, the interval of a rate is Wilson's. Metrics of images (FID, LPIPS, detectors,
// image classifiers) cannot be had here: ImageOnly lists them.
package evaluate
