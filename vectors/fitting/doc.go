// Package fitting fits directions and erasers of concepts to labelled activations, shows what each reads on held-out texts
// beside the same method fitted to shuffled labels, and saves them with their provenance. It is the study behind `loupe vectors
// fit`; Tests is the one behind `loupe vectors test`.
package fitting
