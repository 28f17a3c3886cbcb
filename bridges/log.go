package bridges

import (
	"strings"

	"github.com/rs/zerolog"
)

// withoutContent drops the log lines in which mautrix repeats the body of a request, which is what people
// wrote. The caller of a failed request logs the error itself. It drops as well warnings that are of no use here, and the line that has the
// first word of what is no command: it may be a password that the bot did not ask for, or not any more.
type withoutContent struct{}

// Run implements zerolog.Hook.
func (withoutContent) Run(e *zerolog.Event, _ zerolog.Level, message string) {
	switch message {
	case "Failed to fetch media config", "Received unknown command",
		// bridgev2's own is not, but ours is.
		"Bridge built without end-to-bridge encryption, but encryption is enabled in config":
		e.Discard()
	}
	if strings.HasPrefix(message, "Request ") {
		switch message {
		case "Request completed", "Request failed", "Request canceled", "Request parsing failed":
			e.Discard()
		}
	}
}
