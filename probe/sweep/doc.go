// Package sweep fits probes to the activations of a store, over sites, positions and concepts, beside their controls, as a
// configuration file of kind probe says.
//
// # Overview
//
// Open opens a store and makes the targets from its labels and the splits from its keys; [Job.Plan] says what a run would
// do; [Job.Run] fits and scores every target at every site and position in a run folder. Where the store is not there,
// [Config.OpenCapture] makes it first: all sites in one pass over the text. Evaluate scores a saved probe on another store.
//
// # What a cell is
//
// One target at one site and position: scores on documents of which no group was trained on, with intervals over groups
// (words, pairs); the same with shuffled labels; the control task's accuracy and the selectivity; cross-validation and
// calibration; code lengths. Baselines (a bag of words, the length) stand beside, once a target.
//
// # The run folder
//
//	tables/cells.arrow, baselines.arrow, reliability.arrow
//	weights/<target>-<site>-<position>.json and .safetensors, of `loupe probe fit`
//	steps/ what is done, so that a killed run goes on
package sweep
