package signalling

import "google.golang.org/protobuf/encoding/protowire"

// TrackType is what a track is.
type TrackType int32

// The types of tracks.
const (
	Audio TrackType = 0
	Video TrackType = 1
	Data  TrackType = 2
)

// TrackSource is what a track shows.
type TrackSource int32

// The sources of tracks.
const (
	UnknownSource    TrackSource = 0
	Camera           TrackSource = 1
	Microphone       TrackSource = 2
	ScreenShare      TrackSource = 3
	ScreenShareAudio TrackSource = 4
)

// String names the source as access tokens do; an unknown one is "unknown".
func (s TrackSource) String() string {
	switch s {
	case Camera:
		return "camera"
	case Microphone:
		return "microphone"
	case ScreenShare:
		return "screen_share"
	case ScreenShareAudio:
		return "screen_share_audio"
	}
	return "unknown"
}

// EncryptionType is whether clients encrypt the frames of a track for each other.
type EncryptionType int32

// The types of encryption.
const (
	Unencrypted  EncryptionType = 0
	GCM          EncryptionType = 1
	CustomCipher EncryptionType = 2
)

// VideoQuality is a layer of a video, by its size.
type VideoQuality int32

// The qualities.
const (
	Low    VideoQuality = 0
	Medium VideoQuality = 1
	High   VideoQuality = 2
	Off    VideoQuality = 3
)

// VideoLayerMode is how the layers of a video are sent.
type VideoLayerMode int32

// The modes: as streams of their own (simulcast), or in one stream (SVC).
const (
	LayersUnused      VideoLayerMode = 0
	OneLayerPerStream VideoLayerMode = 1
	LayersInOneStream VideoLayerMode = 2
)

// VideoLayer is one size in which a video is published. Bitrate is in bits per second.
type VideoLayer struct {
	Quality      VideoQuality `pb:"1"`
	Width        uint32       `pb:"2"`
	Height       uint32       `pb:"3"`
	Bitrate      uint32       `pb:"4"`
	SSRC         uint32       `pb:"5"`
	SpatialLayer int32        `pb:"6"`
	RID          string       `pb:"7"`
	RepairSSRC   uint32       `pb:"8"`
}

// SimulcastCodecInfo is a codec in which a track is published.
type SimulcastCodecInfo struct {
	MIMEType       string         `pb:"1"`
	MID            string         `pb:"2"`
	CID            string         `pb:"3"`
	Layers         []VideoLayer   `pb:"4"`
	VideoLayerMode VideoLayerMode `pb:"5"`
	SDPCID         string         `pb:"6"`
}

// TimedVersion says which of two versions is the newer one.
type TimedVersion struct {
	UnixMicro int64 `pb:"1"`
	Ticks     int32 `pb:"2"`
}

// TrackInfo is what everybody in a room is told of a track.
type TrackInfo struct {
	SID               string               `pb:"1"`
	Type              TrackType            `pb:"2"`
	Name              string               `pb:"3"`
	Muted             bool                 `pb:"4"`
	Width             uint32               `pb:"5"`
	Height            uint32               `pb:"6"`
	Simulcast         bool                 `pb:"7"`
	DisableDTX        bool                 `pb:"8"`
	Source            TrackSource          `pb:"9"`
	Layers            []VideoLayer         `pb:"10"`
	MIMEType          string               `pb:"11"`
	MID               string               `pb:"12"`
	Codecs            []SimulcastCodecInfo `pb:"13"`
	Stereo            bool                 `pb:"14"`
	DisableRED        bool                 `pb:"15"`
	Encryption        EncryptionType       `pb:"16"`
	Stream            string               `pb:"17"`
	Version           *TimedVersion        `pb:"18"`
	AudioFeatures     []int32              `pb:"19"`
	BackupCodecPolicy int32                `pb:"20"`
	TrailerFeatures   []int32              `pb:"21"`
}

// ParticipantPermission is what a participant may do.
type ParticipantPermission struct {
	CanSubscribe      bool          `pb:"1"`
	CanPublish        bool          `pb:"2"`
	CanPublishData    bool          `pb:"3"`
	Hidden            bool          `pb:"7"`
	CanPublishSources []TrackSource `pb:"9"` // empty for all
	CanUpdateMetadata bool          `pb:"10"`
}

// ParticipantState is how far a participant is.
type ParticipantState int32

// The states: signalling is connected, the answer has been sent, media is connected, gone.
const (
	Joining      ParticipantState = 0
	Joined       ParticipantState = 1
	Active       ParticipantState = 2
	Disconnected ParticipantState = 3
)

// ParticipantInfo is what everybody in a room is told of a participant. Of two, the one with the higher Version is the newer.
// JoinedAt is in seconds, JoinedAtMS in milliseconds.
type ParticipantInfo struct {
	SID              string                 `pb:"1"`
	Identity         string                 `pb:"2"`
	State            ParticipantState       `pb:"3"`
	Tracks           []*TrackInfo           `pb:"4"`
	Metadata         string                 `pb:"5"`
	JoinedAt         int64                  `pb:"6"`
	Name             string                 `pb:"9"`
	Version          uint32                 `pb:"10"`
	Permission       *ParticipantPermission `pb:"11"`
	IsPublisher      bool                   `pb:"13"`
	Kind             int32                  `pb:"14"`
	Attributes       map[string]string      `pb:"15"`
	DisconnectReason DisconnectReason       `pb:"16"`
	JoinedAtMS       int64                  `pb:"17"`
	ClientProtocol   int32                  `pb:"20"`
}

// Room is what everybody in a room is told of it. Timeouts are in seconds.
type Room struct {
	SID              string        `pb:"1"`
	Name             string        `pb:"2"`
	EmptyTimeout     uint32        `pb:"3"`
	MaxParticipants  uint32        `pb:"4"`
	CreationTime     int64         `pb:"5"`
	EnabledCodecs    []Codec       `pb:"7"`
	Metadata         string        `pb:"8"`
	NumParticipants  uint32        `pb:"9"`
	NumPublishers    uint32        `pb:"11"`
	Version          *TimedVersion `pb:"13"`
	DepartureTimeout uint32        `pb:"14"`
	CreationTimeMS   int64         `pb:"15"`
}

// Codec is one that may be published.
type Codec struct {
	MIME     string `pb:"1"`
	FMTPLine string `pb:"2"`
}

// ServerInfo is what a client is told of the server. Clients refuse one without a version.
type ServerInfo struct {
	Edition  int32  `pb:"1"`
	Version  string `pb:"2"`
	Protocol int32  `pb:"3"`
	Region   string `pb:"4"`
	NodeID   string `pb:"5"`
}

// ClientInfo is what a client says of itself.
type ClientInfo struct {
	SDK            int32  `pb:"1"`
	Version        string `pb:"2"`
	Protocol       int32  `pb:"3"`
	OS             string `pb:"4"`
	OSVersion      string `pb:"5"`
	DeviceModel    string `pb:"6"`
	Browser        string `pb:"7"`
	BrowserVersion string `pb:"8"`
	ClientProtocol int32  `pb:"12"`
}

// ClientConfigSetting is whether a client shall do something.
type ClientConfigSetting int32

// The settings.
const (
	Unset    ClientConfigSetting = 0
	Disabled ClientConfigSetting = 1
	Enabled  ClientConfigSetting = 2
)

// DisabledCodecs are codecs that a client shall not use.
type DisabledCodecs struct {
	Codecs  []Codec `pb:"1"`
	Publish []Codec `pb:"2"`
}

// ClientConfiguration is what a client shall do.
type ClientConfiguration struct {
	ResumeConnection ClientConfigSetting `pb:"3"`
	DisabledCodecs   *DisabledCodecs     `pb:"4"`
	ForceRelay       ClientConfigSetting `pb:"5"`
}

// DisconnectReason is why somebody is gone.
type DisconnectReason int32

// The reasons.
const (
	UnknownReason      DisconnectReason = 0
	ClientInitiated    DisconnectReason = 1
	DuplicateIdentity  DisconnectReason = 2
	ServerShutdown     DisconnectReason = 3
	ParticipantRemoved DisconnectReason = 4
	RoomDeleted        DisconnectReason = 5
	StateMismatch      DisconnectReason = 6
	JoinFailure        DisconnectReason = 7
	SignalClose        DisconnectReason = 9
	RoomClosed         DisconnectReason = 10
	ConnectionTimeout  DisconnectReason = 14
	MediaFailure       DisconnectReason = 15
)

// DataKind is by which of its two channels a DataPacket goes.
type DataKind int32

// The kinds.
const (
	Reliable DataKind = 0
	Lossy    DataKind = 1
)

// DataPacket is a message on a data channel, from one participant to some or all others. What it says is none of the server's
// business: it is in Rest, as it came. Sequence counts a publisher's reliable messages.
type DataPacket struct {
	Kind                  DataKind    `pb:"1"`
	User                  *UserPacket `pb:"2"`
	ParticipantIdentity   string      `pb:"4"`
	DestinationIdentities []string    `pb:"5"`
	Sequence              uint32      `pb:"16"`
	ParticipantSID        string      `pb:"17"`
	Rest                  []byte      `pb:"rest"`
}

// fieldSpeaker is the field of a DataPacket by which old servers tell who speaks. Clients believe it.
const fieldSpeaker = 3

// TellsSpeakers is whether the packet says who speaks, which is not for participants to say.
func (p *DataPacket) TellsSpeakers() bool {
	for rest := p.Rest; len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if n < 0 || number == fieldSpeaker {
			return true
		}
		rest = rest[n:]
	}
	return false
}

// UserPacket is what an application says. Old clients name sender and receivers here.
type UserPacket struct {
	ParticipantSID        string   `pb:"1"`
	Payload               []byte   `pb:"2"`
	DestinationSIDs       []string `pb:"3"`
	ParticipantIdentity   string   `pb:"5"`
	DestinationIdentities []string `pb:"6"`
	Rest                  []byte   `pb:"rest"`
}
