package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"causeway/appservice/sender"
	"causeway/bridges"
	"causeway/bridges/process"
	"causeway/homeserver/account"
	"causeway/registration"

	"github.com/rs/zerolog"
)

// appServices are the application services of the server that runs. They follow the registration files.
type appServices struct {
	folder   *registration.Folder
	sender   *sender.Sender
	accounts *account.Service
	bridges  bridgeSet
	log      zerolog.Logger
}

// openRegistrations reads the registration files and adds the bridges'.
func openRegistrations(cfg *Config, log zerolog.Logger, hosted bridgeSet) (*registration.Folder, error) {
	var builtIn []*registration.Registration
	for _, b := range hosted {
		builtIn = append(builtIn, b.Registration())
	}
	folder, err := registration.OpenFolder(cfg.AppServices.Dir, builtIn...)
	if err != nil {
		return nil, usageError{fmt.Errorf("registration files in %s:\n%w", cfg.AppServices.Dir, err)}
	}
	for _, reg := range folder.Set().All() {
		if !reg.BuiltIn {
			warn(log, reg.Warnings)
		}
	}
	return folder, nil
}

// maxLogged bounds the warnings and faults that are logged at a time.
const maxLogged = 50

func warn(log zerolog.Logger, warnings registration.Faults) {
	for i, warning := range warnings {
		if i == maxLogged {
			log.Warn().Msgf("There are %d more warnings: see causeway registration check", len(warnings)-i)
			return
		}
		log.Warn().Str("file", warning.File).Msg(warning.Error())
	}
}

// run follows the registration files until ctx ends. SIGHUP has them read again at once.
func (s *appServices) run(ctx context.Context) error {
	for _, reg := range s.folder.Set().All() {
		s.log.Info().Str("appservice", reg.ID).Str("from", reg.Source()).Str("url", reg.URL).Msg("Application service")
	}
	onTerminal := hasTerminal()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	ended := make(chan struct{})
	defer func() { <-ended }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				if onTerminal && !hasTerminal() {
					// It was closed: the person who started the server there wants it ended, as without us.
					_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
					continue
				}
				s.log.Info().Msg("SIGHUP: the registration files are read again")
				s.folder.Reread()
			}
		}
	}()
	s.folder.Watch(ctx, func(change registration.Change) { s.changed(ctx, change) })
	return nil
}

// hasTerminal tells whether the process runs on a terminal, in the foreground or not.
func hasTerminal() bool {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	_ = terminal.Close()
	return true
}

// changed has everybody who goes by registrations look at them anew.
func (s *appServices) changed(ctx context.Context, change registration.Change) {
	if change.Moved() {
		// What enters the stream from here on reaches the new ones.
		if err := s.sender.Prepare(ctx); err != nil && ctx.Err() == nil {
			s.log.Err(err).Msg("The position of an application service cannot be stored yet")
		}
		s.sender.Reload()
		s.accounts.EndServices(change.Former)
		s.log.Info().Int("appservices", len(s.folder.Set().All())).Msgf("Registration files: %s", change)
	}
	warn(s.log, change.Warnings)
	if len(change.Faults) > 0 {
		s.log.Error().Msg(faultReport(change.Faults))
	}
	if change.Mended {
		s.log.Info().Msg("The registration files are without fault again")
	}
}

// faultReport tells all that is wrong with registration files while the server runs.
func faultReport(faults registration.Faults) string {
	var text strings.Builder
	text.WriteString("Registration files have faults. What held before they changed stays in force until they are mended:")
	for i, fault := range faults {
		if i == maxLogged {
			fmt.Fprintf(&text, "\n  and %d more: see causeway registration check", len(faults)-i)
			break
		}
		text.WriteString("\n  " + fault.Error())
	}
	return text.String()
}

// registered says in a few words how many services there are, and where they come from.
func registered(set *registration.Set) string {
	all := set.All()
	if len(all) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d: %s", len(all), registration.Names(all))
}

// serviceStatus is one line of `registration list`.
type serviceStatus struct {
	ID          string                  `json:"id"`
	From        string                  `json:"from"` // its file, or "built in"
	URL         string                  `json:"url"`  // "" for no traffic
	BuiltIn     bool                    `json:"built_in"`
	Sender      string                  `json:"sender_localpart"`
	Namespaces  registration.Namespaces `json:"namespaces"`
	Pos         int64                   `json:"position"`
	Behind      int64                   `json:"events_behind"`
	OldestTS    int64                   `json:"oldest_undelivered_ts,omitempty"`
	FailingTS   int64                   `json:"failing_since_ts,omitempty"`
	DeliveredTS int64                   `json:"delivered_ts,omitempty"`
	LastError   string                  `json:"last_error,omitempty"`
	Pending     bool                    `json:"pending"`
	Followed    bool                    `json:"followed"` // a server runs and delivers
	Process     *process.Status         `json:"process,omitempty"`
	// Bridge is how a bridge of this server is doing itself.
	Bridge *bridges.Status `json:"bridge,omitempty"`
	// BridgeFault is why it is not known how the bridge is doing.
	BridgeFault string `json:"bridge_fault,omitempty"`
}

// servicesStatus is what a server tells of all of them.
type servicesStatus struct {
	Running  bool                `json:"running"` // a server answered
	Services []serviceStatus     `json:"services"`
	Faults   registration.Faults `json:"faults,omitempty"` // of the files as they are now
}

func statusOf(reg *registration.Registration) serviceStatus {
	return serviceStatus{
		ID: reg.ID, From: reg.Source(), URL: reg.URL, BuiltIn: reg.BuiltIn, Sender: reg.SenderLocalpart, Namespaces: reg.Namespaces,
	}
}

// status tells how all services are doing.
func (s *appServices) status(ctx context.Context) servicesStatus {
	states := s.bridges.states(ctx)
	known := make(map[string]sender.Status)
	for _, status := range s.sender.Status() {
		known[status.ID] = status
	}
	all := servicesStatus{Running: true, Faults: s.folder.Faults()}
	for _, reg := range s.folder.Set().All() {
		row := statusOf(reg)
		row.Process = s.bridges.processStatus(reg.ID)
		if is, ok := known[reg.ID]; ok {
			row.Followed, row.Pos, row.Behind, row.OldestTS, row.Pending = true, is.Pos, is.Behind, is.OldestTS, is.Pending
			row.LastError, row.FailingTS, row.DeliveredTS = is.LastError, is.FailingSince, is.DeliveredTS
		}
		row.Bridge, row.BridgeFault = states[reg.ID].status, states[reg.ID].fault
		all.Services = append(all.Services, row)
	}
	return all
}

// tell answers `registration list`, which says what is wrong with the files at this moment, also where they may be half written.
func (s *appServices) tell(ctx context.Context, w http.ResponseWriter) {
	all := s.status(ctx)
	all.Faults = s.folder.FaultsNow()
	_ = json.NewEncoder(w).Encode(all) // the command has gone, and cannot be told
}

// askServices asks the server that runs, or else reads the files.
func (c *cli) askServices(ctx context.Context, cfg *Config) (all servicesStatus, err error) {
	err = tellServer(ctx, cfg.DataDir, "/registrations", struct{}{}, &all)
	if !errors.Is(err, errNoServer) {
		return all, err
	}
	regs, err := registration.LoadDir(cfg.AppServices.Dir)
	if faults, ok := errors.AsType[registration.Faults](err); ok {
		all.Faults, err = faults, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	for _, reg := range regs {
		all.Services = append(all.Services, statusOf(reg))
	}
	return all, err
}
