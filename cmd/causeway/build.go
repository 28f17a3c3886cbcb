package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"causeway/bridges/builder"

	"github.com/spf13/cobra"
)

func (c *cli) buildCommand() *cobra.Command {
	var (
		with   []string
		output string
		source string
	)
	cmd := &cobra.Command{
		Use:   "build --with MODULE[@VERSION][=REPLACEMENT]",
		Short: "Make a program that has networks of others in it",
		Long: "Make a causeway that also has networks of others in it: connectors of mautrix's bridgev2, such as\n" +
			"those of the mautrix bridges. It needs the Go toolchain, and the source of Causeway. MODULE is a\n" +
			"Go module, VERSION one of its versions (else the latest), REPLACEMENT a folder, or MODULE@VERSION,\n" +
			"to take in its place. Where the connector is not found: MODULE/PACKAGE.Type; for another name\n" +
			"of the network: NAME:MODULE. It says which licence the program is under.\n\n" +
			"The network gets a section in the configuration, bridges.NAME: enabled, isolation (none or process),\n" +
			"permissions, and network, with what the connector itself reads.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.build(cmd.Context(), with, output, source) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&with, "with", nil, "a connector to put in; may be given more than once")
	f.StringVar(&output, "output", "causeway-with-networks", "the file to write")
	f.StringVar(&source, "source", "", "the folder of Causeway's source (default: the one around the working directory, or around this program)")
	return cmd
}

func (c *cli) build(ctx context.Context, with []string, output, source string) error {
	o := builder.Options{Output: output, Source: source, Log: c.out}
	ids := map[string]bool{}
	for _, text := range with {
		connector, err := builder.ParseConnector(text)
		if err != nil {
			return usageError{fmt.Errorf("--with: %w", err)}
		}
		if ids[connector.ID] {
			return usageError{fmt.Errorf("--with: two networks are called %s; put another name before one: NAME:MODULE", connector.ID)}
		}
		ids[connector.ID] = true
		o.With = append(o.With, connector)
	}
	if len(o.With) == 0 {
		return usageError{fmt.Errorf("build needs --with: say which connector is to be put in")}
	}
	if o.Source == "" {
		var folders []string
		if here, err := os.Getwd(); err == nil {
			folders = append(folders, here)
		}
		if program, err := os.Executable(); err == nil {
			folders = append(folders, filepath.Dir(program))
		}
		found, err := builder.FindSource(folders...)
		if err != nil {
			return usageError{err}
		}
		o.Source = found
	}
	o.Mautrix = ownMautrix()
	return builder.Build(ctx, o)
}

// ownMautrix is the version of mautrix in this program, "" when that is not known.
func ownMautrix() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == builder.MautrixModule {
			return dep.Version
		}
	}
	return ""
}
