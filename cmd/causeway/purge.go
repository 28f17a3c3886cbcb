package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/notify"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"

	"github.com/spf13/cobra"
	"maunium.net/go/mautrix/id"
)

func (c *cli) purgeCommand() *cobra.Command {
	var force bool
	var before string
	rooms := &cobra.Command{
		Use:   "room ROOM…",
		Short: "Delete rooms with all that belongs to them",
		Long: "Delete rooms, each given by its id, with all that belongs to them. A room that users of\n" +
			"this server are in is left alone, unless --force makes them leave first.",
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			orders := make([]order, 0, len(args))
			for _, arg := range args {
				roomID, err := roomIDOf(arg)
				if err != nil {
					return usageError{err}
				}
				orders = append(orders, order{Kind: orderPurgeRoom, RoomID: roomID, Force: force})
			}
			return c.give(cmd.Context(), orders...)
		},
	}
	rooms.Flags().BoolVar(&force, "force", false, "make users of this server who are in the room leave it")
	history := &cobra.Command{
		Use:   "history ROOM --before POINT",
		Short: "Delete what was said in a room before a point",
		Long: "Delete the messages of a room before a point, and the state events of that time that are\n" +
			"needed no more. The point is a date (2026-01-31, at midnight), a time (2026-01-31T08:00:00Z),\n" +
			"an age (30d, 12h), or the id of the first event that stays. The newest event always stays.",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			roomID, err := roomIDOf(args[0])
			if err != nil {
				return usageError{err}
			}
			o := order{Kind: orderPurgeHistory, RoomID: roomID}
			if o.EventID, o.BeforeTS, err = parsePoint(before, time.Now()); err != nil {
				return usageError{err}
			}
			return c.give(cmd.Context(), o)
		},
	}
	history.Flags().StringVar(&before, "before", "", "a date, a time, an age, or the id of an event")
	simple := func(use, short, kind string) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: usageArgs(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
			return c.give(cmd.Context(), order{Kind: kind})
		}}
	}
	cmd := group("purge", "Delete rooms, history, or what was redacted, whether the server runs or not", rooms, history,
		simple("forgotten", "Delete the rooms that nobody here is in and all have forgotten for long enough", orderPurgeForgotten),
		simple("redacted", "Delete what redacted events said, of those that were redacted long enough ago", orderPurgeRedacted))
	cmd.Long = "Delete rooms, history, or what was redacted, from the database and from its files. The\n" +
		"server may be running. What these commands delete is gone for good."
	return cmd
}

func (c *cli) compactCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compact",
		Short: "Write the database of a stopped server anew, without free space",
		Long: "Write the whole database anew, without free space and without anything that was deleted. It\n" +
			"needs as much room on the disk as the database takes. The server must be stopped: while it\n" +
			"runs, purges and its own maintenance give space back bit by bit.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.give(cmd.Context(), order{Kind: orderCompact}) },
	}
}

func roomIDOf(arg string) (id.RoomID, error) {
	switch {
	case strings.HasPrefix(arg, "#"):
		return "", fmt.Errorf("%q is an alias; name the room by its id, such as !abc:example.org", arg)
	case !strings.HasPrefix(arg, "!") || len(arg) < 2:
		return "", fmt.Errorf("%q is not a room id, such as !abc:example.org", arg)
	}
	return id.RoomID(arg), nil
}

// parsePoint reads a point in a room's history: an event, or a time in milliseconds.
func parsePoint(s string, now time.Time) (id.EventID, int64, error) {
	if s == "" {
		return "", 0, errors.New("--before is missing: a date such as 2026-01-31, an age such as 30d, or the id of an event")
	}
	if strings.HasPrefix(s, "$") && len(s) > 1 {
		return id.EventID(s), 0, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			if t.After(now) {
				return "", 0, fmt.Errorf("%s is yet to come", s)
			}
			return "", t.UnixMilli(), nil
		}
	}
	if age, err := parseDuration(s); err == nil && age >= 0 {
		return "", now.Add(-age).UnixMilli(), nil
	}
	return "", 0, fmt.Errorf("%q is neither a date such as 2026-01-31, nor an age such as 30d, nor the id of an event", s)
}

// give has orders carried out, one after the other, and tells what was done.
func (c *cli) give(ctx context.Context, orders ...order) error {
	cfg, err := c.loadConfig(defaultsWhenMissing)
	if err != nil {
		return err
	}
	log, err := newLogger(cfg.Log, c.err)
	if err != nil {
		return err
	}
	ctx = log.WithContext(ctx)
	for _, o := range orders {
		out, err := sendOrder(ctx, cfg.DataDir, o)
		if errors.Is(err, errNoServer) {
			out, err = orderOffline(ctx, cfg, o)
		}
		if err == nil || out.Purged != (homeserver.Outcome{}).Purged {
			c.tell(o, out)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(o.Kind+" "+string(o.RoomID)), err)
		}
	}
	return nil
}

// orderOffline carries out an order on the database of a server that is not running.
func orderOffline(ctx context.Context, cfg *Config, o order) (out homeserver.Outcome, err error) {
	// Opening makes a server where there is none, and then all would seem well.
	switch found, err := store.OpenReadOnly(ctx, cfg.Database); {
	case err == nil:
		if err := found.Close(); err != nil {
			return out, err
		}
	case errors.Is(err, sqldb.ErrNoDatabase):
		return out, fmt.Errorf("%w; give this command the configuration of the server", err)
	}
	db, key, err := openStore(ctx, cfg)
	if errors.Is(err, sqldb.ErrInUse) {
		return out, fmt.Errorf("the database is in use, and no server answers at %s: if a server is running, give this command the "+
			"configuration that the server has, or stop the server first", filepath.Join(cfg.DataDir, controlName))
	}
	if err != nil {
		return out, err
	}
	defer closing(&err, db.Close)
	m := homeserver.NewMaintenance(homeserver.Config{
		ServerName: cfg.ServerName, Key: key, DB: db, Bus: new(notify.Local), Maintenance: cfg.Maintenance,
	})
	if _, err := m.Resume(ctx); err != nil {
		return out, err
	}
	return carryOut(ctx, m, o)
}

// tell says what was done.
func (c *cli) tell(o order, out homeserver.Outcome) {
	what := strings.TrimSpace(o.Kind + " " + string(o.RoomID))
	did := fmt.Sprintf("%d events, %d state sets, %s of text", out.Events, out.StateSets, size(out.Bytes))
	switch o.Kind {
	case orderPurgeForgotten:
		did = fmt.Sprintf("%d rooms, %s", out.Rooms, did)
	case orderPurgeRedacted:
		did = fmt.Sprintf("what %d redacted events said, %s of text", out.Originals, size(out.Bytes))
	case orderCompact:
		did = ""
	}
	if did != "" {
		did += " deleted; "
	}
	fmt.Fprintf(c.out, "%s: %sthe database had %s and has %s\n", what, did, size(out.SizeBefore), size(out.SizeAfter))
	if out.Held != nil {
		fmt.Fprintf(c.err, "causeway: what was deleted is still in the database's files, until the next maintenance: %v\n", out.Held)
	}
}

// size writes bytes for people.
func size(bytes int64) string {
	units := []string{"kB", "MB", "GB", "TB"}
	if bytes < 1000 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	n := float64(bytes)
	unit := ""
	for _, unit = range units {
		if n /= 1000; n < 999.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", n, unit)
}
