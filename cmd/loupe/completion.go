package main

import (
	"github.com/spf13/cobra"
)

func newCompletionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script of a shell",
		Long: `Print the completion script of a shell. To use it:

  bash        source <(loupe completion bash)
  zsh         loupe completion zsh > "${fpath[1]}/_loupe"
  fish        loupe completion fish > ~/.config/fish/completions/loupe.fish
  powershell  loupe completion powershell | Out-String | Invoke-Expression`,
		Args:                  exactArgs(1),
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return usagef("unknown shell %q; use bash, zsh, fish or powershell", args[0])
		},
	}
}
