package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"maunium.net/go/mautrix"
)

// maxPasswordLine bounds what is read as a password, in bytes.
const maxPasswordLine = 4096

// newUser is an account to be made.
type newUser struct {
	Localpart string // what stands between @ and the colon
	Password  string
	Admin     bool
}

func (c *cli) userCommand() *cobra.Command {
	var password string
	var admin bool
	create := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an account in the database of a stopped server",
		Long: "Make an account. NAME is alice or @alice:your.server.\n" +
			"The password is asked for on a terminal, else it is the first line of the input.\n" +
			"The server must not be running: one process at a time has the database.",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.loadConfig(defaultsWhenMissing)
			if err != nil {
				return err
			}
			localpart, err := localpartOf(args[0], cfg.ServerName)
			if err != nil {
				return usageError{err}
			}
			if !cmd.Flags().Changed("password") {
				if password, err = c.readPassword(true); err != nil {
					return err
				}
			}
			if password == "" {
				return usageError{errors.New("the password must not be empty")}
			}
			log, err := newLogger(cfg.Log, c.err)
			if err != nil {
				return err
			}
			user := newUser{Localpart: localpart, Password: password, Admin: admin}
			userID, err := createUser(log.WithContext(cmd.Context()), cfg, log, user)
			if refused, ok := errors.AsType[mautrix.RespError](err); ok {
				err = errors.New(refused.Err) // a person has no use for its code
			}
			if err != nil {
				return fmt.Errorf("create user %s: %w", args[0], err)
			}
			fmt.Fprintf(c.out, "created %s\n", userID)
			return nil
		},
	}
	create.Flags().StringVar(&password, "password", "", "the password (other users of this machine can see it while the command runs)")
	create.Flags().BoolVar(&admin, "admin", false, "make the user an administrator of the server")
	return group("user", "Manage accounts", create, c.validityCommand(), c.deactivateCommand())
}

// localpartOf takes a bare name or a full user ID of this server.
// Appendices, "User Identifiers": a localpart is of a-z, 0-9 and ._=-/+
func localpartOf(name, serverName string) (string, error) {
	localpart, isID := strings.CutPrefix(name, "@")
	if isID {
		var server string
		localpart, server, _ = strings.Cut(localpart, ":")
		if server != serverName {
			return "", fmt.Errorf("%s is not of this server, which is %s", name, serverName)
		}
	}
	if localpart == "" || strings.Trim(localpart, "abcdefghijklmnopqrstuvwxyz0123456789._=-/+") != "" {
		return "", fmt.Errorf("%q is not a user name: it may hold a-z, 0-9 and ._=-/+", localpart)
	}
	if n := len(localpart) + len(serverName) + len("@:"); n > 255 {
		return "", fmt.Errorf("the user ID would have %d characters, more than 255", n)
	}
	return localpart, nil
}

// readPassword asks for a password on a terminal, without showing what is typed: twice for a new one, once for one that there is. From anything
// else it takes the first line.
func (c *cli) readPassword(isNew bool) (string, error) {
	lines := bufio.NewReader(io.LimitReader(c.in, 2*maxPasswordLine))
	f, ok := c.in.(*os.File)
	if !ok || !isTerminal(f) {
		return readLine(lines)
	}
	restore, err := hideTyping(f)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	defer restore()
	defer fmt.Fprintln(c.err)
	fmt.Fprint(c.err, "Password: ")
	first, err := readLine(lines)
	if err != nil || !isNew {
		return first, err
	}
	fmt.Fprint(c.err, "\nAgain: ")
	second, err := readLine(lines)
	if err != nil {
		return "", err
	}
	if first != second {
		return "", usageError{errors.New("the two passwords are not the same")}
	}
	return first, nil
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil && (!errors.Is(err, io.EOF) || line == "") {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if len(line) > maxPasswordLine {
		return "", usageError{fmt.Errorf("the password has more than %d bytes", maxPasswordLine)}
	}
	return strings.TrimRight(line, "\r\n"), nil
}
