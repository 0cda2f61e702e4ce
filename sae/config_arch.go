package sae

// base is the architecture without its transcoder form: what its activation function and its loss are called.
func (c Config) base() string {
	switch c.Arch {
	case ArchTranscoder, ArchSkipTranscoder:
		return ArchStandard
	case ArchJumpReLUTranscoder, ArchJumpReLUSkip:
		return ArchJumpReLU
	case ArchTopKTranscoder, ArchTopKSkipTranscoder:
		return ArchTopK
	}
	return c.Arch
}

// transcodes tells whether the architecture reads one site and writes another.
func (c Config) transcodes() bool { return c.base() != c.Arch }

// skips tells whether the architecture has a linear path past the latents.
func (c Config) skips() bool {
	return c.Arch == ArchSkipTranscoder || c.Arch == ArchJumpReLUSkip || c.Arch == ArchTopKSkipTranscoder
}

// width is that of the output.
func (c Config) width() int {
	if c.DOut > 0 {
		return c.DOut
	}
	return c.DIn
}

// selects tells whether the architecture keeps a number of latents.
func (c Config) selects() bool {
	switch c.base() {
	case ArchTopK, ArchAbsTopK, ArchBatchTopK, ArchMatryoshka:
		return true
	}
	return false
}

// byBatch tells whether the number is one of the whole batch.
func (c Config) byBatch() bool {
	return c.Arch == ArchBatchTopK || c.Arch == ArchMatryoshka && !c.Matryoshka.PerRow
}

// batchK is the number of latents that batchtopk keeps of a batch.
func (c Config) batchK() int {
	k := float64(c.K)
	if c.TargetL0 > 0 {
		k = c.TargetL0
	}
	return int(k * float64(c.Batch))
}

// revives tells whether the loss has a part for dead latents.
func (c Config) revives() bool {
	return c.selects() && c.AuxCoef > 0 || c.base() == ArchJumpReLU && c.JumpReLU.PreActCoef > 0
}

// supports tells whether an engine can train the architecture: the sparse ones need a number of latents for each row.
func supports(c Config, engine string) bool {
	switch engine {
	case EngineDense:
		return true
	case EngineHybrid, EngineXLA:
		return c.Arch == ArchTopK && (c.Normalize == NormalizeNone || c.Normalize == NormalizeExpected || c.Normalize == "")
	}
	return false
}
