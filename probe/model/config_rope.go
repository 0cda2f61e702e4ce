package model

// ropeDefaults are what a family assumes where config.json is silent.
type ropeDefaults struct {
	theta   float64
	partial float64 // rotated share of each head
}

// rope reads the rotary settings of one kind of layer from an object of rope_parameters or rope_scaling; from may be nil.
func (c *config) rope(from *config, def ropeDefaults, width int) Rope {
	r := Rope{Theta: def.theta, Dim: int(float64(width) * def.partial), Type: "default"}
	if from == nil {
		return r
	}
	r.Type = from.string("default", "rope_type", "type")
	r.Theta = from.float(def.theta, "rope_theta")
	r.Dim = int(float64(width) * from.float(def.partial, "partial_rotary_factor"))
	switch r.Type {
	case "default":
	case "dynamic":
		r.Type = "default" // it differs only beyond max_position_embeddings, which no plan exceeds
	case "linear":
		r.Factor = from.float(0, "factor")
	case "llama3":
		r.Factor = from.float(0, "factor")
		r.LowFreq = from.float(0, "low_freq_factor")
		r.HiFreq = from.float(0, "high_freq_factor")
		r.OrigMax = c.float(from.float(c.float(0, "max_position_embeddings"), "original_max_position_embeddings"), "original_max_position_embeddings")
		if r.LowFreq <= 0 || r.HiFreq <= r.LowFreq || r.OrigMax <= 0 {
			from.fail("llama3 rope needs 0 < low_freq_factor < high_freq_factor and original_max_position_embeddings")
		}
	default:
		from.unsupported("rope type %q is not supported (default, dynamic, linear and llama3 are)", r.Type)
		return r
	}
	if r.Type != "default" && r.Factor <= 0 {
		from.fail("rope type %q needs a positive factor", r.Type)
	}
	return r
}

// singleRope is rope for models whose layers all rotate alike: rope_parameters (new), or rope_theta and rope_scaling
// (old; GPT-NeoX: rotary_emb_base and rotary_pct).
func (c *config) singleRope(def ropeDefaults, width int) Rope {
	def.theta = c.float(def.theta, "rope_theta", "rotary_emb_base")
	def.partial = c.float(def.partial, "partial_rotary_factor", "rotary_pct")
	from, ok := c.object("rope_parameters")
	if !ok {
		from, _ = c.object("rope_scaling")
	}
	return c.rope(from, def, width)
}
