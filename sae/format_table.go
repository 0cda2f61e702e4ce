package sae

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The formats in which SAEs are exchanged.
const (
	FormatSAELens            = "saelens"             // cfg.json and sae_weights.safetensors
	FormatSparsify           = "sparsify"            // EleutherAI/sparsify: cfg.json and sae.safetensors
	FormatDictionaryLearning = "dictionary_learning" // saprmarks/dictionary_learning: config.json and ae.pt
	FormatGemmaScope         = "gemma_scope"         // params.npz; read only
	FormatLlamaScope         = "llama_scope"         // hyperparams.json and checkpoints/final.safetensors; read only
	FormatOpenAI             = "openai"              // openai/sparse_autoencoder: one .pt file
	FormatCrosscoder         = "crosscoder"          // loupe's own: crosscoder.json and crosscoder.safetensors
	FormatSoFCrosscoder      = "sof_crosscoder"      // science-of-finetuning's dictionary_learning: config.json and model.safetensors, or a .pt file
	FormatKissaneCrosscoder  = "kissane_crosscoder"  // ckkissane/crosscoder-model-diff-replication: cfg.json and cc_weights.pt
	FormatCLT                = "clt"                 // circuit-tracer: config.yaml, W_enc_i.safetensors and W_dec_i.safetensors
)

// Format describes one of the formats.
type Format struct {
	Name   string
	Files  []string // of an SAE's folder, which tell the format; none: the SAE is one file
	Suffix string   // of an SAE that is one file
	Writes bool     // loupe writes it too
}

// format is one row of the table of formats.
type format struct {
	name   string
	files  []string
	suffix string
	read   func(path string) (*SAE, error)
	// write writes the SAE and returns what changed in its form, in sentences. Nil: read only.
	write func(s *SAE, path string) ([]string, error)

	// match tells, in place of files and suffix, whether a folder or file is of the format. Nil: files and suffix do.
	match func(path string, folder bool) bool
	// readCoder and writeCoder are those of formats that hold no SAE of one site.
	readCoder  func(path string) (Coder, error)
	writeCoder func(c Coder, path string) ([]string, error)
}

// formats is the table; the first that matches a path is its format.
func formats() []format {
	return []format{
		crosscoderFormatRow(), sofFormatRow(), kissaneFormatRow(), cltFormatRow(),
		{name: FormatSAELens, files: []string{configFile, weightsFile}, read: Load, write: writeSAELens},
		{name: FormatSparsify, files: []string{configFile, sparsifyWeights}, read: readSparsify, write: writeSparsify},
		{name: FormatDictionaryLearning, files: []string{dictionaryConfig, dictionaryWeights}, read: readDictionaryLearning, write: writeDictionaryLearning},
		{name: FormatGemmaScope, files: []string{gemmaScopeWeights}, suffix: ".npz", read: readGemmaScope},
		{name: FormatLlamaScope, files: []string{llamaScopeConfig, llamaScopeWeights}, read: readLlamaScope},
		{name: FormatOpenAI, suffix: ".pt", read: readOpenAI, write: writeOpenAI},
	}
}

// Formats returns the formats that [Read] understands.
func Formats() []Format {
	var out []Format
	for _, f := range formats() {
		out = append(out, Format{f.name, f.files, f.suffix, f.write != nil || f.writeCoder != nil})
	}
	return out
}

// is tells whether path, a folder or a file, is of the format.
func (f format) is(path string, folder bool) bool {
	if f.match != nil {
		return f.match(path, folder)
	}
	if !folder {
		return f.suffix != "" && strings.HasSuffix(path, f.suffix)
	}
	for _, name := range f.files {
		if _, err := os.Stat(filepath.Join(path, filepath.FromSlash(name))); err != nil {
			return false
		}
	}
	return len(f.files) > 0
}

// marks says by which files the format is told.
func (f format) marks() string {
	if f.files == nil {
		return "a " + f.suffix + " file"
	}
	return strings.Join(f.files, " and ")
}

// DetectFormat tells by its files which format the folder or file at path has.
func DetectFormat(path string) (string, error) {
	f, err := detect(path)
	return f.name, err
}

func detect(path string) (format, error) {
	info, err := os.Stat(path)
	if err != nil {
		return format{}, fmt.Errorf("sae: %w; name a folder or file with an SAE", err)
	}
	var want []string
	for _, f := range formats() {
		if f.is(path, info.IsDir()) {
			return f, nil
		}
		want = append(want, fmt.Sprintf("%s (%s)", f.name, f.marks()))
	}
	if other := otherFormat(path); other != "" {
		return format{}, fmt.Errorf("sae: %s holds %s", path, other)
	}
	return format{}, fmt.Errorf("sae: %s has the files of no format: want %s; name the innermost folder", path, strings.Join(want, ", "))
}

// otherFormat names known layouts that hold no single SAE, with what to do.
func otherFormat(path string) string {
	for file, what := range map[string]string{
		"trainer_0":         "several SAEs of dictionary_learning; name one of the folders trainer_N",
		"model.safetensors": "a model",
		"state.pt":          "a training run of sparsify; name the folder of one hookpoint in it",
	} {
		if _, err := os.Stat(filepath.Join(path, file)); err == nil {
			return what
		}
	}
	return ""
}

// Read reads the SAE at path in any of the [Formats] but those of several sites (see [ReadCoder]) and returns the format's name. Its Encode and Decode give what the
// tool of the format gives.
func Read(path string) (*SAE, string, error) {
	f, err := detect(path)
	if err != nil {
		return nil, "", err
	}
	if f.read == nil {
		return nil, f.name, fmt.Errorf("sae: %s is of format %s, whose coders read several sites; this needs an SAE of one", path, f.name)
	}
	s, err := f.read(path)
	return s, f.name, err
}

// Write writes the SAE to path in a format, for the tool that the format belongs to. An SAE that the tool cannot
// express is an error; where only its form has to change, the function stays the same up to rounding and the returned
// notes say what changed.
func (s *SAE) Write(path, name string) (notes []string, err error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	var can []string
	for _, f := range formats() {
		if f.name == name && f.write != nil {
			notes, err := f.write(s, path)
			if err != nil {
				return nil, fmt.Errorf("sae: write %s as %s: %w", path, name, err)
			}
			return notes, nil
		}
		if f.write != nil {
			can = append(can, f.name)
		}
	}
	return nil, fmt.Errorf("sae: format %q is not written; written: %s", name, strings.Join(can, ", "))
}

// writeSAELens writes SAELens's folder, and notes what sae-lens itself does not read.
func writeSAELens(s *SAE, path string) ([]string, error) {
	var notes []string
	switch s.Arch {
	case ArchTopKTranscoder, ArchTopKSkipTranscoder, ArchGroupMax:
		notes = []string{fmt.Sprintf("sae-lens itself does not read the architecture %s; loupe does", s.Arch)}
	}
	return notes, s.save(path, nil)
}
