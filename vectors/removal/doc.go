// Package removal removes a concept from the activations of models by several methods and says what is left and what it
// cost: what probes of several kinds read before and after, how far activations moved, whether other concepts can still be
// read, and what the edit does to the running model. Beside every method stand its controls: nothing removed, a random
// subspace of equal rank, and the same method fitted to shuffled labels.
//
// It is the study behind `loupe vectors ablate`.
package removal
