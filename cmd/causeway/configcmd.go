package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// checkFiles reads the files that calls need at the start.
func (c *Config) checkFiles() error {
	var errs []error
	if c.Calls.Enabled && c.Role == roleHomeserver {
		page, err := openCallPage(c)
		errs = append(errs, err)
		if err == nil {
			errs = append(errs, page.close())
		}
	}
	if c.TURN.Enabled && !c.TURN.elsewhere() && len(c.TURN.TLS.Listen) > 0 {
		_, err := (&certificateFiles{certificate: c.TURN.TLS.Certificate, key: c.TURN.TLS.Key}).get(nil)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *cli) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with the configuration and the registration files, without starting anything",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := c.loadConfig(defaultsWhenMissing)
			if err != nil {
				return err
			}
			if _, err := openRegistrations(cfg, zerolog.Nop(), nil); err != nil {
				return err
			}
			if err := cfg.checkFiles(); err != nil {
				return usageError{err}
			}
			path, _ := c.findConfig()
			fmt.Fprintf(c.out, "%s is good: server %s on %s, data in %s\n", path, cfg.ServerName, cfg.Listen, cfg.DataDir)
			return nil
		},
	}
	example := &cobra.Command{
		Use:   "example",
		Short: "Print an annotated configuration that holds the defaults",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if _, err := c.out.Write(exampleConfig); err != nil {
				return err
			}
			for _, n := range networks {
				fmt.Fprintf(c.out, "\n# What the connector of %s says of its section, bridges.%[1]s.network:\n", n.ID)
				for line := range strings.Lines(n.Example()) {
					fmt.Fprintf(c.out, "# %s\n", strings.TrimRight(line, "\n"))
				}
			}
			return nil
		},
	}
	return group("config", "Check the configuration, or print an example", check, example)
}
