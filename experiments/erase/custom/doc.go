// Package custom holds what methods that teach a text-to-image system new concepts do on its text side: the losses, the learning of
// words, and the probing of layers.
//
// # Overview
//
//   - SemanticPreservation and LearnWords (ClassDiffusion): a new word in front of its class that leaves the class what it was.
//   - Inversion, SupCon and MergeTokens (ConceptExpress): several tokens a concept, pulled together and apart, then merged.
//   - FitHeads and AspectLoss (OmniPrism): one linear head an aspect, contrastive within it and orthogonal to the others.
//   - ProbeDifferences (ConceptWeaver): what removing a concept's words changes in every layer, and the offsets as steering vectors.
//
// Images, denoisers and attention maps have no part in it: published image numbers cannot be had from these functions.
//
// # Shapes
//
// d is the width of an embedding, n texts, k concepts, h outputs of a head. Inputs are never modified.
//
// # References
//
//   - Huang et al., arXiv:2405.17532 (ClassDiffusion). Hao et al., arXiv:2407.07077 (ConceptExpress). Li et al., arXiv:2412.12242
//     (OmniPrism). Khosla et al., arXiv:2004.11362 (SupCon). Gal et al., arXiv:2208.01618 (textual inversion).
package custom
