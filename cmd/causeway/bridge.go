package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
	"maunium.net/go/mautrix/id"
)

// bridgeOrder is what a command says to a bridge of the server that runs.
type bridgeOrder struct {
	Bridge string    `json:"bridge"` // "" for the only one
	RoomID id.RoomID `json:"room_id"`
}

func (c *cli) bridgeCommand() *cobra.Command {
	var o bridgeOrder
	unbridge := &cobra.Command{
		Use:   "unbridge ROOM",
		Short: "Have a bridge leave a room",
		Long: "Have a bridge of the running server leave a room, given by its id: ghosts leave one after the\n" +
			"other, then the bot, and at last the room loses the aliases that are the bridge's. People stay.\n" +
			"It goes on by itself, also after the server was stopped in between.",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.RoomID, err = roomIDOf(args[0]); err != nil {
				return usageError{err}
			}
			return c.unbridge(cmd.Context(), o)
		},
	}
	unbridge.Flags().StringVar(&o.Bridge, "bridge", "", "which bridge, such as irc (default: the only one)")
	return group("bridge", "Manage the bridges of this server", unbridge, c.bridgeRunCommand())
}

func (c *cli) unbridge(ctx context.Context, o bridgeOrder) error {
	cfg, err := c.loadConfig(defaultsWhenMissing)
	if err != nil {
		return err
	}
	var answer result
	err = tellServer(ctx, cfg.DataDir, "/unbridge", o, &answer)
	switch {
	case errors.Is(err, errNoServer):
		return errors.New("no server runs here: bridges leave rooms while it does")
	case err != nil:
		return err
	case answer.Error != "":
		return errors.New(answer.Error)
	}
	fmt.Fprintf(c.out, "The bridge is leaving %s; causeway registration list tells when it has.\n", o.RoomID)
	return nil
}

// takeBridgeOrder answers `bridge unbridge`.
func takeBridgeOrder(w http.ResponseWriter, r *http.Request, set bridgeSet) {
	var (
		o      bridgeOrder
		answer result
	)
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBytes)).Decode(&o)
	if err == nil {
		err = set.unbridge(r.Context(), o)
	}
	if err != nil {
		answer.Error = err.Error()
	}
	_ = json.NewEncoder(w).Encode(answer) // the command has gone, and cannot be told
}
