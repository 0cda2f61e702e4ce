package text

import (
	"context"
	"fmt"
	"os"
	"strconv"
)

// suiteSource is a corpus of the sentences of a concept suite. Its labels are concept, positive, category, word,
// entry, template, pair, span_start and span_end (code points).
type suiteSource struct {
	suite *Suite
	cfg   GenerateConfig
}

func openSuiteSource(cfg CorpusConfig) (source, error) {
	suite, err := NewSuite()
	if cfg.Path != "" {
		suite, err = OpenSuite(os.DirFS(cfg.Path))
	}
	if err != nil {
		return nil, err
	}
	for _, name := range cfg.Concepts {
		if _, err := suite.concept(name); err != nil {
			return nil, err
		}
	}
	return suiteSource{suite: suite, cfg: cfg.generate()}, nil
}

func (s suiteSource) name() string { return fmt.Sprintf("%s:seed %d", KindConcepts, s.cfg.Seed) }

func (s suiteSource) each(_ context.Context, emit emit) error {
	list, err := s.suite.Generate(s.cfg)
	if err != nil {
		return err
	}
	for _, l := range list {
		if !emit(l.Doc()) {
			return nil
		}
	}
	return nil
}

// Doc turns a sentence into a document; its group is the concept.
func (l Labelled) Doc() Doc {
	return Doc{
		Source: l.Concept + "/" + strconv.Itoa(l.Pair), Text: l.Text, Split: l.Split, Group: l.Concept,
		Labels: map[string]string{
			"concept": l.Concept, "positive": strconv.FormatBool(l.Positive), "category": l.Category, "word": l.Word,
			"entry": l.Entry, "template": l.Template, "pair": strconv.Itoa(l.Pair),
			"span_start": strconv.Itoa(l.Span[0]), "span_end": strconv.Itoa(l.Span[1]),
		},
	}
}
