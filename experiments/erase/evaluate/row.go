package evaluate

import (
	"loupe/internal/stats"
)

// Row is a method as it was measured. Intervals are nil where there is nothing to measure, such as a gate without one.
type Row struct {
	Label    string   `json:"label"`
	Method   string   `json:"method"`
	Title    string   `json:"title"`
	Paper    string   `json:"paper,omitempty"`
	Acts     string   `json:"acts"`
	Settings any      `json:"settings"`
	Concepts []string `json:"concepts"` // erased, each by itself
	Seeds    int      `json:"seeds"`

	Erased   *stats.Interval `json:"acc_e"`              // held-out prompts of an erased concept that are recognised as it; low is good
	Specific *stats.Interval `json:"acc_s"`              // of the domain's other concepts; high is good
	General  *stats.Interval `json:"acc_g"`              // of the erased concept by its synonyms; low is good
	Implicit *stats.Interval `json:"implicit,omitempty"` // descriptions that do not name it; low is good
	Harmonic stats.Interval  `json:"h"`                  // mean of 1 - acc_e, acc_s and 1 - acc_g
	BySeed   []float64       `json:"h_by_seed"`          // the same of each seed alone

	Unlearning  *stats.Interval `json:"ua"` // on the grid of two domains
	InDomain    *stats.Interval `json:"ira"`
	CrossDomain *stats.Interval `json:"cra"`

	NeighbourCosine   *stats.Interval `json:"np_cos"`  // of neighbours' embeddings after with before
	NeighbourAccuracy *stats.Interval `json:"np_acc"`  // neighbours' prompts that are recognised
	NeighbourRank     *stats.Interval `json:"np_rank"` // Spearman of their similarities with all kept concepts, before and after
	NeighbourKV       *stats.Interval `json:"np_kv"`   // |W (x' - x)| / |W x|, where a K/V stack is given

	Drift         *stats.Interval `json:"drift"`                    // |x' - x| / |x| of ordinary sentences that no fit saw
	Missed        *stats.Interval `json:"missed"`                   // |x' - g| / |g| of the fitting prompts against their anchors' g
	KVErased      *stats.Interval `json:"kv_erased"`                // the same as the K/V stack reads it
	KVDrift       *stats.Interval `json:"kv_drift"`                 // drift as the K/V stack reads it
	TPR           *stats.Interval `json:"gate_tpr,omitempty"`       // held-out prompts of the concept in which the hook acts
	FPR           *stats.Interval `json:"gate_fpr,omitempty"`       // prompts of other concepts and ordinary sentences in which it does
	Identical     *stats.Interval `json:"identical"`                // of the same that keep every bit
	ProbeBefore   *stats.Interval `json:"probe_before,omitempty"`   // accuracy of a fresh probe less the majority, on the original encoder
	ProbeAfter    *stats.Interval `json:"probe_after,omitempty"`    // on the edited one
	ProbeShuffled *stats.Interval `json:"probe_shuffled,omitempty"` // on the edited one with shuffled labels

	Condition *stats.Interval `json:"condition,omitempty"`     // cond(E) over fits, where the edit is a map that can be inverted
	Inverse   *stats.Interval `json:"inverse_norm,omitempty"`  // |E^-1 c| / |c|
	Reached   *stats.Interval `json:"inverse_reach,omitempty"` // concepts that E^-1 c brings back
	Singular  int             `json:"singular"`                // fits whose map has no inverse
	Rank      int             `json:"rank"`                    // of the edit, as the random subspace beside it; 1 where it has none
	Seconds   float64         `json:"seconds"`                 // of a fit, for one concept; embeddings of its prompts may be at hand
	Bytes     int64           `json:"bytes"`                   // of the edit, for one concept, in float32; below 0 where it does not say
	Allocated int64           `json:"allocated"`               // on the heap in a fit, all together; not at once
	Together  []Together      `json:"together,omitempty"`
	Attacks   []Attacked      `json:"attacks,omitempty"`
	Notes     map[string]any  `json:"notes,omitempty"` // of the first fit
	Beats     bool            `json:"beats"`           // nothing and the random subspace, by intervals that do not overlap
	Verdict   string          `json:"verdict"`
	ImageOnly []string        `json:"not_applicable"` // metrics that need images
}

// Together is what erasing several concepts at once did.
type Together struct {
	Concepts  int             `json:"concepts"`
	Erased    *stats.Interval `json:"acc_e"`
	Specific  *stats.Interval `json:"acc_s"`
	Harmonic  stats.Interval  `json:"h"` // of 1 - acc_e and acc_s
	Drift     *stats.Interval `json:"drift"`
	Seconds   float64         `json:"seconds"` // for each concept
	Bytes     int64           `json:"bytes"`
	Allocated int64           `json:"allocated"`
}

// Attacked is what an attack brought back.
type Attacked struct {
	Attack   string          `json:"attack"`
	Adaptive bool            `json:"adaptive"` // found on the edited encoder, through its hook; else on the original one
	Before   *stats.Interval `json:"pre_asr"`
	After    *stats.Interval `json:"asr"`
	Queries  int             `json:"queries"`
	Seconds  float64         `json:"seconds"`
}
