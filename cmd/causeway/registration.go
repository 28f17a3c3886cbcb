package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"causeway/registration"

	"github.com/spf13/cobra"
)

// registrationOptions are the flags of `registration generate`.
type registrationOptions struct {
	url            string
	users, aliases []string
	out            string
}

func (c *cli) registrationCommand() *cobra.Command {
	var o registrationOptions
	generate := &cobra.Command{
		Use:   "generate NAME",
		Short: "Make a registration file with fresh tokens for an application service",
		Long: "Make a registration file with fresh tokens for an application service, such as a bridge.\n" +
			"The homeserver reads it from the folder of appservices.dir when it starts; the\n" +
			"application service needs a copy.",
		Example: `  causeway registration generate mybot --url http://127.0.0.1:9000 --user '@mybot_.*:localhost' --out mybot.yaml`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE:    func(_ *cobra.Command, args []string) error { return c.generateRegistration(args[0], o) },
	}
	f := generate.Flags()
	f.StringVar(&o.url, "url", "", "where the homeserver reaches the application service: http://, https:// or unix:///path (empty: it is sent nothing)")
	f.StringArrayVar(&o.users, "user", nil, "regular expression of the user IDs that are its own; may be repeated")
	f.StringArrayVar(&o.aliases, "alias", nil, "regular expression of the room aliases that are its own; may be repeated")
	f.StringVar(&o.out, "out", "", "the file to write, which must not exist (default: print)")
	return group("registration", "Manage registration files of application services", generate)
}

// generateRegistration makes a registration and checks it as the server will,
// so that nothing is written that a start would refuse.
func (c *cli) generateRegistration(name string, o registrationOptions) error {
	if len(o.users) == 0 && len(o.aliases) == 0 {
		return usageError{errors.New("an application service needs a namespace: give --user or --alias, for example --user '@" + name + "_.*'")}
	}
	r := registration.Generate(name, o.url, o.users...)
	for _, expression := range o.aliases {
		r.Namespaces.Aliases = append(r.Namespaces.Aliases, registration.Namespace{Regex: expression, Exclusive: true})
	}
	text := r.Marshal()
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
	if err := os.MkdirAll(filepath.Dir(o.out), 0o700); err != nil {
		return fmt.Errorf("make the folder of %s: %w", o.out, err)
	}
	err = parsed.WriteFile(o.out)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; new tokens would cut its application service off, so remove it first if that is what you want", o.out)
	}
	return err
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
