package sae

import (
	"fmt"
	"math"
	"slices"
)

// The architectures of an [SAE]. The names are SAELens's where it has the architecture; it does not read the last three.
const (
	ArchStandard           = "standard"                 // ReLU
	ArchTopK               = "topk"                     // the k largest
	ArchAbsTopK            = "abstopk"                  // the k largest in magnitude, with their signs
	ArchJumpReLU           = "jumprelu"                 // one threshold for each latent
	ArchGated              = "gated"                    // a gate decides what is active, a shared encoder how much
	ArchTranscoder         = "transcoder"               // ReLU, from one site to another
	ArchSkipTranscoder     = "skip_transcoder"          // the same with a linear path past the latents
	ArchJumpReLUTranscoder = "jumprelu_transcoder"      // JumpReLU, from one site to another
	ArchJumpReLUSkip       = "jumprelu_skip_transcoder" // the same with a linear path past the latents
	ArchMatchingPursuit    = "matching_pursuit"         // greedy, one latent at a time, with tied weights
	ArchTemporal           = "temporal"                 // TopK on what attention over the past does not predict
	ArchTopKTranscoder     = "topk_transcoder"          // sparsify's transcoder
	ArchTopKSkipTranscoder = "topk_skip_transcoder"     // sparsify's transcoder with a linear path past the latents
	ArchGroupMax           = "groupmax"                 // the largest of each of k groups of neighbours (sparsify)
	ArchBatchTopK          = "batchtopk"                // training only: the k*B largest of a batch; saved as jumprelu
	ArchMatryoshka         = "matryoshka_batchtopk"     // training only: BatchTopK with a loss for each prefix; saved as jumprelu
)

// architecture is one row of the table of what an [SAE] can be. Its parts are in the file arch_<name>.go.
type architecture struct {
	name       string
	transcoder bool // reads one site and writes another: b_dec is never subtracted, the output never de-normalised
	skip       bool // adds W_skip x, from the raw input
	usesK      bool // needs 1 <= k <= d_sae
	tensors    func(s *SAE) []slot
	// activate appends the active latents of a row, given its scores h, [F]: x W_enc + bias, times the norms of the
	// decoder rows with RescaleByDecoder. Nil where encoding is not one product (matching pursuit, temporal).
	activate func(s *SAE, h []float32, to *active)
	// bias is added to x W_enc; nil: none.
	bias func(s *SAE) []float32
	// read and write move the architecture's own settings from and to cfg.json; validate checks them. Nil: none.
	read     func(c *saelensConfig, s *SAE) error
	write    func(s *SAE, cfg map[string]any)
	validate func(s *SAE) error
}

// slot is a tensor of an architecture under its name in SAELens's file.
type slot struct {
	name  string
	shape []int
	at    *[]float32
}

// architectures is the table.
func architectures() []architecture {
	return []architecture{
		standardArch(ArchStandard),
		topKArch(ArchTopK),
		absTopKArch(),
		jumpReLUArch(ArchJumpReLU),
		gatedArch(),
		asTranscoder(standardArch(ArchTranscoder), false),
		asTranscoder(standardArch(ArchSkipTranscoder), true),
		asTranscoder(jumpReLUArch(ArchJumpReLUTranscoder), false),
		asTranscoder(jumpReLUArch(ArchJumpReLUSkip), true),
		asTranscoder(topKArch(ArchTopKTranscoder), false),
		asTranscoder(topKArch(ArchTopKSkipTranscoder), true),
		matchingPursuitArch(),
		temporalArch(),
		groupMaxArch(),
	}
}

// Architectures returns the names of the architectures that an SAE can have.
func Architectures() []string {
	var names []string
	for _, a := range architectures() {
		names = append(names, a.name)
	}
	return names
}

// architectureOf returns the table's row called name.
func architectureOf(name string) (architecture, error) {
	all := architectures()
	i := slices.IndexFunc(all, func(a architecture) bool { return a.name == name })
	if i < 0 {
		return architecture{}, fmt.Errorf("architecture %q is not supported; supported: %q", name, Architectures())
	}
	return all[i], nil
}

// linear are the tensors of every architecture with an encoder and a decoder matrix.
func linear(s *SAE) []slot {
	return []slot{
		{"W_enc", []int{s.DIn, s.DSAE}, &s.WEnc},
		{"W_dec", []int{s.DSAE, s.Width()}, &s.WDec},
		{"b_dec", []int{s.Width()}, &s.BDec},
	}
}

func withBias(s *SAE) []slot { return append(linear(s), slot{"b_enc", []int{s.DSAE}, &s.BEnc}) }

func encoderBias(s *SAE) []float32 { return s.BEnc }

// checkSizes refuses sizes whose tensors cannot be indexed.
func checkSizes(s *SAE) error {
	d := max(s.DIn, s.Width())
	if s.DIn < 1 || s.DSAE < 1 || s.DOut < 0 || d > math.MaxInt32/s.DSAE || s.Width() > math.MaxInt32/s.DIn {
		return fmt.Errorf("d_in %d, d_out %d and d_sae %d must be positive, with products below 2^31", s.DIn, s.Width(), s.DSAE)
	}
	return nil
}
