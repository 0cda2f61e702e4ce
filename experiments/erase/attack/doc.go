// Package attack looks for texts from which an encoder after an erasure still makes embeddings of the erased concept.
//
// # Overview
//
//	a, err := attack.Find("p4d")
//	r, err := a.Run(ctx, e, variant, attack.Goal{Target: t, Class: 0, Zero: zero, Prompts: t.Held}, a.Config())
//	rates, err := r.Rates()   // before and after, with Wilson's intervals
//
// A prompt counts as brought back where the concept's prototype, made by the original encoder, is the nearest of all. An attack is static
// where it is found on the original encoder and then tried on the variant, adaptive where it is found on the variant itself, through its
// weights, its hook and its gate.
//
// # Gates
//
// A hook that leaves some texts alone can be passed by texts on which it does not act. An adaptive attack by gradients on such a variant
// is carried out twice, through the edit and past it: there the states are read as if the hook did not act, and the gate's score is made
// small as well, or, where the hook has none, what it would change, |H(x) - x|² / |x|². Attacks by queries see the gate in their answers.
//
// # Shapes
//
// T tokens of a text, d the width of a state, k inserted tokens, V tokens of the vocabulary.
//
// # References
//
//   - Ring-A-Bell: arXiv:2310.10012. P4D: arXiv:2309.06135. UnlearnDiffAtk: arXiv:2310.11868. AdvUnlearn: arXiv:2405.15234. RECE:
//     arXiv:2407.12383. Projection to the nearest words (PEZ): arXiv:2302.03668. Textual inversion: arXiv:2208.01618.
package attack
