package sae

import . "github.com/gomlx/gomlx/core/graph"

// Letters of the shapes: f latents, p points, d width.

// projectArchetypes brings the weights of RA-SAE back into their sets: W <- relu(W) / (sum + 1e-8), row by row, and
// Lambda <- Lambda * min(1, delta / |Lambda|). It is [archetypes.project] on the backend.
func projectArchetypes(cfg Config, w weightNodes) {
	convex := MaxScalar(w[archetypeWeight], 0) // [f, p]
	w[archetypeWeight] = Div(convex, AddScalar(ReduceAndKeep(convex, ReduceSum, 1), 1e-8))
	relax := w[archetypeRelax]                                             // [f, d]
	norm := MaxScalar(L2Norm(relax, 1), 1e-30)                             // [f, 1]
	shrink := MinScalar(MulScalar(Inverse(norm), cfg.Archetypal.Delta), 1) // [f, 1]
	w[archetypeRelax] = Mul(relax, shrink)
}

// archetypeDecoder is the dictionary (W C + Lambda) exp(m), [f, d], through which gradients reach W, Lambda and m.
func archetypeDecoder(w weightNodes) *Node {
	hull := Einsum("fp,pd->fd", w[archetypeWeight], w[archetypePoints])
	return Mul(Add(hull, w[archetypeRelax]), Exp(Reshape(w[archetypeScale])))
}
