package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loupe/internal/gguf"
	"loupe/internal/graphtest"
	"loupe/probe/token/jinja"
)

// chatCases are chats with what transformers makes of them (testdata/make_chats.py).
type chatCases struct {
	Now       time.Time
	Templates map[string]string
	Chats     [][]orderedDict
	Options   []struct {
		AddGenerationPrompt bool          `json:"add_generation_prompt"`
		Tools               []orderedDict `json:"tools"`
		Vars                map[string]any
	}
	Cases, SmolLM2 []chatCase
}

type chatCase struct {
	Template      string
	Chat, Options int
	Want          *string
	Error         string
}

// orderedDict is a JSON object whose order of keys counts, as it does in templates.
type orderedDict struct{ *jinja.Dict }

func (o *orderedDict) UnmarshalJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	v, err := readOrdered(dec)
	if err == nil {
		o.Dict = v.(*jinja.Dict)
	}
	return err
}

func readOrdered(dec *json.Decoder) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		if i, err := t.Int64(); err == nil {
			return i, nil
		}
		return t.Float64()
	case json.Delim:
		out, d := []any{}, jinja.NewDict()
		for dec.More() {
			key := ""
			if t == '{' {
				k, err := dec.Token()
				if err != nil {
					return nil, err
				}
				key = k.(string)
			}
			v, err := readOrdered(dec)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
			d.Set(key, v)
		}
		_, err := dec.Token()
		if t == '{' {
			return d, err
		}
		return out, err
	}
	return t, nil
}

func readChats(t *testing.T) chatCases {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "chats.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c chatCases
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// messages turns the stored form into Messages.
func (c *chatCases) messages(t *testing.T, chat int) []Message {
	t.Helper()
	var out []Message
	for _, d := range c.Chats[chat] {
		m := Message{Fields: map[string]any{}}
		for _, k := range d.Keys() {
			v, _ := d.Get(k)
			text, isText := v.(string)
			switch {
			case k == "role":
				m.Role = text
			case k == "content" && isText:
				m.Content = text
			default:
				m.Fields[k] = v
			}
		}
		out = append(out, m)
	}
	return out
}

func (c *chatCases) check(t *testing.T, tok *Tokenizer, k chatCase) {
	t.Helper()
	o := c.Options[k.Options]
	opt := ChatOptions{AddGenerationPrompt: o.AddGenerationPrompt, Template: k.Template, Vars: o.Vars, Now: c.Now}
	for _, tool := range o.Tools {
		opt.Tools = append(opt.Tools, tool.Dict)
	}
	got, err := tok.Chat(c.messages(t, k.Chat), opt)
	switch {
	case k.Want == nil:
		if err == nil {
			t.Errorf("%s, chat %d, options %d: %q where Jinja has a %s", k.Template, k.Chat, k.Options, got, k.Error)
		}
	case err != nil:
		t.Errorf("%s, chat %d, options %d: %v", k.Template, k.Chat, k.Options, err)
	case got != *k.Want:
		t.Errorf("%s, chat %d, options %d\n got %q\nwant %q", k.Template, k.Chat, k.Options, got, *k.Want)
	}
}

// wordTokenizer is a tokenizer of a few whole words.
const wordTokenizer = `{"model": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3}},
	"pre_tokenizer": {"type": "WhitespaceSplit"}, "added_tokens": [{"id": 2, "content": "</s>", "special": true}]}`

func TestChat(t *testing.T) {
	c := readChats(t)
	tok, err := Parse([]byte(wordTokenizer))
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.configure([]byte(`{"bos_token": "<s>", "eos_token": {"content": "</s>"}}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Chat(nil, ChatOptions{}); !errors.Is(err, ErrNoTemplate) {
		t.Errorf("without a template: %v", err)
	}
	tok.chat = c.Templates
	for _, k := range c.Cases {
		c.check(t, tok, k)
	}
	t.Logf("%d renderings of %d templates", len(c.Cases), len(c.Templates))
}

// TestChatSmolLM2 renders with the template in SmolLM2's GGUF file.
func TestChatSmolLM2(t *testing.T) {
	c := readChats(t)
	file, err := gguf.Open(filepath.Join(graphtest.Model(t, "smollm2"), "SmolLM2-135M-Instruct.Q4_1.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tok, err := FromGGUF(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range c.SmolLM2 {
		c.check(t, tok, k)
	}
}

// TestChatTransformers compares with the transformers that python3 has, if any.
func TestChatTransformers(t *testing.T) {
	const script = `
import json, sys
from transformers.utils.chat_template_utils import _compile_jinja_template
c = json.load(open(sys.argv[1]))
out = []
for name, source in c["templates"].items():
    if "strftime_now" in source:
        continue
    for i, chat in enumerate(c["chats"]):
        try:
            out.append([name, i, _compile_jinja_template(source).render(messages=chat, tools=None, documents=None, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")])
        except Exception:
            out.append([name, i, None])
print(json.dumps(out))`
	raw, err := exec.Command("python3", "-c", script, filepath.Join("testdata", "chats.json")).Output()
	if err != nil {
		t.Skipf("python3 cannot run transformers: %v", err)
	}
	var rows [][3]any
	if err := json.Unmarshal(raw, &rows); err != nil {
		t.Fatal(err)
	}
	c := readChats(t)
	tok, err := Parse([]byte(wordTokenizer))
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.configure([]byte(`{"bos_token": "<s>", "eos_token": "</s>"}`)); err != nil {
		t.Fatal(err)
	}
	tok.chat = c.Templates
	for _, r := range rows {
		k := chatCase{Template: r[0].(string), Chat: int(r[1].(float64)), Options: 1, Error: "failure"}
		if s, ok := r[2].(string); ok {
			k.Want = &s
		}
		c.check(t, tok, k)
	}
	t.Logf("%d renderings", len(rows))
}

// TestLoadFolder reads roles and templates from the files beside tokenizer.json.
func TestLoadFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("tokenizer.json", wordTokenizer)
	write("special_tokens_map.json", `{"unk_token": "<unk>", "eos_token": "<unk>"}`)
	write("tokenizer_config.json", `{"eos_token": {"content": "</s>", "lstrip": false}, "bos_token": null, "model_max_length": 1000000000000000019884624838656,
		"chat_template": [{"name": "default", "template": "old"}, {"name": "tool_use", "template": "{{ tools[0].name }}"}]}`)
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := noSpecials()
	want.UNK, want.EOS = 0, 2
	if tok.Specials() != want {
		t.Errorf("specials %+v, want %+v", tok.Specials(), want)
	}
	if p := tok.Policy(); p.ModelMaxLen != 0 || p.MaxLen != 0 || !p.AddSpecial || p.Tokenizer != tok.Digest() {
		t.Errorf("policy %+v", p)
	}
	if s, err := tok.Chat(nil, ChatOptions{Tools: []any{map[string]any{"name": "n"}}}); s != "n" || err != nil {
		t.Errorf("tool_use: %q, %v", s, err)
	}
	write("chat_template.jinja", "{{ eos_token }}new")
	if tok, err = Load(dir); err != nil {
		t.Fatal(err)
	}
	if s, err := tok.Chat(nil, ChatOptions{}); s != "</s>new" || err != nil {
		t.Errorf("chat_template.jinja: %q, %v", s, err)
	}
	if got := strings.Join(tok.ChatTemplates(), " "); got != "default tool_use" {
		t.Errorf("templates %s", got)
	}
	write("tokenizer_config.json", `{"eos_token": "<nowhere>"}`)
	if _, err = Load(dir); err == nil || !strings.Contains(err.Error(), `"<nowhere>"`) {
		t.Errorf("a special token that is not there: %v", err)
	}
	if _, err = Load(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
