// Package training trains sparse autoencoders in a run folder, as a configuration file of kind sae says.
//
// # Overview
//
// [Open] opens what a [Config] names and resolves every SAE of it, [Job.Plan] says what a run would cost, and [Job.Run]
// does it: one pass over the data trains all SAEs ([sae.Group]), then each is measured and saved.
//
// # Which SAEs
//
// A configuration is a grid: an SAE for each of its sites, widths and seeds. `archs` and `saes` make several grids of it: an
// element of `saes` has every key that the configuration gives, unless it gives the key itself.
//
//	sites: [blocks.4.hook_resid_post, blocks.8.hook_resid_post]
//	seeds: [1, 2]
//	saes:
//	- {arch: topk, k: 32, widths: [4096, 16384]}
//	- {arch: batchtopk, d_sae: 4096, label: bt}
//
// is 2 sites x 2 seeds x (2 + 1) = 12 SAEs. A transcoder takes `pairs` in place of sites, a crosscoder all sites together,
// and a cross-layer transcoder all pairs together.
//
// # The run folder
//
// weights/<name>/ holds each SAE, <name> being <arch>-f<d_sae>-s<seed>-<sites>; metrics.jsonl has a line for each SAE and
// step, with the name under "sae"; eval.json has every SAE's measures. A configuration with `site` alone, one SAE, has that
// SAE in weights/, and no names in metrics.jsonl and eval.json.
package training
