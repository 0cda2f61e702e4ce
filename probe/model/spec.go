package model

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// NormKind is the formula of a model's normalisation layers.
type NormKind string

// Normalisations: LayerNorm, RMSNorm, and Gemma's RMSNorm whose weight is an offset from one.
const (
	LayerNorm  NormKind = "layer"
	RMSNorm    NormKind = "rms"
	RMSNormOne NormKind = "rms1p" // x / rms(x) * (1 + w)
)

// NormPlace says where a block normalises.
type NormPlace string

// Places of the norms: before each sub-layer (GPT-2, Llama); after each residual sum (BERT); before and after each
// sub-layer (Gemma-2); only on each sub-layer's output, before it is added (OLMo-2).
const (
	PreNorm      NormPlace = "pre"
	PostNorm     NormPlace = "post"
	SandwichNorm NormPlace = "sandwich"
	OutputNorm   NormPlace = "output"
)

// PositionKind says how a model knows positions.
type PositionKind string

// Kinds of positions: a learned table added to the embeddings, rotary, or none besides a relative bias.
const (
	PosLearned PositionKind = "learned"
	PosRotary  PositionKind = "rotary"
	PosNone    PositionKind = "none"
)

// QKNormKind says which queries and keys are normalised before the rotation.
type QKNormKind string

// Query/key norms: none, per head (Qwen3, Gemma-3), or over the whole projected width (OLMo-2).
const (
	QKNormNone  QKNormKind = ""
	QKNormHead  QKNormKind = "head"
	QKNormWidth QKNormKind = "width"
)

// PoolerKind says how a model makes one vector of a text.
type PoolerKind string

// Poolers: none; tanh(dense(first token)) of BERT-likes; the row at the end-of-text token (CLIP).
const (
	PoolerNone  PoolerKind = ""
	PoolerFirst PoolerKind = "first"
	PoolerEOS   PoolerKind = "eos"
)

// Rope describes a rotary embedding. Dim components of each head are rotated, half-split (rotate_half).
type Rope struct {
	Theta   float64 `json:"theta"`
	Dim     int     `json:"dim"`
	Type    string  `json:"type"` // default, linear or llama3
	Factor  float64 `json:"factor,omitempty"`
	LowFreq float64 `json:"low_freq_factor,omitempty"`
	HiFreq  float64 `json:"high_freq_factor,omitempty"`
	OrigMax float64 `json:"original_max_position_embeddings,omitempty"`
}

// RelBias is a T5-style relative attention bias, one table shared by all layers.
type RelBias struct {
	Buckets     int `json:"buckets"`
	Rows        int `json:"rows"` // of the table; MPNet may have more than it uses
	MaxDistance int `json:"max_distance"`
}

// SentencePooling is a sentence-transformers pooling configuration.
type SentencePooling struct {
	Mode      string `json:"mode,omitempty"` // mean, cls, max, mean_sqrt_len, last; "" when the model has none
	Normalize bool   `json:"normalize,omitempty"`
}

// Spec describes an architecture completely: two models with equal Specs share compiled programs.
type Spec struct {
	Family  string `json:"family"`
	Decoder bool   `json:"decoder"` // has a next-token head
	Causal  bool   `json:"causal"`
	Layers  int    `json:"layers"`
	DModel  int    `json:"d_model"`
	Heads   int    `json:"heads"`
	KVHeads int    `json:"kv_heads"`
	DHead   int    `json:"d_head"`
	DMLP    int    `json:"d_mlp"`
	Vocab   int    `json:"vocab"`
	MaxPos  int    `json:"max_positions"` // 0: no fixed limit

	Norm      NormKind  `json:"norm"`
	NormEps   float64   `json:"norm_eps"`
	Place     NormPlace `json:"place"`
	FinalNorm bool      `json:"final_norm"`
	Parallel  bool      `json:"parallel,omitempty"` // attention and MLP both read the block's input

	Positions PositionKind `json:"positions"`
	PosRows   int          `json:"pos_rows,omitempty"`   // rows of the learned table
	PosOffset int          `json:"pos_offset,omitempty"` // RoBERTa: positions are counted from the ids, plus the pad id
	PosFromID bool         `json:"pos_from_id,omitempty"`
	Ropes     []Rope       `json:"ropes,omitempty"`
	RopeOf    []int        `json:"rope_of,omitempty"` // per layer: index into Ropes
	RelBias   *RelBias     `json:"rel_bias,omitempty"`

	AttnScale     float64         `json:"attn_scale"`
	InverseLayer  bool            `json:"inverse_layer,omitempty"` // layer i divides its scores by i+1
	AttnSoftcap   float64         `json:"attn_softcap,omitempty"`
	LogitSoftcap  float64         `json:"logit_softcap,omitempty"`
	Window        []int           `json:"window,omitempty"` // per layer: keys seen, the query's own included; 0 all
	QKNorm        QKNormKind      `json:"qk_norm,omitempty"`
	QKVBias       bool            `json:"qkv_bias,omitempty"`
	OBias         bool            `json:"o_bias,omitempty"`
	MLPBias       bool            `json:"mlp_bias,omitempty"`
	Act           string          `json:"act"` // gelu, gelu_tanh, quick_gelu, relu, silu
	Gated         bool            `json:"gated,omitempty"`
	EmbedScale    float64         `json:"embed_scale,omitempty"`
	EmbedNorm     bool            `json:"embed_norm,omitempty"`
	TypeVocab     int             `json:"type_vocab,omitempty"`
	Tied          bool            `json:"tied,omitempty"`
	Pooler        PoolerKind      `json:"pooler,omitempty"`
	PoolLargestID bool            `json:"pool_largest_id,omitempty"` // legacy CLIP: pool at the largest id
	EOS           int             `json:"eos,omitempty"`             // CLIP: pool at the first of these ids
	PadID         int             `json:"pad_id"`
	Projection    int             `json:"projection,omitempty"`
	Sentence      SentencePooling `json:"sentence"`
}

// Digest is the SHA-256 of the Spec's JSON, in hex.
func (s *Spec) Digest() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("model: spec: %v", err)) // a struct of plain values always marshals
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Param is a parameter's canonical name and shape. Linear weights are [out, in].
type Param struct {
	Name string
	Dims []int
}

// Params lists the parameters of models of this Spec, in the order in which programs take them.
func (s *Spec) Params() []Param {
	var out []Param
	add := func(name string, dims ...int) { out = append(out, Param{name, dims}) }
	norm := func(name string, width int) {
		add(name+".w", width)
		if s.Norm == LayerNorm {
			add(name+".b", width)
		}
	}
	linear := func(name string, bias bool, rows, cols int) {
		add("W_"+name, rows, cols)
		if bias {
			add("b_"+name, rows)
		}
	}
	add("W_E", s.Vocab, s.DModel)
	if s.Positions == PosLearned {
		add("W_pos", s.PosRows, s.DModel)
	}
	if s.TypeVocab > 0 {
		add("W_type", s.TypeVocab, s.DModel)
	}
	if s.EmbedNorm {
		norm("ln_embed", s.DModel)
	}
	if s.RelBias != nil {
		add("W_rel", s.RelBias.Rows, s.Heads)
	}
	q, kv := s.Heads*s.DHead, s.KVHeads*s.DHead
	for i := range s.Layers {
		from := len(out)
		if s.Place != OutputNorm {
			norm("ln1", s.DModel)
			norm("ln2", s.DModel)
		}
		if s.Place == SandwichNorm || s.Place == OutputNorm {
			norm("ln1_post", s.DModel)
			norm("ln2_post", s.DModel)
		}
		linear("Q", s.QKVBias, q, s.DModel)
		linear("K", s.QKVBias, kv, s.DModel)
		linear("V", s.QKVBias, kv, s.DModel)
		switch s.QKNorm {
		case QKNormHead:
			norm("q_norm", s.DHead)
			norm("k_norm", s.DHead)
		case QKNormWidth:
			norm("q_norm", q)
			norm("k_norm", kv)
		}
		linear("O", s.OBias, s.DModel, q)
		if s.Gated {
			linear("gate", s.MLPBias, s.DMLP, s.DModel)
		}
		linear("in", s.MLPBias, s.DMLP, s.DModel)
		linear("out", s.MLPBias, s.DModel, s.DMLP)
		for j := range out[from:] {
			out[from+j].Name = fmt.Sprintf("blocks.%d.%s", i, out[from+j].Name)
		}
	}
	if s.FinalNorm {
		norm("ln_final", s.DModel)
	}
	if s.Decoder && !s.Tied {
		add("W_U", s.Vocab, s.DModel)
	}
	if s.Pooler == PoolerFirst {
		linear("pool", true, s.DModel, s.DModel)
	}
	if s.Projection > 0 {
		linear("proj", false, s.Projection, s.DModel)
	}
	return out
}

// NumParams is the number of scalars in the model's parameters.
func (s *Spec) NumParams() int {
	n := 0
	for _, p := range s.Params() {
		size := 1
		for _, d := range p.Dims {
			size *= d
		}
		n += size
	}
	return n
}
