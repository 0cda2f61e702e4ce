package task

import (
	"errors"
	"fmt"
	"slices"

	"loupe/probe/token"
)

// Example is a prompt as tokens.
type Example struct {
	Prompt
	CleanIDs     []int32 // [T]
	CorruptedIDs []int32 // [T]
	AnswerIDs    []int32 // one token each
	WrongIDs     []int32
}

// Rejected is a prompt that the tokenizer cannot be asked.
type Rejected struct {
	Prompt Prompt
	Reason string
}

// AlignConfig says how prompts become tokens.
type AlignConfig struct {
	Start *int32 // put in front of every prompt where the tokenizer adds nothing: the start token of GPT-2; nil: none
	Keep  int    // examples that are wanted; 0: all. Fewer are an error
}

// Align tokenises prompts. Rejected are those whose two prompts have not equally many tokens or are the same, or one of whose answers is not
// one token; if none is left, or fewer than Keep, that is an error with the first reason.
func Align(tok *token.Tokenizer, prompts []Prompt, cfg AlignConfig) ([]Example, []Rejected, error) {
	var out []Example
	var rejected []Rejected
	for _, p := range prompts {
		if cfg.Keep > 0 && len(out) == cfg.Keep {
			break
		}
		e, err := alignOne(tok, p, cfg)
		if err != nil {
			rejected = append(rejected, Rejected{p, err.Error()})
			continue
		}
		out = append(out, e)
	}
	if len(out) == 0 || len(out) < cfg.Keep {
		reason := "there are no prompts"
		if len(rejected) > 0 {
			reason = fmt.Sprintf("first: %q: %s", rejected[0].Prompt.Clean, rejected[0].Reason)
		}
		return nil, rejected, fmt.Errorf("task: %d of %d prompts align, %d are wanted; %s; generate more, or use words that the tokenizer keeps whole", len(out), len(prompts), max(cfg.Keep, 1), reason)
	}
	return out, rejected, nil
}

func alignOne(tok *token.Tokenizer, p Prompt, cfg AlignConfig) (Example, error) {
	if err := p.check(); err != nil {
		return Example{}, err
	}
	e := Example{Prompt: p}
	for _, side := range []struct {
		text string
		dst  *[]int32
	}{{p.Clean, &e.CleanIDs}, {p.Corrupted, &e.CorruptedIDs}} {
		enc, err := tok.Encode(side.text, token.EncodeOptions{AddSpecial: true})
		if err != nil {
			return e, err
		}
		if *side.dst = enc.IDs; cfg.Start != nil && (len(enc.Special) == 0 || !enc.Special[0]) {
			*side.dst = slices.Insert(slices.Clone(enc.IDs), 0, *cfg.Start)
		}
	}
	if len(e.CleanIDs) != len(e.CorruptedIDs) {
		return e, fmt.Errorf("the clean prompt has %d tokens, the corrupted one %d", len(e.CleanIDs), len(e.CorruptedIDs))
	}
	if slices.Equal(e.CleanIDs, e.CorruptedIDs) {
		return e, errors.New("the corrupted prompt is the clean one")
	}
	for _, side := range []struct {
		words []string
		dst   *[]int32
	}{{p.Answers, &e.AnswerIDs}, {p.Wrongs, &e.WrongIDs}} {
		for _, w := range side.words {
			enc, err := tok.Encode(w, token.EncodeOptions{})
			if err != nil {
				return e, err
			}
			if enc.Len() != 1 {
				return e, fmt.Errorf("%q is %d tokens, not one", w, enc.Len())
			}
			*side.dst = append(*side.dst, enc.IDs[0])
		}
	}
	for _, id := range e.AnswerIDs {
		if slices.Contains(e.WrongIDs, id) {
			return e, fmt.Errorf("token %d is an answer and a wrong one", id)
		}
	}
	return e, nil
}
