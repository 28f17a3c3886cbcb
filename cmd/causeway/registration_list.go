package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"causeway/bridges"

	"github.com/spf13/cobra"
)

func (c *cli) listCommand() *cobra.Command {
	var asJSON, asMetrics bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List all application services, and how far each has been sent what concerns it",
		Long: "List all application services that the running server knows, with their files, and how far each\n" +
			"has been sent what concerns it. Without a server that runs: what the files say.\n\n" +
			"POSITION is the place in the server's stream up to which a service has taken everything, BEHIND how\n" +
			"many events came after it, and OLDEST for how long the first that it has not got has waited. Nothing\n" +
			"is lost meanwhile: it is sent in its order as soon as the service takes it, also after a restart.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.listRegistrations(cmd.Context(), asJSON, asMetrics)
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	list.Flags().BoolVar(&asMetrics, "metrics", false, "print metrics in the text format of Prometheus, as its node_exporter reads them from a file")
	list.MarkFlagsMutuallyExclusive("json", "metrics")
	return list
}

func (c *cli) listRegistrations(ctx context.Context, asJSON, asMetrics bool) error {
	cfg, err := c.loadConfig(defaultsWhenMissing)
	if err != nil {
		return err
	}
	all, err := c.askServices(ctx, cfg)
	if err != nil {
		return err
	}
	if asJSON {
		out := json.NewEncoder(c.out)
		out.SetIndent("", "  ")
		return out.Encode(all)
	}
	if asMetrics {
		return printMetrics(c.out, all, time.Now())
	}
	return printServices(c.out, all, cfg.AppServices.Dir, time.Now())
}

// printServices writes a table of the services, then what failed, then what is wrong with the files.
func printServices(w io.Writer, all servicesStatus, dir string, now time.Time) error {
	if !all.Running {
		fmt.Fprintln(w, "No server runs here; this is what the files say.")
	}
	if len(all.Services) == 0 {
		fmt.Fprintf(w, "There are no application services. Put a registration file into %s\n"+
			"(causeway registration generate makes one).\n", dir)
	} else {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "SERVICE\tFROM\tURL\tNAMESPACES\tPOSITION\tBEHIND\tOLDEST\tSTATE")
		for _, s := range all.Services {
			fmt.Fprintln(table, strings.Join(s.row(all.Running, now), "\t"))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, s := range all.Services {
		if p := s.Process; p != nil && p.Crashes > 0 {
			fmt.Fprintf(w, "%s: its process has crashed %d times in a row: %s\n", s.ID, p.Crashes, p.LastWords)
		}
		if s.LastError != "" {
			fmt.Fprintf(w, "%s: %s\n", s.ID, s.shortError())
		}
		if s.Bridge != nil {
			fmt.Fprintf(w, "%s: %s\n", s.ID, bridgeText(*s.Bridge, now))
		}
		if s.BridgeFault != "" {
			fmt.Fprintf(w, "%s: the bridge does not say how it is doing: %s\n", s.ID, s.BridgeFault)
		}
	}
	if slices.ContainsFunc(all.Services, func(s serviceStatus) bool { return s.FailingTS != 0 }) {
		fmt.Fprintln(w, "What a service does not take is kept for it, and sent as soon as it does. causeway doctor says what to do.")
	}
	if len(all.Faults) > 0 {
		fmt.Fprintf(w, "\nThese files have faults")
		if all.Running {
			fmt.Fprint(w, "; what held before they changed is in force")
		}
		fmt.Fprintf(w, ":\n%s\n", all.Faults.Error())
	}
	return nil
}

// row is a service as a line of the table.
func (s serviceStatus) row(running bool, now time.Time) []string {
	url, pos, behind, oldest := s.URL, "-", "-", "-"
	if s.BuiltIn {
		url = "-"
	}
	if s.Followed {
		pos, behind = fmt.Sprint(s.Pos), fmt.Sprint(s.Behind)
		if s.OldestTS != 0 {
			oldest = ageText(now.Sub(time.UnixMilli(s.OldestTS)))
		}
	}
	if url == "" {
		url = "none"
	}
	return []string{s.ID, s.From, url, inShort(s.Namespaces, 1), pos, behind, oldest, s.state(running, now)}
}

// shortError is the last error without the name of the service, which is beside it.
func (s serviceStatus) shortError() string {
	return strings.TrimLeft(strings.TrimPrefix(s.LastError, "application service "+s.ID), ": ")
}

// state says in a few words how a service is doing.
func (s serviceStatus) state(running bool, now time.Time) string {
	switch {
	case s.URL == "":
		return "is sent nothing (url: null)"
	case !running:
		return "-"
	case s.Process != nil && s.Process.Down:
		return "down"
	case !s.Followed:
		return "starting"
	case s.FailingTS != 0:
		return "failing for " + ageText(now.Sub(time.UnixMilli(s.FailingTS)))
	case s.BridgeFault != "":
		return "does not answer"
	case s.Pending:
		return "is being sent events"
	}
	return "good"
}

// bridgeText says in a line how a bridge of this server is doing.
func bridgeText(b bridges.Status, now time.Time) string {
	parts := []string{"the bridge is " + strings.ToLower(b.State)}
	for _, state := range b.States() {
		parts = append(parts, fmt.Sprintf("%d logins %s", b.Logins[state], strings.ToLower(strings.ReplaceAll(state, "_", " "))))
	}
	parts = append(parts, fmt.Sprintf("%d messages delivered since the start, %d on their way", b.Delivered, b.Waiting))
	if b.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed, the last %s ago", b.Failed, ageText(now.Sub(time.UnixMilli(b.FailedTS)))))
	}
	if b.Unbridging > 0 {
		parts = append(parts, fmt.Sprintf("it is leaving %d rooms", b.Unbridging))
	}
	return strings.Join(parts, "; ")
}

// ageText is a time span for people: 12s, 5m, 3h or 2d.
func ageText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(d, 0)/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*24*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}
