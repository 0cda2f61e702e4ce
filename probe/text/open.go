package text

import (
	"fmt"
	"os"
	"path/filepath"
)

// Open returns the corpus that cfg describes. Files are found and their kind is checked now; they are read by
// Docs and Digest.
func Open(cfg CorpusConfig) (Corpus, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	src, err := openSource(cfg)
	if err != nil {
		return nil, err
	}
	return &limited{src: src, cfg: cfg}, nil
}

func openSource(cfg CorpusConfig) (source, error) {
	switch cfg.Kind {
	case KindGoRoot:
		return openGoRoot(cfg.Path)
	case KindFolder:
		return openFolder(cfg)
	case KindHub:
		return openHub(cfg)
	case KindConcepts:
		return openSuiteSource(cfg)
	case KindNeutral:
		return neutralSource{n: cfg.NeutralNumber, seed: cfg.Seed}, nil
	case KindHierarchy:
		return openHierarchySource(cfg)
	case KindEntities:
		return entitySource{cfg.entities()}, nil
	}
	return openFile(cfg)
}

// openFile opens a corpus of one file.
func openFile(cfg CorpusConfig) (source, error) {
	info, err := os.Stat(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("text: open %s corpus: %w; check the path", cfg.Kind, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("text: open %s corpus: %s is not a regular file; for a folder use kind %q", cfg.Kind, cfg.Path, KindFolder)
	}
	name := filepath.Base(cfg.Path)
	return &files{title: cfg.Kind + ":" + name, list: []file{{
		name: name,
		open: func() (*os.File, error) { return os.Open(cfg.Path) },
		read: cfg.reader(cfg.Kind),
	}}}, nil
}

// reader returns the reader of files of a kind.
func (c CorpusConfig) reader(kind string) reader {
	switch kind {
	case KindJSONL:
		return jsonlReader{c}
	case KindCSV:
		return csvReader{c}
	case KindParquet:
		return parquetReader{c}
	}
	return plainReader{c}
}
