package lab

import (
	"io"

	"loupe/internal/expect"
	"loupe/probe/model"
)

// Options say where things go; they change no result.
type Options struct {
	Stores string    // folder of the activation stores, which runs with equal text, model and site share
	Err    io.Writer // receives progress; nil for none
	// Engine compiles the programs, so that runs can share them; nil makes one.
	Engine *model.Engine

	Expect  []expect.Line // expectations to judge
	Other   string        // why the expectations are not for this run's settings; "" when they are
	Command string        // command line, for the report
	YAML    []byte        // resolved configuration, for the report
}

// Judge gives every expectation its verdict, or marks all as not applicable where the settings are others.
func (o *Options) Judge(got map[string]expect.Metric) []expect.Judgement {
	if o.Other != "" {
		return expect.Refuse(o.Expect, o.Other)
	}
	return expect.Judge(o.Expect, got)
}
