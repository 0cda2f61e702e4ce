package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"loupe/internal/hub"
	"loupe/probe/model"
	"loupe/probe/token"
)

func newModelCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Describe models, tokenise and generate text, check parity with a reference",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newModelInfoCmd(a), newModelTokensCmd(a), newModelGenerateCmd(a), newModelCheckCmd(a))
	return cmd
}

// refHelp says what a REF argument may be.
const refHelp = `REF is minilm, smollm2, a Hugging Face folder, a .gguf file, or hf:org/name@revision.`

// modelFlags are what the sub-commands that read a model share.
type modelFlags struct {
	dtype      string
	allowExtra bool
	offline    bool
}

func (f *modelFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dtype, "dtype", string(model.Float32), "storage of the matrices: float32 or bfloat16 (computation is in float32)")
	f.addExtra(cmd)
	f.addOffline(cmd)
}

func (f *modelFlags) addExtra(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.allowExtra, "allow-extra", false, "accept tensors that the architecture does not use")
}

func (f *modelFlags) addOffline(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.offline, "offline", false, "never use the network")
}

func (f *modelFlags) options() (model.Options, error) {
	opt := model.Options{DType: model.DType(f.dtype), AllowExtra: f.allowExtra}
	if opt.DType != model.Float32 && opt.DType != model.BFloat16 {
		return opt, usagef("--dtype %q: use float32 or bfloat16", f.dtype)
	}
	return opt, nil
}

// resolve finds the folder or file that ref stands for. A malformed reference is a usage error.
func (f *modelFlags) resolve(ctx context.Context, ref string) (string, error) {
	path, err := hub.Resolve(ctx, ref, hub.Options{Offline: f.offline})
	if errors.Is(err, hub.ErrRef) {
		return "", usageError{err}
	}
	return path, err
}

// load opens the backend and loads the model at path onto it.
func (f *modelFlags) load(ctx context.Context, a *app, path string) (*model.Engine, *model.Model, error) {
	opt, err := f.options()
	if err != nil {
		return nil, nil, err
	}
	b, err := a.open()
	if err != nil {
		return nil, nil, err
	}
	m, err := model.Load(ctx, b, path, opt)
	if err != nil {
		return nil, nil, err
	}
	return model.NewEngine(b, a.log), m, nil
}

// render writes texts as turns of a chat, the user's first, that end with the start of the assistant's.
func render(t *token.Tokenizer, system string, texts []string) (string, error) {
	var messages []token.Message
	if system != "" {
		messages = append(messages, token.Message{Role: "system", Content: system})
	}
	for i, text := range texts {
		role := "user"
		if i%2 == 1 {
			role = "assistant"
		}
		messages = append(messages, token.Message{Role: role, Content: text})
	}
	return t.Chat(messages, token.ChatOptions{AddGenerationPrompt: true})
}
