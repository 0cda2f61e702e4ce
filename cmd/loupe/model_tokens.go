package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/probe/token"
)

// tokensOf is one text of `loupe model tokens --json`.
type tokensOf struct {
	Text    string   `json:"text"`
	IDs     []int32  `json:"ids"`
	Tokens  []string `json:"tokens"`
	Offsets [][2]int `json:"offsets"` // [start, end) in code points of text
	Special []bool   `json:"special"`
}

func newModelTokensCmd(a *app) *cobra.Command {
	var f modelFlags
	var chat, bare bool
	var system string
	cmd := &cobra.Command{
		Use:   "tokens REF TEXT...",
		Short: "Show the tokens of texts: ids, tokens and offsets",
		Long: `Show the tokens of each TEXT with their ids and their offsets in code points of the text, and the special tokens that the
model's tokenizer adds. With --chat the texts are the turns of one chat, the user's first, in the model's chat template. ` + refHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("a model and at least one text are needed; usage: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if system != "" && !chat {
				return usagef("--system is a turn of a chat; add --chat")
			}
			path, err := f.resolve(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			t, err := token.Load(path)
			if err != nil {
				return err
			}
			texts, special := args[1:], !bare
			if chat {
				text, err := render(t, system, texts)
				if err != nil {
					return err
				}
				texts, special = []string{text}, false
			}
			out := make([]tokensOf, 0, len(texts))
			for _, text := range texts {
				e, err := t.Encode(text, token.EncodeOptions{AddSpecial: special})
				if err != nil {
					return err
				}
				out = append(out, tokensOf{text, e.IDs, e.Tokens, e.Offsets, e.Special})
			}
			return a.printTokens(out)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&chat, "chat", false, "write the texts as the turns of a chat in the model's chat template")
	flags.StringVar(&system, "system", "", "system message of the chat")
	flags.BoolVar(&bare, "no-special", false, "add no special tokens")
	f.addOffline(cmd)
	return cmd
}

func (a *app) printTokens(texts []tokensOf) error {
	if a.json {
		return a.printJSON(texts)
	}
	for i, text := range texts {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "%q: %d tokens\nPOS\tID\tTOKEN\tOFFSETS\n", text.Text, len(text.IDs))
		for j, id := range text.IDs {
			mark := ""
			if text.Special[j] {
				mark = "\tspecial"
			}
			fmt.Fprintf(w, "%d\t%d\t%q\t%d..%d%s\n", j, id, text.Tokens[j], text.Offsets[j][0], text.Offsets[j][1], mark)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
