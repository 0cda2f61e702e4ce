package capture

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"loupe/probe/text"
	"loupe/probe/token"
)

// chat is a chat template around one user message, with the start of the answer after it: what a chat model reads just
// before it speaks.
type chat struct {
	before, after string
}

// standIn is put in a message's place to see what the template has around it.
const standIn = "loupe7message"

func newChat(tok *token.Tokenizer) (*chat, error) {
	rendered, err := renderChat(tok, standIn)
	if err != nil {
		return nil, fmt.Errorf("capture: chat: %w; use a model with a chat template, or set chat to false", err)
	}
	before, after, ok := strings.Cut(rendered, standIn)
	if !ok || strings.Contains(after, standIn) {
		return nil, errors.New("capture: chat: the model's chat template does not hold the user's message once, as it is; set chat to false")
	}
	return &chat{before, after}, nil
}

func renderChat(tok *token.Tokenizer, message string) (string, error) {
	return tok.Chat([]token.Message{{Role: "user", Content: message}}, token.ChatOptions{AddGenerationPrompt: true})
}

// parts returns the tokens of the rendered chat before, in and after the document's text. Those around it are special
// and have no place in the text. Templates may trim white space off the message.
func (c *chat) parts(tok *token.Tokenizer, d text.Doc, doc int32) (prefix, body, suffix []cell, err error) {
	rendered, err := renderChat(tok, d.Text)
	if err != nil {
		return nil, nil, nil, err
	}
	message, ok := strings.CutPrefix(rendered, c.before)
	if ok {
		message, ok = strings.CutSuffix(message, c.after)
	}
	skipped := strings.Index(d.Text, message)
	if !ok || skipped < 0 || strings.TrimSpace(message) != strings.TrimSpace(d.Text) {
		return nil, nil, nil, errors.New("the chat template changes this text, so that tokens have no place in it; leave the document out, or set chat to false")
	}
	enc, err := tok.Encode(rendered, token.EncodeOptions{})
	if err != nil {
		return nil, nil, nil, err
	}
	all := cells(&enc, 0, enc.Len(), doc)
	lo := int32(utf8.RuneCountInString(c.before))
	hi := lo + int32(utf8.RuneCountInString(message))
	shift := int32(utf8.RuneCountInString(d.Text[:skipped])) - lo
	first, last := len(all), -1
	for i, x := range all {
		if x.start < hi && x.end > lo {
			first, last = min(first, i), i
			all[i].start, all[i].end = max(x.start, lo)+shift, min(x.end, hi)+shift
			continue
		}
		all[i].start, all[i].end, all[i].special = 0, 0, true
	}
	if last < 0 {
		return all, nil, nil, nil
	}
	return all[:first], all[first : last+1], all[last+1:], nil
}
