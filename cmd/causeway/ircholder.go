package main

import (
	"os"
	"os/exec"

	"causeway/bridges/irc"

	"github.com/spf13/cobra"
)

// ircHolder makes the command that keeps IRC connections over a restart of the server.
func ircHolder(socket string) *exec.Cmd {
	program, err := ownProgram()
	if err != nil {
		program = os.Args[0]
	}
	cmd := exec.Command(program, "irc-holder", socket)
	cmd.Args[0] = os.Args[0]
	cmd.Env = []string{} // what the server is told by its environment is not for it
	return cmd
}

// ircHolderCommand is for the bridge, which starts it, and for who wants all to say goodbye at once.
func (c *cli) ircHolderCommand() *cobra.Command {
	var end bool
	cmd := &cobra.Command{
		Use:    "irc-holder SOCKET",
		Short:  "Keep IRC connections while the server is started again; a signal has all say goodbye",
		Hidden: true,
		Args:   usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if end {
				return irc.EndHolder(cmd.Context(), args[0])
			}
			return irc.RunHolder(cmd.Context(), args[0], c.out)
		},
	}
	cmd.Flags().BoolVar(&end, "end", false, "have the one that runs say goodbye on all connections, and end")
	return cmd
}
