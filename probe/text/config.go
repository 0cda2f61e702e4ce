package text

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"loupe/internal/config"
)

// Kinds of corpora, for CorpusConfig.Kind.
const (
	KindGoRoot   = "goroot"   // doc comments of the Go standard library
	KindText     = "text"     // one plain text file
	KindFolder   = "folder"   // every text, JSONL, CSV and Parquet file below a folder
	KindJSONL    = "jsonl"    // one JSON object a line
	KindCSV      = "csv"      // comma-separated values with a header line
	KindParquet  = "parquet"  // one Parquet file
	KindHub      = "hub"      // a Hugging Face data set: hf:datasets/org/name@revision
	KindConcepts = "concepts" // labelled sentences of a concept suite
	KindNeutral  = "neutral"  // generated sentences without concept words
	// KindHierarchy are sentences of concepts with neighbours in their super-category, KindEntities facts about fictional people.
	KindHierarchy = "hierarchy"
	KindEntities  = "entities"
)

// Kinds lists the kinds of corpora.
func Kinds() []string {
	return []string{KindGoRoot, KindText, KindFolder, KindJSONL, KindCSV, KindParquet, KindHub, KindConcepts, KindNeutral, KindHierarchy, KindEntities}
}

// CorpusConfig says which text to read and how much of it. DefaultCorpusConfig gives a valid start.
type CorpusConfig struct {
	Kind string `json:"kind" yaml:"kind" mapstructure:"kind" enum:"goroot,text,folder,jsonl,csv,parquet,hub,concepts,neutral,hierarchy,entities" doc:"kind of corpus"`
	Path string `json:"path" yaml:"path" mapstructure:"path" doc:"file, folder or hf:datasets/org/name@rev; for goroot: GOROOT if not the one of the go command; for concepts: folder of an own suite"`

	Unit         string   `json:"unit" yaml:"unit" mapstructure:"unit" enum:"paragraph,file" doc:"plain text: a document is a paragraph (ended by a blank line) or a file"`
	Extensions   []string `json:"extensions" yaml:"extensions" mapstructure:"extensions" doc:"folder: file name endings to read"`
	TextField    string   `json:"text_field" yaml:"text_field" mapstructure:"text_field" doc:"JSONL, CSV, Parquet: field or column that holds the text; a dot goes into objects"`
	LabelFields  []string `json:"label_fields" yaml:"label_fields" mapstructure:"label_fields" doc:"JSONL, CSV, Parquet: fields or columns to keep as labels"`
	GroupField   string   `json:"group_field" yaml:"group_field" mapstructure:"group_field" doc:"JSONL, CSV, Parquet: field or column that names the group; empty: the file is the group"`
	SplitField   string   `json:"split_field" yaml:"split_field" mapstructure:"split_field" doc:"JSONL, CSV, Parquet: field or column that names the split"`
	Delimiter    string   `json:"delimiter" yaml:"delimiter" mapstructure:"delimiter" doc:"CSV: one character between fields"`
	InvalidUTF8  string   `json:"invalid_utf8" yaml:"invalid_utf8" mapstructure:"invalid_utf8" enum:"error,replace" doc:"bytes that are not UTF-8: stop, or put U+FFFD in their place"`
	MaxLineBytes int      `json:"max_line_bytes" yaml:"max_line_bytes" mapstructure:"max_line_bytes" doc:"longest line of JSONL or plain text, longest CSV record, Parquet value or whole file that is read into memory"`
	Offline      bool     `json:"offline" yaml:"offline" mapstructure:"offline" doc:"hub: never use the network"`

	MaxDocs  int     `json:"max_docs" yaml:"max_docs" mapstructure:"max_docs" doc:"stop after this many documents; 0: no limit"`
	MaxChars int64   `json:"max_chars" yaml:"max_chars" mapstructure:"max_chars" doc:"stop before the corpus has more code points than this; 0: no limit"`
	DocChars int     `json:"doc_chars" yaml:"doc_chars" mapstructure:"doc_chars" doc:"cut each document after this many code points; 0: no limit"`
	MinChars int     `json:"min_chars" yaml:"min_chars" mapstructure:"min_chars" doc:"leave out documents with fewer code points than this"`
	Sample   float64 `json:"sample" yaml:"sample" mapstructure:"sample" doc:"share of documents to keep, chosen by seed and text; 1: all"`
	HeldOut  float64 `json:"held_out" yaml:"held_out" mapstructure:"held_out" doc:"share of documents in split held-out, chosen by seed; 0: leave splits as they are"`
	SplitBy  string  `json:"split_by" yaml:"split_by" mapstructure:"split_by" enum:"text,group" doc:"what decides the split: each document's text, or its group"`
	Seed     int64   `json:"seed" yaml:"seed" mapstructure:"seed" doc:"seed of sampling, of the split and of generated text"`

	Concepts      []string `json:"concepts" yaml:"concepts" mapstructure:"concepts" doc:"concepts, hierarchy: names to generate; empty: all"`
	TrainPairs    int      `json:"train_pairs" yaml:"train_pairs" mapstructure:"train_pairs" doc:"concepts, hierarchy: training pairs (a positive and its negative) for each concept"`
	HeldOutPairs  int      `json:"held_out_pairs" yaml:"held_out_pairs" mapstructure:"held_out_pairs" doc:"concepts, hierarchy: held-out pairs for each concept"`
	HeldOutShare  float64  `json:"held_out_share" yaml:"held_out_share" mapstructure:"held_out_share" doc:"concepts, hierarchy: share of words and of templates that are held out; entities: of statements, or of entities with split_by group"`
	NeutralNumber int      `json:"neutral_number" yaml:"neutral_number" mapstructure:"neutral_number" doc:"neutral: number of sentences"`
	EntityNumber  int      `json:"entity_number" yaml:"entity_number" mapstructure:"entity_number" doc:"entities: number of fictional people"`
}

// DefaultCorpusConfig returns the settings of a whole corpus of this kind; Path is left to the caller.
func DefaultCorpusConfig(kind string) CorpusConfig {
	g := DefaultGenerateConfig()
	return CorpusConfig{
		Kind: kind, Unit: "paragraph", Extensions: []string{".txt", ".md"}, TextField: "text", Delimiter: ",",
		InvalidUTF8: "error", MaxLineBytes: 16 << 20, MinChars: 1, Sample: 1, SplitBy: "text",
		TrainPairs: g.Train, HeldOutPairs: g.HeldOut, HeldOutShare: g.HeldOutShare, NeutralNumber: 1000, EntityNumber: DefaultEntityConfig().Number,
	}
}

// Validate checks the values and names the first wrong one.
func (c CorpusConfig) Validate() error {
	if !slices.Contains(Kinds(), c.Kind) {
		if near, ok := config.Nearest(c.Kind, Kinds()); ok {
			return fmt.Errorf("text: corpus kind %q is unknown; did you mean %q?", c.Kind, near)
		}
		return fmt.Errorf("text: corpus kind %q is unknown; use one of %s", c.Kind, strings.Join(Kinds(), ", "))
	}
	needsPath := slices.Contains([]string{KindText, KindFolder, KindJSONL, KindCSV, KindParquet, KindHub}, c.Kind)
	hasFields := slices.Contains([]string{KindFolder, KindJSONL, KindCSV, KindParquet, KindHub}, c.Kind)
	own := c.Kind == KindConcepts || c.Kind == KindHierarchy // they make their own split
	for _, rule := range []struct {
		bad            bool
		key, got, cure string
	}{
		{needsPath && c.Path == "", "path", "empty", "name the file, folder or data set"},
		{c.Unit != "paragraph" && c.Unit != "file", "unit", quote(c.Unit), `use "paragraph" or "file"`},
		{c.Kind == KindFolder && len(c.Extensions) == 0, "extensions", "empty", "list file name endings such as .txt"},
		{hasFields && c.TextField == "", "text_field", "empty", "name the field that holds the text"},
		{slices.Contains(c.LabelFields, ""), "label_fields", "a list with an empty name", "name a field or remove the item"},
		{c.Kind == KindCSV && !validDelimiter(c.Delimiter), "delimiter", quote(c.Delimiter), "use one character that is no quote, no line break"},
		{c.InvalidUTF8 != "error" && c.InvalidUTF8 != "replace", "invalid_utf8", quote(c.InvalidUTF8), `use "error" or "replace"`},
		{c.MaxLineBytes < 1, "max_line_bytes", fmt.Sprint(c.MaxLineBytes), "use at least 1"},
		{c.MaxDocs < 0, "max_docs", fmt.Sprint(c.MaxDocs), "use 0 for no limit"},
		{c.MaxChars < 0, "max_chars", fmt.Sprint(c.MaxChars), "use 0 for no limit"},
		{c.DocChars < 0, "doc_chars", fmt.Sprint(c.DocChars), "use 0 for no limit"},
		{c.MinChars < 0, "min_chars", fmt.Sprint(c.MinChars), "use 0 or more"},
		{!(c.Sample > 0 && c.Sample <= 1), "sample", fmt.Sprint(c.Sample), "use a share above 0 and at most 1"},
		{!(c.HeldOut >= 0 && c.HeldOut < 1), "held_out", fmt.Sprint(c.HeldOut), "use a share from 0 to below 1"},
		{c.SplitBy != "text" && c.SplitBy != "group", "split_by", quote(c.SplitBy), `use "text" or "group"`},
		{c.HeldOut > 0 && c.SplitField != "", "held_out", fmt.Sprint(c.HeldOut), "it would replace the splits of split_field; set one of the two"},
		{c.HeldOut > 0 && (own || c.Kind == KindEntities), "held_out", fmt.Sprint(c.HeldOut), "generated concepts and facts split by word, template or entity; set held_out_share instead"},
		{c.Kind == KindNeutral && c.NeutralNumber < 1, "neutral_number", fmt.Sprint(c.NeutralNumber), "use at least 1"},
	} {
		if rule.bad {
			return fmt.Errorf("text: corpus: %s is %s; %s", rule.key, rule.got, rule.cure)
		}
	}
	switch {
	case own:
		return c.generate().Validate()
	case c.Kind == KindEntities:
		return c.entities().Validate()
	}
	return nil
}

// entities is the part of the configuration that invents entities.
func (c CorpusConfig) entities() EntityConfig {
	e := EntityConfig{Number: c.EntityNumber, Seed: c.Seed, HeldOutShare: c.HeldOutShare, SplitBy: "template"}
	if c.SplitBy == "group" {
		e.SplitBy = "entity"
	}
	return e
}

// generate is the part of the configuration that a concept suite takes.
func (c CorpusConfig) generate() GenerateConfig {
	return GenerateConfig{Concepts: c.Concepts, Seed: c.Seed, Train: c.TrainPairs, HeldOut: c.HeldOutPairs, HeldOutShare: c.HeldOutShare}
}

func quote(s string) string { return fmt.Sprintf("%q", s) }

// validDelimiter tells whether encoding/csv takes s as its field delimiter.
func validDelimiter(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n == len(s) && n > 0 && r != utf8.RuneError && r != '"' && r != '\r' && r != '\n'
}
