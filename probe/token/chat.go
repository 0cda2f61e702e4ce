package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"loupe/probe/token/jinja"
)

// ErrNoTemplate says that the tokenizer has no chat template of the name asked for.
var ErrNoTemplate = errors.New("no chat template")

// Message is one turn of a chat.
type Message struct {
	Role    string // "system", "user", "assistant", "tool"
	Content string
	// Fields are further fields that the template may read, such as tool_calls or name. An entry "content" replaces Content (for
	// content in parts).
	Fields map[string]any
}

// ChatOptions says how a chat becomes text.
type ChatOptions struct {
	AddGenerationPrompt bool           // end with the start of the assistant's turn
	Template            string         // name of the template where there are several; "": the default one
	Tools               []any          // descriptions of tools, as maps
	Vars                map[string]any // further variables of the template, such as enable_thinking
	Now                 time.Time      // what the template sees as the time; zero: asking for it is an error
}

// Chat renders messages with the chat template of the tokenizer, as apply_chat_template of Hugging Face transformers does. The text
// holds special tokens as text: encode it without AddSpecial.
func (t *Tokenizer) Chat(messages []Message, opt ChatOptions) (string, error) {
	name := opt.Template
	if name == "" {
		name = defaultTemplate
		if _, ok := t.chat["tool_use"]; ok && len(opt.Tools) > 0 {
			name = "tool_use"
		}
	}
	source, ok := t.chat[name]
	if !ok {
		return "", fmt.Errorf("token: chat: %w %q; this tokenizer has: %s", ErrNoTemplate, name, strings.Join(t.ChatTemplates(), ", "))
	}
	template, err := jinja.Parse(source)
	if err != nil {
		return "", fmt.Errorf("token: chat template %s: %w", name, err)
	}
	vars := map[string]any{"tools": nil, "documents": nil}
	for role, id := range map[string]int32{"bos_token": t.specials.BOS, "eos_token": t.specials.EOS, "pad_token": t.specials.PAD,
		"unk_token": t.specials.UNK, "cls_token": t.specials.CLS, "sep_token": t.specials.SEP, "mask_token": t.specials.MASK} {
		if token, ok := t.Token(id); ok {
			vars[role] = token
		}
	}
	maps.Copy(vars, opt.Vars)
	turns := make([]any, len(messages))
	for i, m := range messages {
		turns[i] = m.dict()
	}
	vars["messages"], vars["add_generation_prompt"] = turns, opt.AddGenerationPrompt
	if len(opt.Tools) > 0 {
		vars["tools"] = opt.Tools
	}
	text, err := template.Render(vars, jinja.Options{Now: opt.Now, Limits: t.limits})
	if err != nil {
		return "", fmt.Errorf("token: chat template %s: %w", name, err)
	}
	return text, nil
}

// ChatTemplates returns the names of the chat templates, sorted.
func (t *Tokenizer) ChatTemplates() []string { return slices.Sorted(maps.Keys(t.chat)) }

func (m Message) dict() *jinja.Dict {
	d := jinja.NewDict().Set("role", m.Role).Set("content", m.Content)
	for _, name := range slices.Sorted(maps.Keys(m.Fields)) {
		d.Set(name, m.Fields[name])
	}
	return d
}

// defaultTemplate is the name of the template that has none.
const defaultTemplate = "default"

// chatTemplates holds template sources by name.
type chatTemplates map[string]string

func (c *chatTemplates) add(name, source string) {
	if *c == nil {
		*c = chatTemplates{}
	}
	(*c)[name] = source
}

// UnmarshalJSON reads one template, or a list of named ones.
func (c *chatTemplates) UnmarshalJSON(raw []byte) error {
	if isNull(raw) {
		return nil
	}
	var source string
	if err := json.Unmarshal(raw, &source); err == nil {
		c.add(defaultTemplate, source)
		return nil
	}
	var named []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := json.Unmarshal(raw, &named); err != nil {
		return fmt.Errorf("chat_template is neither a string nor a list of named ones: %w", err)
	}
	for _, n := range named {
		c.add(n.Name, n.Template)
	}
	return nil
}
