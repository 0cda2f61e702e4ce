// Package planted is an experiment on activations whose features are known: every dictionary architecture is trained on rows
// x = sum_j a_j u_j + noise, and its decoder rows are compared with the directions u_j. `loupe run planted` runs it.
package planted
