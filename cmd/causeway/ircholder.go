package main

import (
	"os"
	"os/exec"

	"causeway/bridges/irc"

	"github.com/spf13/cobra"
)

// holderEnviron is what says how connections are made: whom TLS trusts, and how names are resolved.
var holderEnviron = []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG", "LOCALDOMAIN", "RES_OPTIONS"}

// ircHolder makes the command that keeps IRC connections over a restart of the server.
func ircHolder(socket string) *exec.Cmd {
	program, err := ownProgram()
	if err != nil {
		program = os.Args[0]
	}
	cmd := exec.Command(program, "irc-holder", socket)
	cmd.Args[0] = os.Args[0]
	// The rest of what the server is told by its environment is not for it.
	cmd.Env = []string{}
	for _, name := range holderEnviron {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
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
