package sae

// asTranscoder makes an architecture read one site and write another of width d_out, with skip past a linear path:
// y = f W_dec + b_dec + W_skip x. b_dec is never subtracted from the input, x is the raw input of the linear path, and
// the output is never de-normalised (arXiv:2406.11944, arXiv:2501.18823).
func asTranscoder(a architecture, skip bool) architecture {
	a.transcoder, a.skip = true, skip
	inner, write := a.tensors, a.write
	a.tensors = func(s *SAE) []slot {
		out := inner(s)
		if skip {
			out = append(out, slot{"W_skip", []int{s.Width(), s.DIn}, &s.WSkip})
		}
		return out
	}
	a.write = func(s *SAE, cfg map[string]any) {
		if write != nil {
			write(s, cfg)
		}
		cfg["d_out"] = s.Width()
	}
	return a
}
