// Package task builds the prompts that circuits are looked for on: pairs of a clean and a corrupted prompt with the next tokens
// that tell them apart.
//
// # Overview
//
//	prompts, err := task.Generate(task.Config{Task: "ioi", N: 64, Seed: 1})
//	examples, rejected, err := task.Align(tokenizer, prompts, task.AlignConfig{})
//
// Generate fills loupe's own templates with words by seed; ReadJSONL and ReadCSV read a user's. Align tokenises: a prompt and its
// corruption must have equally many tokens, so that every position of one stands for a position of the other, and each answer
// must be one token. What does not align is told apart with its reason and never cut or padded.
//
// A task has templates of two kinds, main ones and paraphrases of them, so that a circuit that was found on the former can be
// tried on the latter.
//
// # References
//
//   - IOI: Wang et al., arXiv:2211.00593. Greater-than: Hanna et al., arXiv:2305.00586. Docstring: Heimersheim and Janiak, 2023.
//     Colour-object: Merullo et al., arXiv:2310.08744. Subject-verb agreement, gender, capital-country: Hanna et al., arXiv:2403.17806.
//     Induction: Olsson et al., arXiv:2209.11895. IOI with both names said twice: Nainani et al., arXiv:2411.16105.
package task
