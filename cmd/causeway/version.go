package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version string

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(c.out, "causeway "+versionText())
			return err
		},
	}
}

// versionText is the release, or what the Go toolchain knows of the module,
// with the commit and the toolchain: "1.2.3 (commit 0123456789ab, go1.26.0 linux/amd64)".
func versionText() string {
	release, commit, changed := version, "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		release = cmp.Or(release, info.Main.Version)
		for _, setting := range info.Settings {
			switch {
			case setting.Key == "vcs.revision":
				commit = fmt.Sprintf("commit %.12s", setting.Value)
			case setting.Key == "vcs.modified" && setting.Value == "true":
				changed = " with changes"
			}
		}
	}
	if commit != "" {
		commit += changed + ", "
	}
	return fmt.Sprintf("%s (%s%s %s/%s)", cmp.Or(release, "(devel)"), commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
