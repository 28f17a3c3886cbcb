package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"text/tabwriter"
	"time"

	"causeway/homeserver/account"
	"causeway/homeserver/store"

	"github.com/spf13/cobra"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// The kinds of orders about accounts.
const (
	orderTokenCreate = "registration token create"
	orderTokenList   = "registration token list"
	orderTokenDelete = "registration token delete"
	orderValidity    = "user validity"
	orderDeactivate  = "user deactivate"
)

// accountOrder is what a command has done about accounts, by the server or by itself.
type accountOrder struct {
	Kind    string                    `json:"kind"`
	Token   account.RegistrationToken `json:"token,omitzero"`
	UserID  id.UserID                 `json:"user_id,omitempty"`
	UntilTS int64                     `json:"until_ts,omitempty"`
	Erase   bool                      `json:"erase,omitempty"`
}

// accountResult is the answer to such an order.
type accountResult struct {
	Tokens []account.RegistrationToken `json:"tokens,omitempty"`
	Error  string                      `json:"error,omitempty"`
}

// carryOutAccount does what an order says.
func carryOutAccount(ctx context.Context, accounts *account.Service, o accountOrder) (out accountResult) {
	var err error
	switch o.Kind {
	case orderTokenCreate:
		var made account.RegistrationToken
		made, err = accounts.CreateRegistrationToken(ctx, o.Token)
		out.Tokens = []account.RegistrationToken{made}
	case orderTokenList:
		out.Tokens, err = accounts.RegistrationTokens(ctx)
	case orderTokenDelete:
		err = accounts.DeleteRegistrationToken(ctx, o.Token.Token)
	case orderValidity:
		err = accounts.SetValidity(ctx, o.UserID, o.UntilTS)
	case orderDeactivate:
		err = accounts.EndAccount(ctx, o.UserID, o.Erase)
	default:
		err = fmt.Errorf("there is no order %q", o.Kind)
	}
	refused, isRefused := errors.AsType[mautrix.RespError](err)
	switch {
	case err == nil:
	case isRefused:
		out.Error = refused.Err // a person has no use for its code
	case errors.Is(err, store.ErrNotFound) && o.UserID != "":
		out.Error = fmt.Sprintf("there is no account %s, or it is deactivated", o.UserID)
	case errors.Is(err, store.ErrNotFound):
		out.Error = "there is no such registration token"
	case errors.Is(err, store.ErrExists):
		out.Error = "there is such a registration token already"
	default:
		out.Error = err.Error()
	}
	return out
}

func takeAccountOrder(w http.ResponseWriter, r *http.Request, accounts *account.Service) {
	var (
		o   accountOrder
		out accountResult
	)
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBytes)).Decode(&o); err != nil {
		out.Error = fmt.Sprintf("read an order: %v", err)
	} else {
		out = carryOutAccount(r.Context(), accounts, o)
	}
	_ = json.NewEncoder(w).Encode(out) // the command has gone, and cannot be told
}

// giveAccount has an order carried out by the server that runs, or without it.
func (c *cli) giveAccount(ctx context.Context, cfg *Config, o accountOrder) (out accountResult, err error) {
	err = tellServer(ctx, cfg.DataDir, "/accounts", o, &out)
	if errors.Is(err, errNoServer) {
		log, logErr := newLogger(cfg.Log, c.err)
		if logErr != nil {
			return out, logErr
		}
		err = withAccounts(log.WithContext(ctx), cfg, log, func(accounts *account.Service) error {
			out = carryOutAccount(ctx, accounts, o)
			return nil
		})
	}
	if err == nil && out.Error != "" {
		err = errors.New(out.Error)
	}
	return out, err
}

func (c *cli) registrationTokenCommand() *cobra.Command {
	var (
		t       account.RegistrationToken
		expires string
	)
	create := &cobra.Command{
		Use:   "create",
		Short: "Make a token with which one can make an account",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if expires != "" {
				until, err := timeOf(expires, time.Now())
				if err != nil {
					return usageError{err}
				}
				t.ExpiresTS = until.UnixMilli()
			}
			return c.printTokens(cmd.Context(), accountOrder{Kind: orderTokenCreate, Token: t}, false)
		},
	}
	f := create.Flags()
	f.StringVar(&t.Token, "token", "", "the token, of A-Z, a-z, 0-9 and ._~- (default: one is made up)")
	f.Int64Var(&t.UsesAllowed, "uses", 1, "how many accounts can be made with it, 0 for any number")
	f.StringVar(&expires, "expires", "", "when it ends: a while from now such as 12h or 7d, or a date as 2030-12-31 (default: never)")
	f.BoolVar(&t.Admin, "admin", false, "whoever uses it becomes an administrator of the server")
	list := &cobra.Command{
		Use: "list", Short: "List all tokens", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.printTokens(cmd.Context(), accountOrder{Kind: orderTokenList}, true)
		},
	}
	remove := &cobra.Command{
		Use: "delete TOKEN", Short: "Delete a token; accounts made with it stay", Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.printTokens(cmd.Context(), accountOrder{Kind: orderTokenDelete, Token: account.RegistrationToken{Token: args[0]}}, false)
		},
	}
	return group("registration-token", "Manage tokens with which people make an account", create, list, remove)
}

// printTokens gives an order and prints the tokens that are the answer: as a table, or nothing but the token.
func (c *cli) printTokens(ctx context.Context, o accountOrder, table bool) error {
	cfg, err := c.loadConfig(defaultsWhenMissing)
	if err != nil {
		return err
	}
	out, err := c.giveAccount(ctx, cfg, o)
	if err != nil {
		return err
	}
	if !table {
		for _, t := range out.Tokens {
			fmt.Fprintln(c.out, t.Token)
		}
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOKEN\tUSED\tEXPIRES\tMAKES")
	for _, t := range out.Tokens {
		allowed, expiry, makes := "any", "never", "users"
		if t.UsesAllowed != 0 {
			allowed = strconv.FormatInt(t.UsesAllowed, 10)
		}
		if t.ExpiresTS != 0 {
			expiry = time.UnixMilli(t.ExpiresTS).Format(time.DateTime)
		}
		if t.Admin {
			makes = "administrators"
		}
		fmt.Fprintf(w, "%s\t%d of %s\t%s\t%s\n", t.Token, t.Uses, allowed, expiry, makes)
	}
	return w.Flush()
}

// timeOf reads a moment that is to come: a while from now, or a date.
func timeOf(s string, now time.Time) (time.Time, error) {
	if while, err := parseDuration(s); err == nil && while > 0 {
		return now.Add(while), nil
	}
	at, err := time.ParseInLocation(time.DateOnly, s, now.Location())
	if err != nil || at.Before(now) {
		return at, fmt.Errorf("%q is neither a while from now, such as 12h or 7d, nor a date that is to come, such as 2030-12-31", s)
	}
	return at, nil
}

func (c *cli) validityCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validity NAME UNTIL",
		Short: "Say until when an account can be used",
		Long: "Say until when an account can be used. UNTIL is a while from now, such as 30d, a date as\n" +
			"2030-12-31, or never.",
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := accountOrder{Kind: orderValidity}
			if args[1] != "never" {
				until, err := timeOf(args[1], time.Now())
				if err != nil {
					return usageError{err}
				}
				o.UntilTS = until.UnixMilli()
			}
			return c.giveAboutUser(cmd.Context(), args[0], o)
		},
	}
}

func (c *cli) deactivateCommand() *cobra.Command {
	var erase bool
	deactivate := &cobra.Command{
		Use:   "deactivate NAME",
		Short: "End an account for ever",
		Long: "End an account for ever: its sessions, its profile and all that it keeps go, and the user leaves\n" +
			"all rooms, which happens when the server runs. Nobody can have the name again.",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.giveAboutUser(cmd.Context(), args[0], accountOrder{Kind: orderDeactivate, Erase: erase})
		},
	}
	deactivate.Flags().BoolVar(&erase, "erase", false, "keep what the user said from those who come into the rooms later")
	return deactivate
}

func (c *cli) giveAboutUser(ctx context.Context, name string, o accountOrder) error {
	cfg, err := c.loadConfig(defaultsWhenMissing)
	if err != nil {
		return err
	}
	localpart, err := localpartOf(name, cfg.ServerName)
	if err != nil {
		return usageError{err}
	}
	o.UserID = id.NewUserID(localpart, cfg.ServerName)
	_, err = c.giveAccount(ctx, cfg, o)
	return err
}
