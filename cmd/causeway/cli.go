package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"causeway/registration"

	"github.com/spf13/cobra"
)

// Exit codes of the process.
const (
	exitOK      = 0
	exitFailure = 1 // the command was understood but did not succeed
	exitUsage   = 2 // the command line or the configuration is wrong; nothing was started
)

// streams are the three standard streams, replaced in tests.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// cli is what all commands share: the global flags and the streams.
type cli struct {
	streams
	configPath string // --config, "" when not given
}

// usageError marks an error of the person who typed the command or wrote the
// configuration. It ends the process with exitUsage.
type usageError struct{ error }

// Unwrap returns the error that was marked.
func (e usageError) Unwrap() error { return e.error }

// run executes one command line and returns the exit code. What went wrong is
// printed on the error stream as plain sentences, without usage text.
func run(ctx context.Context, args []string, s streams) int {
	c := &cli{streams: s}
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if listsPlaces(err) {
		fmt.Fprintln(s.err, err)
		return exitUsage
	}
	fmt.Fprintln(s.err, "causeway:", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

// listsPlaces says whether err is a list of what is wrong with the
// configuration or with registration files: lines that begin with a place.
func listsPlaces(err error) bool {
	_, config := errors.AsType[configError](err)
	_, files := errors.AsType[registration.Faults](err)
	return config || files
}

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "causeway",
		Short: "A Matrix homeserver with bridges in one binary",
		Long: "Causeway is a Matrix homeserver with bridges in one binary.\n" +
			"Without a command it serves.",
		Args:          usageArgs(cobra.NoArgs),
		RunE:          c.serve,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.PersistentFlags().StringVar(&c.configPath, "config", "",
		"the configuration file (default $CAUSEWAY_CONFIG, else causeway.yaml in the data directory)")
	root.AddCommand(
		&cobra.Command{
			Use:   "serve",
			Short: "Run the server until a signal ends it",
			Long: "Run the server until SIGINT or SIGTERM. A second signal ends it at once.\n" +
				"SIGHUP has registration files that changed read without delay.\n" +
				"Started without a configuration, it writes an annotated one first.",
			Args: usageArgs(cobra.NoArgs),
			RunE: c.serve,
		},
		c.userCommand(),
		c.registrationCommand(),
		c.registrationTokenCommand(),
		c.bridgeCommand(),
		c.purgeCommand(),
		c.compactCommand(),
		c.configCommand(),
		c.doctorCommand(),
		c.versionCommand(),
		c.buildCommand(),
		c.ircHolderCommand(),
	)
	return root
}

// serve loads the configuration, writing one at the very first start, and
// hands over to the wiring in app.go.
func (c *cli) serve(cmd *cobra.Command, _ []string) error {
	cfg, err := c.loadConfig(writeWhenMissing)
	if err != nil {
		return err
	}
	log, err := newLogger(cfg.Log, c.err)
	if err != nil {
		return err
	}
	return serve(log.WithContext(cmd.Context()), cfg, log, c.out)
}

// group makes a command that only holds sub-commands.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("%s needs a sub-command; see %[1]s --help", cmd.CommandPath())}
		},
	}
	cmd.AddCommand(subs...)
	return cmd
}

// usageArgs marks what check finds wrong as an error of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
		}
		return nil
	}
}
