// Package callstatus tells administrators of the server which calls run: who is in them, what they send, and what they get. It has
// GET /_causeway/calls/status for tools; package accountpages shows the same on a page. What there is, is told by the wiring, which asks the
// SFU: this package knows none.
package callstatus

import (
	"context"

	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

// Path is that of the page, and StatusPath that of the JSON.
const (
	Path       = "/_causeway/calls/"
	StatusPath = Path + "status"
)

// Call is a call that runs.
type Call struct {
	RoomID  id.RoomID `json:"room_id,omitempty"` // "" for one that nobody has a seat in any more
	Room    string    `json:"room,omitempty"`    // what the room is called, or its alias; "" for neither
	Name    string    `json:"name"`              // what the SFU calls it
	Node    string    `json:"node,omitempty"`    // the machine that it is on; "" for that of the homeserver
	SinceTS int64     `json:"since_ts"`
	Members []Member  `json:"members"`
}

// Member is somebody in a call.
type Member struct {
	UserID     id.UserID      `json:"user_id,omitempty"` // "" for who has no seat any more
	DeviceID   id.DeviceID    `json:"device_id,omitempty"`
	Identity   string         `json:"identity"` // by what the SFU knows them
	SinceTS    int64          `json:"since_ts"`
	Connected  bool           `json:"connected"`           // media
	Signalling bool           `json:"signalling"`          // the WebSocket
	Estimate   int            `json:"bandwidth,omitempty"` // in bits per second, of what can be sent to them, 0 for unknown
	Sends      []Track        `json:"sends"`
	Gets       []Subscription `json:"gets"`
}

// Track is what somebody sends.
type Track struct {
	ID          string  `json:"id"`
	Source      string  `json:"source"` // such as camera
	Codec       string  `json:"codec"`
	Muted       bool    `json:"muted"`
	Encrypted   bool    `json:"encrypted"`
	Subscribers int     `json:"subscribers"`
	Layers      []Layer `json:"layers"` // the lowest first
}

// IsPicture tells whether the track is a picture, not sound.
func (t Track) IsPicture() bool { return t.Codec != "opus" && t.Codec != "red" }

// Layer is a layer of a track, the only one of sound.
type Layer struct {
	Layer     int     `json:"layer"`
	Bitrate   int     `json:"bitrate"` // in bits per second
	Packets   uint64  `json:"packets"`
	Bytes     uint64  `json:"bytes"`
	Lost      uint64  `json:"lost"`  // packets that never came
	Asked     uint64  `json:"asked"` // packets asked for again
	KeyFrames uint64  `json:"key_frames_asked"`
	Loss      float64 `json:"loss"` // lost of all, from 0 to 1
}

// Subscription is what somebody gets.
type Subscription struct {
	ID       string    `json:"id"` // of the track
	From     id.UserID `json:"from,omitempty"`
	Identity string    `json:"from_identity"`
	Source   string    `json:"source"`
	Layers   int       `json:"layers"`  // that the track has
	Layer    int       `json:"layer"`   // that is sent, -1 for none
	Wanted   int       `json:"wanted"`  // that is to be sent, -1 for none
	Bitrate  int       `json:"bitrate"` // of the layer that is sent, in bits per second
	Packets  uint64    `json:"packets"`
	Bytes    uint64    `json:"bytes"`
	Repeated uint64    `json:"repeated"` // packets sent again
	Loss     float64   `json:"loss"`     // of late, from 0 to 1
	RTT      int       `json:"rtt_ms"`   // 0 for unknown
}

// Status is what runs.
type Status struct {
	Calls  []Call   `json:"calls"`                  // the oldest first
	Silent []string `json:"silent_nodes,omitempty"` // machines that do not answer: what runs there is not known
}

// Source tells what runs.
type Source func(ctx context.Context) Status

// Routes has the endpoint for tools; none where there is no source.
func Routes(source Source) []httpapi.Route {
	if source == nil {
		return nil
	}
	return []httpapi.Route{{
		Method: "GET", Path: StatusPath, Access: httpapi.Admin,
		Endpoint: httpapi.JSON(func(ctx context.Context, _ *httpapi.Request, _ httpapi.Empty) (Status, error) {
			status := source(ctx)
			if status.Calls == nil {
				status.Calls = []Call{}
			}
			return status, nil
		}).Limited(httpapi.ClassRead),
	}}
}
