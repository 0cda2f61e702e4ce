package tracing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// The kinds of nodes of a file. Features of per-layer transcoders and of autoencoders are written as TypeFeature too.
const (
	TypeFeature = "cross layer transcoder"
	TypeError   = "mlp reconstruction error"
	TypeToken   = "embedding"
	TypeLogit   = "logit"
)

// File is an attribution graph as circuit-tracer and Neuronpedia exchange it (its graph schema, draft 7).
type File struct {
	Metadata    Metadata   `json:"metadata"`
	QParams     QParams    `json:"qParams"`
	Nodes       []FileNode `json:"nodes"`
	Links       []FileLink `json:"links"`
	QKOnlyNodes []FileNode `json:"qk_only_nodes,omitempty"`
}

// Metadata says what was traced.
type Metadata struct {
	Slug               string          `json:"slug"`
	Scan               string          `json:"scan"` // the model
	TranscoderList     []string        `json:"transcoder_list"`
	PromptTokens       []string        `json:"prompt_tokens"`
	Prompt             string          `json:"prompt"`
	NodeThreshold      *float64        `json:"node_threshold,omitempty"`
	SchemaVersion      *int            `json:"schema_version,omitempty"`
	FeatureDetails     json.RawMessage `json:"feature_details,omitempty"`
	Info               json.RawMessage `json:"info,omitempty"`
	PruningSettings    json.RawMessage `json:"pruning_settings,omitempty"`
	GenerationSettings json.RawMessage `json:"generation_settings,omitempty"`
}

// QParams is the state of the page that shows the graph.
type QParams struct {
	PinnedIDs  []string   `json:"pinnedIds"`
	Supernodes [][]string `json:"supernodes"` // each a label and node ids
	LinkType   string     `json:"linkType"`
	ClickedID  string     `json:"clickedId"`
	SgPos      string     `json:"sg_pos"`
}

// FileNode is a node. The key of a node is its type and its id: an error's id 0_{layer}_{position} can be that of a feature of layer 0.
type FileNode struct {
	NodeID        string          `json:"node_id"`
	Feature       int64           `json:"feature"`
	Layer         string          `json:"layer"`
	CtxIdx        int             `json:"ctx_idx"`
	FeatureType   string          `json:"feature_type"`
	TokenProb     float64         `json:"token_prob"`
	IsTargetLogit bool            `json:"is_target_logit"`
	RunIdx        int             `json:"run_idx"`
	ReverseCtxIdx int             `json:"reverse_ctx_idx"`
	JSNodeID      string          `json:"jsNodeId"`
	Clerp         string          `json:"clerp"` // what the node is said to mean
	Influence     *float64        `json:"influence"`
	Activation    *float64        `json:"activation"`
	QKTracing     json.RawMessage `json:"qk_tracing_results,omitempty"`
}

// FileLink is an edge: what the source adds to the target.
type FileLink struct {
	Source string  `json:"source"`
	Target string  `json:"target"`
	Weight float64 `json:"weight"`
}

// Limits of what is read.
const (
	maxFileBytes = 512 << 20
	maxFileNodes = 200_000
	maxFileLinks = 20_000_000
)

// ErrCollision says that two nodes of a file have one id, so that its links do not tell which they join.
var ErrCollision = errors.New("nodes of two types have one id")

// ReadFile reads and validates a file. Fields that the schema does not have are ignored. Colliding ids are allowed, since circuit-tracer
// writes them; Ends refuses links that they make ambiguous.
func ReadFile(r io.Reader) (*File, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("tracing: read graph: %w", err)
	}
	if len(raw) > maxFileBytes {
		return nil, fmt.Errorf("tracing: read graph: the file has more than %d bytes", maxFileBytes)
	}
	if err := checkPresent(raw); err != nil {
		return nil, fmt.Errorf("tracing: read graph: %w", err)
	}
	f := &File{}
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, fmt.Errorf("tracing: read graph: %w", err)
	}
	return f, f.Validate()
}

// checkPresent checks that every required field is there, which the decoded values do not tell.
func checkPresent(raw []byte) error {
	var top struct {
		Metadata map[string]json.RawMessage   `json:"metadata"`
		QParams  map[string]json.RawMessage   `json:"qParams"`
		Nodes    []map[string]json.RawMessage `json:"nodes"`
		Links    []map[string]json.RawMessage `json:"links"`
	}
	if err := json.Unmarshal(raw, &top); err != nil {
		return err
	}
	if top.Metadata == nil || top.QParams == nil || top.Nodes == nil || top.Links == nil {
		return errors.New("metadata, qParams, nodes or links is missing; is it an attribution graph?")
	}
	for _, name := range []string{"slug", "scan", "prompt_tokens", "prompt"} {
		if missing(top.Metadata, name) {
			return fmt.Errorf("metadata has no %s", name)
		}
	}
	for i, n := range top.Nodes {
		for _, name := range []string{"node_id", "feature", "layer", "ctx_idx", "feature_type", "jsNodeId", "clerp"} {
			if missing(n, name) {
				return fmt.Errorf("node %d has no %s", i, name)
			}
		}
	}
	for i, l := range top.Links {
		for _, name := range []string{"source", "target", "weight"} {
			if missing(l, name) {
				return fmt.Errorf("link %d has no %s", i, name)
			}
		}
	}
	return nil
}

func missing(m map[string]json.RawMessage, name string) bool {
	v, ok := m[name]
	return !ok || string(v) == "null"
}

// Write writes the file, which must be valid and without ambiguous links. Equal files give equal bytes.
func (f *File) Write(w io.Writer) error {
	if _, err := f.Ends(); err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(f); err != nil {
		return fmt.Errorf("tracing: write graph: %w", err)
	}
	return nil
}

// Validate holds the file against the schema: required texts, known ids of the four types, positions within the prompt, every node once by type
// and id, links between nodes that are there, finite numbers.
func (f *File) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("tracing: graph %q: %w", f.Metadata.Slug, fmt.Errorf(format, args...))
	}
	switch {
	case len(f.Nodes) > maxFileNodes || len(f.Links) > maxFileLinks:
		return fail("%d nodes and %d links; at most %d and %d are read", len(f.Nodes), len(f.Links), maxFileNodes, maxFileLinks)
	case f.Metadata.Slug == "" || f.Metadata.Scan == "":
		return fail("metadata.slug is %q and metadata.scan %q; both must be given", f.Metadata.Slug, f.Metadata.Scan)
	case len(f.Metadata.PromptTokens) == 0:
		return fail("metadata.prompt_tokens is empty")
	}
	for i, s := range f.QParams.Supernodes {
		if len(s) == 0 {
			return fail("supernode %d has no label", i)
		}
	}
	seen, ids := map[[2]string]bool{}, map[string]bool{}
	for i, n := range slices.Concat(f.Nodes, f.QKOnlyNodes) {
		key := [2]string{n.FeatureType, n.NodeID}
		if seen[key] {
			return fail("node %d: %s %s is there twice", i, n.FeatureType, n.NodeID)
		}
		seen[key], ids[n.NodeID] = true, true
		if err := n.check(len(f.Metadata.PromptTokens)); err != nil {
			return fail("node %d: %w", i, err)
		}
	}
	for i, l := range f.Links {
		if !ids[l.Source] || !ids[l.Target] {
			return fail("link %d joins %q and %q, which are not both nodes", i, l.Source, l.Target)
		}
		if !finite(l.Weight) {
			return fail("link %d has weight %v", i, l.Weight)
		}
	}
	return nil
}

// check holds a node against its type.
func (n FileNode) check(tokens int) error {
	switch {
	case n.NodeID == "" || n.JSNodeID == "" || n.Layer == "" || n.FeatureType == "":
		return fmt.Errorf("node_id %q, jsNodeId %q, layer %q and feature_type %q must be given", n.NodeID, n.JSNodeID, n.Layer, n.FeatureType)
	case n.CtxIdx < 0 || n.CtxIdx >= tokens:
		return fmt.Errorf("ctx_idx %d of %s is not among %d tokens", n.CtxIdx, n.NodeID, tokens)
	case !finite(n.TokenProb) || n.Influence != nil && !finite(*n.Influence) || n.Activation != nil && !finite(*n.Activation):
		return fmt.Errorf("%s has a number that is not finite", n.NodeID)
	case n.FeatureType == TypeError && n.Feature != -1:
		return fmt.Errorf("feature of the error %s is %d, want -1", n.NodeID, n.Feature)
	case n.FeatureType == TypeToken && (n.Layer != "E" || n.Feature != int64(n.CtxIdx)):
		return fmt.Errorf("token %s has layer %q and feature %d, want E and its position", n.NodeID, n.Layer, n.Feature)
	case n.FeatureType == TypeFeature && n.Feature < 0:
		return fmt.Errorf("feature of %s is %d", n.NodeID, n.Feature)
	}
	return nil
}

// Collisions lists the ids that nodes of two types have, sorted.
func (f *File) Collisions() []string {
	count := map[string]int{}
	for _, n := range f.Nodes {
		count[n.NodeID]++
	}
	var out []string
	for id, n := range count {
		if n > 1 {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// Ends resolves the links to indices of nodes: source and target of each. A link with an id that two nodes have is an ErrCollision.
func (f *File) Ends() ([][2]int, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	at := map[string]int{}
	for i, n := range slices.Concat(f.Nodes, f.QKOnlyNodes) {
		if _, ok := at[n.NodeID]; ok {
			at[n.NodeID] = -1
			continue
		}
		at[n.NodeID] = i
	}
	out := make([][2]int, len(f.Links))
	for i, l := range f.Links {
		out[i] = [2]int{at[l.Source], at[l.Target]}
		if out[i][0] < 0 || out[i][1] < 0 {
			return nil, fmt.Errorf("tracing: graph %q: link %d joins %q and %q: %w", f.Metadata.Slug, i, l.Source, l.Target, ErrCollision)
		}
	}
	return out, nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
