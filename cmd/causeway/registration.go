package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"causeway/registration"

	"github.com/spf13/cobra"
)

// registrationOptions are the flags of `registration generate`.
type registrationOptions struct {
	url                          string
	users, aliases, rooms        []string
	protocols                    []string
	ephemeral, e2ee, rateLimited bool
	logsIn                       bool
	out                          string
}

func (c *cli) registrationCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check [FILE…]",
		Short: "Say all that is wrong with registration files, without a server",
		Long: "Say all that is wrong, or odd, with registration files, each and between them, with lines and\n" +
			"what to do. A folder stands for the files in it; nothing stands for the folder of appservices.dir.\n" +
			"The exit code is 0 when a server would take all of them.",
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error { return c.checkRegistrations(args) },
	}
	return group("registration", "Manage registration files of application services: bots and bridges",
		c.generateCommand(), check, c.listCommand())
}

func (c *cli) generateCommand() *cobra.Command {
	var o registrationOptions
	generate := &cobra.Command{
		Use:   "generate NAME",
		Short: "Make a registration file with fresh tokens for an application service",
		Long: "Make a registration file with fresh tokens for an application service, such as a bot or a bridge.\n" +
			"Put it into the folder of appservices.dir: the homeserver takes it within a second, whether it runs\n" +
			"already or not. The application service needs a copy.",
		Example: `  causeway registration generate mybot --url http://127.0.0.1:9000 --user '@mybot_.*:localhost' --out mybot.yaml`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE:    func(_ *cobra.Command, args []string) error { return c.generateRegistration(args[0], o) },
	}
	f := generate.Flags()
	f.StringVar(&o.url, "url", "", "where the homeserver reaches the application service: http://, https:// or unix:///path (empty: it is sent nothing)")
	f.StringArrayVar(&o.users, "user", nil, "regular expression of the user IDs that are its own; may be repeated")
	f.StringArrayVar(&o.aliases, "alias", nil, "regular expression of the room aliases that are its own; may be repeated")
	f.StringArrayVar(&o.rooms, "room", nil, "regular expression of the IDs of rooms that it is sent all events of; may be repeated")
	f.StringArrayVar(&o.protocols, "protocol", nil, "a third-party network that it can be asked about, such as irc; may be repeated")
	f.BoolVar(&o.ephemeral, "ephemeral", false, "send it typing notices, receipts and presence")
	f.BoolVar(&o.e2ee, "e2ee", false, "send it what end-to-end encryption needs, and have it make devices without logging in, as bridges made with mautrix-go do; --ephemeral too")
	f.BoolVar(&o.logsIn, "devices-by-login", false, "with --e2ee: its users log in for their devices, as those of matrix-bot-sdk and Hookshot do")
	f.BoolVar(&o.rateLimited, "rate-limited", false, "limit the rate of requests in the names of its users")
	f.StringVar(&o.out, "out", "", "the file to write, which must not exist (default: print)")
	return generate
}

// registrationOf is what the flags say.
func registrationOf(name string, o registrationOptions) *registration.Registration {
	r := registration.Generate(name, o.url, o.users...)
	for _, expression := range o.aliases {
		r.Namespaces.Aliases = append(r.Namespaces.Aliases, registration.Namespace{Regex: expression, Exclusive: true})
	}
	for _, expression := range o.rooms {
		r.Namespaces.Rooms = append(r.Namespaces.Rooms, registration.Namespace{Regex: expression})
	}
	r.Protocols, r.RateLimited = o.protocols, o.rateLimited
	r.ReceiveEphemeral, r.MSC3202, r.MSC4190 = o.ephemeral || o.e2ee, o.e2ee, o.e2ee && !o.logsIn
	return r
}

// generateRegistration makes a registration and checks it as the server will,
// so that nothing is written that a server would refuse.
func (c *cli) generateRegistration(name string, o registrationOptions) error {
	if o.logsIn && !o.e2ee {
		return usageError{errors.New("--devices-by-login is for an application service with --e2ee: others may log in anyway")}
	}
	if len(o.users)+len(o.aliases)+len(o.rooms) == 0 {
		return usageError{errors.New("an application service needs a namespace: give --user, --alias or --room, for example --user '@" + name + "_.*'")}
	}
	text := registrationOf(name, o).Marshal()
	parsed, err := registration.Parse(name, text)
	if faults, ok := errors.AsType[registration.Faults](err); ok {
		return usageError{withoutLines(faults)}
	}
	if err != nil {
		return err
	}
	for _, warning := range parsed.Warnings {
		fmt.Fprintf(c.err, "causeway: warning: %s: %s\n", warning.Field, warning.Message)
	}
	if o.out == "" {
		_, err := c.out.Write(text)
		return err
	}
	if _, err := os.Lstat(o.out); errors.Is(err, fs.ErrNotExist) {
		if err := besideOthers(parsed, filepath.Dir(o.out)); err != nil {
			return usageError{err}
		}
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o700); err != nil {
		return fmt.Errorf("make the folder of %s: %w", o.out, err)
	}
	err = parsed.WriteFile(o.out)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; new tokens would cut its application service off, so remove it first if that is what you want", o.out)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "Wrote %s: %s. %s\n", o.out, summary(parsed), c.whatNext(o.out))
	return nil
}

// whatNext says what is to be done with a registration file.
func (c *cli) whatNext(file string) string {
	const give = "give the application service a copy"
	cfg, err := c.loadConfig(defaultsWhenMissing)
	if err != nil {
		return "Put it into the folder of appservices.dir, where the server takes it within a second, and " + give + "."
	}
	if sameFolder(filepath.Dir(file), cfg.AppServices.Dir) {
		return "The server takes it within a second, or when it starts; " + give + "."
	}
	return fmt.Sprintf("Put it into %s, where the server takes it within a second, and %s.", cfg.AppServices.Dir, give)
}

// sameFolder tells whether two paths lead to one folder. One that is not there is none.
func sameFolder(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// besideOthers tells whether a registration goes together with the files of a folder, whatever else is wrong with those.
func besideOthers(parsed *registration.Registration, dir string) error {
	others, _ := registration.LoadDir(dir)
	_, err := registration.NewSet(append(others, parsed)...)
	faults, _ := errors.AsType[registration.Faults](err)
	faults = slices.DeleteFunc(faults, func(f registration.Fault) bool { return f.File != parsed.File })
	if len(faults) == 0 {
		return nil
	}
	return withoutLines(faults)
}

// withoutLines is the faults in one sentence: there is no file yet that lines
// could be of.
func withoutLines(faults registration.Faults) error {
	var texts []string
	for _, f := range faults {
		texts = append(texts, strings.TrimPrefix(f.Field+": "+f.Message, ": "))
	}
	return errors.New(strings.Join(texts, "; "))
}

// checkRegistrations tells what is wrong with files, and of the others what they are.
func (c *cli) checkRegistrations(args []string) error {
	if len(args) == 0 {
		cfg, err := c.loadConfig(defaultsWhenMissing)
		if err != nil {
			return err
		}
		args = []string{cfg.AppServices.Dir}
	}
	var files []string
	for _, name := range args {
		info, err := os.Stat(name)
		if err == nil && info.IsDir() {
			found, err := registration.FilesIn(name)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				fmt.Fprintf(c.out, "%s holds no registration files (*.yaml)\n", name)
			}
			for _, file := range found {
				files = append(files, filepath.Join(name, file))
			}
			continue
		}
		files = append(files, name) // that it is not there is among the faults
	}
	all, err := registration.LoadFiles(files...)
	for _, reg := range all {
		fmt.Fprintf(c.out, "%s: %s\n", reg.File, summary(reg))
		for _, warning := range reg.Warnings {
			fmt.Fprintf(c.out, "%s (warning)\n", warning)
		}
	}
	return err
}

// summary says in a line what a registration is.
func summary(reg *registration.Registration) string {
	at := "is sent nothing (url: null)"
	if reg.URL != "" {
		at = "at " + reg.URL
	}
	return fmt.Sprintf("%s, %s, bot @%s, %s", reg.ID, at, reg.SenderLocalpart, inShort(reg.Namespaces, maxShort))
}

const (
	// maxShort is how many expressions of a kind a line shows, and maxShortRunes how much of each.
	maxShort      = 3
	maxShortRunes = 40
)

// inShort lists namespaces, the first of each kind.
func inShort(n registration.Namespaces, most int) string {
	var kinds []string
	for _, kind := range []struct {
		name string
		all  []registration.Namespace
	}{{"users", n.Users}, {"aliases", n.Aliases}, {"rooms", n.Rooms}} {
		var shown []string
		for _, one := range kind.all[:min(len(kind.all), most)] {
			text := []rune(one.Regex)
			if len(text) > maxShortRunes {
				text = append(text[:maxShortRunes-1], '…')
			}
			shown = append(shown, string(text))
		}
		if more := len(kind.all) - most; more > 0 {
			shown = append(shown, fmt.Sprintf("and %d more", more))
		}
		if len(shown) > 0 {
			kinds = append(kinds, kind.name+" "+strings.Join(shown, ", "))
		}
	}
	if len(kinds) == 0 {
		return "no namespaces"
	}
	return strings.Join(kinds, "; ")
}
