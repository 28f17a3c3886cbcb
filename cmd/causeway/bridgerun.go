package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"causeway/bridges"
	"causeway/bridges/process"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// configSource is where a configuration came from: all that parseConfig needs to make the same again.
type configSource struct {
	Path    string   `json:"path"`
	Raw     []byte   `json:"raw"`
	Environ []string `json:"environ"` // what begins with envPrefix
}

// ourEnviron is what of an environment the configuration is read from.
func ourEnviron(environ []string) []string {
	var ours []string
	for _, entry := range environ {
		if strings.HasPrefix(entry, envPrefix) {
			ours = append(ours, entry)
		}
	}
	return ours
}

// openChild describes a bridge that runs in a process of its own. The process has the configuration of this one, also
// when the file has changed since.
func openChild(cfg *Config, log zerolog.Logger, opts bridges.Options) (*process.Child, error) {
	reg, err := bridges.Register(opts)
	if err != nil {
		return nil, err
	}
	job, err := json.Marshal(cfg.source)
	if err != nil {
		return nil, err
	}
	program, err := ownProgram()
	if err != nil {
		return nil, err
	}
	place := process.Place{Dir: opts.DataDir, Name: opts.ID}
	log = log.With().Str("part", opts.ID).Logger()
	return process.NewChild(place, reg, job, log, func() *exec.Cmd {
		cmd := exec.Command(program, "bridge", "run", opts.ID)
		cmd.Args[0] = os.Args[0]
		return cmd
	}), nil
}

// ownProgram is the program of this process. Where the system has a name for it that also holds after another version
// has been put in its place, that: a parent and its children are of the same version.
func ownProgram() (string, error) {
	const own = "/proc/self/exe"
	if _, err := os.Stat(own); err == nil {
		return own, nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program, to run a bridge in a process of its own: %w", err)
	}
	return path, nil
}

// bridgeRunCommand is for the server alone, which starts it for a bridge with isolation: process.
func (c *cli) bridgeRunCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "run NAME",
		Short:  "Run a bridge for the server that starts this; the job is read from standard input, whose end ends it",
		Hidden: true,
		Args:   usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Only the parent says when to stop: a service manager that signals all processes would end the bridge
			// before the requests that need it.
			return c.runBridge(context.WithoutCancel(cmd.Context()), args[0])
		},
	}
}

func (c *cli) runBridge(ctx context.Context, name string) error {
	var source configSource
	job := json.NewDecoder(c.in)
	if err := job.Decode(&source); err != nil {
		return usageError{fmt.Errorf("read the job: %w; this command is for the server alone", err)}
	}
	cfg, err := parseConfig(source.Path, source.Raw, source.Environ)
	if err != nil {
		return err
	}
	cfg.Log.Format = logJSON // the server writes it into its own
	log, err := newLogger(cfg.Log, c.err)
	if err != nil {
		return err
	}
	plans, err := planBridges(cfg, log)
	if err != nil {
		return err
	}
	for _, plan := range plans {
		if plan.opts.ID != name {
			continue
		}
		place := process.Place{Dir: plan.opts.DataDir, Name: name}
		return process.Serve(log.WithContext(ctx), place, io.MultiReader(job.Buffered(), c.in), plan.opts.Log,
			func(homeserver http.RoundTripper) (*bridges.Bridge, error) {
				plan.opts.Transport = homeserver
				return bridges.New(plan.opts)
			})
	}
	return fmt.Errorf("the configuration has no bridge %s", name)
}
