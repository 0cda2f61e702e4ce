package text_test

import (
	"context"
	"fmt"

	"loupe/probe/text"
)

func ExampleOpen() {
	cfg := text.DefaultCorpusConfig(text.KindNeutral)
	cfg.NeutralNumber, cfg.HeldOut, cfg.Seed = 4, 0.5, 1
	corpus, err := text.Open(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	for doc, err := range corpus.Docs(context.Background()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(doc.ID, doc.Split, doc.Text)
	}
	// Output:
	// 0 train The side of the building was visible from the cupboard in a way.
	// 1 held-out The side of the building was near the cupboard in this case.
	// 2 held-out A wooden table could be reached from the middle of the hall for the most part.
	// 3 train A piece of string was in line with an open door in this case.
}

func ExampleSuite_Generate() {
	suite, err := text.NewSuite()
	if err != nil {
		fmt.Println(err)
		return
	}
	sentences, err := suite.Generate(text.GenerateConfig{Concepts: []string{"animals"}, Train: 1, HeldOut: 1, HeldOutShare: 0.3})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range sentences {
		fmt.Println(s.Split, s.Positive, s.Span, s.Text)
	}
	// Output:
	// train true [8 16] Another kangaroo was described further down.
	// train false [8 15] Another caravan was described further down.
	// held-out true [5 10] This zebra was not mentioned in the report.
	// held-out false [5 9] This vine was not mentioned in the report.
}
