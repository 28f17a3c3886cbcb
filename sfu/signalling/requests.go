package signalling

// SignalRequest is what a client sends: one of its fields is set.
type SignalRequest struct {
	Offer                  *SessionDescription        `pb:"1"` // of the publishing connection; of the only one in v1
	Answer                 *SessionDescription        `pb:"2"` // to the subscribing connection's offer
	Trickle                *TrickleRequest            `pb:"3"`
	AddTrack               *AddTrackRequest           `pb:"4"`
	Mute                   *MuteTrackRequest          `pb:"5"`
	Subscription           *UpdateSubscription        `pb:"6"`
	TrackSetting           *UpdateTrackSettings       `pb:"7"`
	Leave                  *LeaveRequest              `pb:"8"`
	SubscriptionPermission *SubscriptionPermission    `pb:"11"`
	SyncState              *SyncState                 `pb:"12"`
	Simulate               *SimulateScenario          `pb:"13"`
	Ping                   *int64                     `pb:"14"` // of old clients; a time in milliseconds
	UpdateMetadata         *UpdateParticipantMetadata `pb:"15"`
	PingReq                *Ping                      `pb:"16"`
	UpdateAudioTrack       *UpdateLocalAudioTrack     `pb:"17"`
	UpdateVideoTrack       *UpdateLocalVideoTrack     `pb:"18"`
	PublishDataTrack       *Unsupported               `pb:"19"`
	UnpublishDataTrack     *Unsupported               `pb:"20"`
	StoreDataBlob          *Unsupported               `pb:"22"`
	GetDataBlob            *Unsupported               `pb:"23"`
}

// Unsupported is a request that is answered by a refusal. Its fields are those of requests 22 and 23; 19 and 20 have none.
type Unsupported struct {
	RequestID uint32 `pb:"1"`
}

// SignalTarget says which peer connection of a client with two is meant.
type SignalTarget int32

// The targets.
const (
	Publisher  SignalTarget = 0
	Subscriber SignalTarget = 1
)

// SessionDescription is SDP. MIDToTrackID tells, in what a server sends, which track is in which media section: browsers make
// track IDs of their own.
type SessionDescription struct {
	Type         string            `pb:"1"` // "offer" or "answer"
	SDP          string            `pb:"2"`
	ID           uint32            `pb:"3"` // an answer has that of its offer
	MIDToTrackID map[string]string `pb:"4"`
}

// TrickleRequest is an ICE candidate, as the JSON of RTCIceCandidateInit.
type TrickleRequest struct {
	CandidateInit string       `pb:"1"`
	Target        SignalTarget `pb:"2"`
	Final         bool         `pb:"3"`
}

// SimulcastCodec is a codec in which a track is published.
type SimulcastCodec struct {
	Codec          string         `pb:"1"`
	CID            string         `pb:"2"`
	Layers         []VideoLayer   `pb:"4"`
	VideoLayerMode VideoLayerMode `pb:"5"`
}

// AddTrackRequest announces a track that is about to be published. CID is the id of the client's MediaStreamTrack, which is
// how the track is known again in SDP.
type AddTrackRequest struct {
	CID               string           `pb:"1"`
	Name              string           `pb:"2"`
	Type              TrackType        `pb:"3"`
	Width             uint32           `pb:"4"`
	Height            uint32           `pb:"5"`
	Muted             bool             `pb:"6"`
	DisableDTX        bool             `pb:"7"`
	Source            TrackSource      `pb:"8"`
	Layers            []VideoLayer     `pb:"9"`
	SimulcastCodecs   []SimulcastCodec `pb:"10"`
	SID               string           `pb:"11"` // of a track that is published already, for a second codec
	Stereo            bool             `pb:"12"`
	DisableRED        bool             `pb:"13"`
	Encryption        EncryptionType   `pb:"14"`
	Stream            string           `pb:"15"`
	BackupCodecPolicy int32            `pb:"16"`
	AudioFeatures     []int32          `pb:"17"`
	TrailerFeatures   []int32          `pb:"18"`
}

// MuteTrackRequest mutes a track or ends that.
type MuteTrackRequest struct {
	SID   string `pb:"1"`
	Muted bool   `pb:"2"`
}

// ParticipantTracks are tracks of one participant.
type ParticipantTracks struct {
	ParticipantSID string   `pb:"1"`
	TrackSIDs      []string `pb:"2"`
}

// UpdateSubscription asks for tracks, or asks for them to be left out.
type UpdateSubscription struct {
	TrackSIDs         []string            `pb:"1"`
	Subscribe         bool                `pb:"2"`
	ParticipantTracks []ParticipantTracks `pb:"3"`
}

// UpdateTrackSettings says how a client wants tracks that it has subscribed to. Width and height are in pixels, 0 where Quality
// counts; Priority is 1 for the most important, and 0 where the client has none.
type UpdateTrackSettings struct {
	TrackSIDs []string     `pb:"1"`
	Disabled  bool         `pb:"3"`
	Quality   VideoQuality `pb:"4"`
	Width     uint32       `pb:"5"`
	Height    uint32       `pb:"6"`
	FPS       uint32       `pb:"7"`
	Priority  uint32       `pb:"8"`
}

// UpdateLocalAudioTrack tells how an audio track is processed, which nobody needs to know.
type UpdateLocalAudioTrack struct {
	TrackSID string  `pb:"1"`
	Features []int32 `pb:"2"`
}

// UpdateLocalVideoTrack tells the size of a video track, in pixels.
type UpdateLocalVideoTrack struct {
	TrackSID string `pb:"1"`
	Width    uint32 `pb:"2"`
	Height   uint32 `pb:"3"`
}

// LeaveAction is what a client does when it is told to leave.
type LeaveAction int32

// What a client does: it goes, it connects its signalling anew, or it begins anew.
const (
	Disconnect LeaveAction = 0
	Resume     LeaveAction = 1
	Reconnect  LeaveAction = 2
)

// LeaveRequest ends a session, from either side.
type LeaveRequest struct {
	CanReconnect bool             `pb:"1"` // for clients before protocol 13
	Reason       DisconnectReason `pb:"2"`
	Action       LeaveAction      `pb:"3"`
}

// UpdateParticipantMetadata changes what others are told of a participant. An attribute that is empty is removed.
type UpdateParticipantMetadata struct {
	Metadata   string            `pb:"1"`
	Name       string            `pb:"2"`
	Attributes map[string]string `pb:"3"`
	RequestID  uint32            `pb:"4"`
}

// TrackPermission says which tracks of a client another participant may have.
type TrackPermission struct {
	ParticipantSID      string   `pb:"1"`
	AllTracks           bool     `pb:"2"`
	TrackSIDs           []string `pb:"3"`
	ParticipantIdentity string   `pb:"4"`
}

// SubscriptionPermission says who may have the tracks of a client.
type SubscriptionPermission struct {
	AllParticipants  bool              `pb:"1"`
	TrackPermissions []TrackPermission `pb:"2"`
}

// DataChannelInfo is a data channel that a client has.
type DataChannelInfo struct {
	Label  string       `pb:"1"`
	ID     uint32       `pb:"2"`
	Target SignalTarget `pb:"3"`
}

// DataChannelReceiveState is the last reliable message of a publisher that a client has got.
type DataChannelReceiveState struct {
	PublisherSID string `pb:"1"`
	LastSeq      uint32 `pb:"2"`
}

// SyncState is what a client that resumes a session had before.
type SyncState struct {
	Answer                   *SessionDescription       `pb:"1"`
	Subscription             *UpdateSubscription       `pb:"2"`
	PublishTracks            []TrackPublished          `pb:"3"`
	DataChannels             []DataChannelInfo         `pb:"4"`
	Offer                    *SessionDescription       `pb:"5"`
	TrackSIDsDisabled        []string                  `pb:"6"`
	DataChannelReceiveStates []DataChannelReceiveState `pb:"7"`
}

// SimulateScenario asks the server to behave in a way, for tests of clients. One field is set.
type SimulateScenario struct {
	SpeakerUpdate                     *int32 `pb:"1"`
	NodeFailure                       *bool  `pb:"2"`
	Migration                         *bool  `pb:"3"`
	ServerLeave                       *bool  `pb:"4"`
	SwitchCandidateProtocol           *int32 `pb:"5"`
	SubscriberBandwidth               *int64 `pb:"6"` // bits per second, 0 for no limit
	DisconnectSignalOnResume          *bool  `pb:"7"`
	DisconnectSignalOnResumeNoMessage *bool  `pb:"8"`
	LeaveRequestFullReconnect         *bool  `pb:"9"`
}

// Ping asks for a Pong. Timestamp and RTT are in milliseconds.
type Ping struct {
	Timestamp int64 `pb:"1"`
	RTT       int64 `pb:"2"`
}

// ConnectionSettings is how a client wants to be served.
type ConnectionSettings struct {
	AutoSubscribe        bool  `pb:"1"`
	AdaptiveStream       bool  `pb:"2"`
	SubscriberAllowPause *bool `pb:"3"`
	DisableICELite       bool  `pb:"4"`
}

// ReconnectReason is why a client connects again.
type ReconnectReason int32

// JoinRequest is the first thing that a client of /rtc/v1 says, in a parameter of the WebSocket's address.
type JoinRequest struct {
	ClientInfo            *ClientInfo         `pb:"1"`
	ConnectionSettings    *ConnectionSettings `pb:"2"`
	Metadata              string              `pb:"3"`
	ParticipantAttributes map[string]string   `pb:"4"`
	AddTrackRequests      []*AddTrackRequest  `pb:"5"`
	PublisherOffer        *SessionDescription `pb:"6"`
	Reconnect             bool                `pb:"7"`
	ReconnectReason       ReconnectReason     `pb:"8"`
	ParticipantSID        string              `pb:"9"`
	SyncState             *SyncState          `pb:"10"`
}

// Compression is how a JoinRequest is packed.
type Compression int32

// The compressions.
const (
	NoCompression Compression = 0
	Gzip          Compression = 1
)

// WrappedJoinRequest is a JoinRequest on its way.
type WrappedJoinRequest struct {
	Compression Compression `pb:"1"`
	JoinRequest []byte      `pb:"2"`
}
