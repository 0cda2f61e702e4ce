package capture

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/probe/capture/capturetest"
	"loupe/probe/text"
	"loupe/probe/token"
)

// chatTokenizer is the word tokenizer with a chat template.
func chatTokenizer(t *testing.T, template string) *token.Tokenizer {
	t.Helper()
	dir := t.TempDir()
	capturetest.WriteTokenizer(t, dir, 40)
	b, err := json.Marshal(map[string]string{"bos_token": "[BOS]", "chat_template": template})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	tok, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestChat(t *testing.T) {
	const template = `{{ bos_token }}{% for m in messages %} w5 w7 : {{ m['content'] | trim }} [SEP]{% endfor %}{% if add_generation_prompt %} w6{% endif %}`
	tok := chatTokenizer(t, template)
	for _, tc := range []struct {
		name, text, overflow string
		length               int
		want                 []string
	}{
		{"trimmed", "  w7 é w9 ", Truncate, 20, []string{"0: [4] [5] [7] [1] 7@2-4 1@5-6 9@7-9 [3] [6]"}},
		{"truncated keeps the template", "w7 w8 w9 w10", Truncate, 8, []string{"0: [4] [5] [7] [1] 7@0-2 8@3-5 [3] [6]"}},
		{"split repeats the template", "w7 w8 w9", Split, 8, []string{"0: [4] [5] [7] [1] 7@0-2 8@3-5 [3] [6]", "1: [4] [5] [7] [1] 9@6-8 [3] [6]"}},
		{"the template's own words", "w5 w7 :", Truncate, 20, []string{"0: [4] [5] [7] [1] 5@0-2 7@3-5 1@6-7 [3] [6]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Chat, cfg.Overflow = true, tc.overflow
			e, err := newEncoder(tok, &cfg, tc.length, 40)
			if err != nil {
				t.Fatal(err)
			}
			seqs, _, err := e.sequences(text.Doc{Text: tc.text}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := shape(seqs); !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestChatErrors(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Chat = true
	for template, want := range map[string]string{
		`{% for m in messages %}{{ m['content'] | upper }}{% endfor %}`:                     "does not hold the user's message once",
		`{% for m in messages %}{{ m['content'] }} {{ m['content'] }}{% endfor %}`:          "does not hold the user's message once",
		`{{ raise_exception('no users here') }}`:                                            "no users here",
		`{% for m in messages %}{{ m['content'] | replace('w8', 'w9') }}{% endfor %} [SEP]`: "document 0 (): the chat template changes this text",
		`[BOS] {% for m in messages %}{{ m['content'] }}{% endfor %} w5 w6 w7 w9`:           "leaves no room beside the template's 5 tokens",
	} {
		e, err := newEncoder(chatTokenizer(t, template), &cfg, 5, 40)
		if err == nil {
			_, _, err = e.sequences(text.Doc{Text: "w8"}, 0)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", template, err, want)
		}
	}
}
