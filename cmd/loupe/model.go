package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"loupe/internal/hub"
	"loupe/probe/model"
)

func newModelCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Describe models, tokenise and generate text, check parity with a reference",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newModelCheckCmd(a))
	return cmd
}

// modelFlags are what the sub-commands that read a model share.
type modelFlags struct {
	dtype      string
	allowExtra bool
	offline    bool
}

// refHelp says what a REF argument may be.
const refHelp = `REF is minilm, smollm2, a Hugging Face folder, a .gguf file, or hf:org/name@revision.`

func (f *modelFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dtype, "dtype", string(model.Float32), "storage of the matrices: float32 or bfloat16 (computation is in float32)")
	flags.BoolVar(&f.allowExtra, "allow-extra", false, "accept tensors that the architecture does not use")
	f.addOffline(cmd)
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

// load opens the backend and loads the model of ref onto it.
func (f *modelFlags) load(ctx context.Context, a *app, ref string) (*model.Engine, *model.Model, error) {
	opt, err := f.options()
	if err != nil {
		return nil, nil, err
	}
	path, err := f.resolve(ctx, ref)
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
