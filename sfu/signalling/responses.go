package signalling

// SignalResponse is what a server sends: one of its fields is set.
type SignalResponse struct {
	Join                         *Join                         `pb:"1"`
	Answer                       *SessionDescription           `pb:"2"`
	Offer                        *SessionDescription           `pb:"3"`
	Trickle                      *TrickleRequest               `pb:"4"`
	Update                       *ParticipantUpdate            `pb:"5"`
	TrackPublished               *TrackPublished               `pb:"6"`
	Leave                        *LeaveRequest                 `pb:"8"`
	Mute                         *MuteTrackRequest             `pb:"9"`
	SpeakersChanged              *SpeakersChanged              `pb:"10"`
	RoomUpdate                   *RoomUpdate                   `pb:"11"`
	ConnectionQuality            *ConnectionQualityUpdate      `pb:"12"`
	StreamStateUpdate            *StreamStateUpdate            `pb:"13"`
	SubscribedQualityUpdate      *SubscribedQualityUpdate      `pb:"14"`
	SubscriptionPermissionUpdate *SubscriptionPermissionUpdate `pb:"15"`
	RefreshToken                 *string                       `pb:"16"`
	TrackUnpublished             *TrackUnpublished             `pb:"17"`
	Pong                         *int64                        `pb:"18"`
	Reconnect                    *ReconnectResponse            `pb:"19"`
	PongResp                     *Pong                         `pb:"20"`
	SubscriptionResponse         *SubscriptionResponse         `pb:"21"`
	RequestResponse              *RequestResponse              `pb:"22"`
	TrackSubscribed              *TrackSubscribed              `pb:"23"`
	MediaSectionsRequirement     *MediaSectionsRequirement     `pb:"25"`
	SubscribedAudioCodecUpdate   *SubscribedAudioCodecUpdate   `pb:"26"`
}

// Join is the first answer to a client that may come in. Ping times are in seconds.
type Join struct {
	Room                 *Room                `pb:"1"`
	Participant          *ParticipantInfo     `pb:"2"`
	OtherParticipants    []*ParticipantInfo   `pb:"3"`
	ServerVersion        string               `pb:"4"`
	ICEServers           []ICEServer          `pb:"5"`
	SubscriberPrimary    bool                 `pb:"6"`
	AlternativeURL       string               `pb:"7"`
	ClientConfiguration  *ClientConfiguration `pb:"8"`
	PingTimeout          int32                `pb:"10"`
	PingInterval         int32                `pb:"11"`
	ServerInfo           *ServerInfo          `pb:"12"`
	SIFTrailer           []byte               `pb:"13"`
	EnabledPublishCodecs []Codec              `pb:"14"`
	FastPublish          bool                 `pb:"15"`
}

// ReconnectResponse is the first answer to a client that resumes its session.
type ReconnectResponse struct {
	ICEServers          []ICEServer          `pb:"1"`
	ClientConfiguration *ClientConfiguration `pb:"2"`
	ServerInfo          *ServerInfo          `pb:"3"`
	LastMessageSeq      uint32               `pb:"4"` // of the client's reliable messages
}

// TrackPublished answers an AddTrackRequest.
type TrackPublished struct {
	CID   string     `pb:"1"`
	Track *TrackInfo `pb:"2"`
}

// TrackUnpublished tells a publisher that the server has ended a track.
type TrackUnpublished struct {
	TrackSID string `pb:"1"`
}

// ParticipantUpdate tells of participants that have come, changed or gone.
type ParticipantUpdate struct {
	Participants []*ParticipantInfo `pb:"1"`
}

// ICEServer is a STUN or TURN server.
type ICEServer struct {
	URLs       []string `pb:"1"`
	Username   string   `pb:"2"`
	Credential string   `pb:"3"`
}

// SpeakersChanged tells whose voice is heard now, or not any more.
type SpeakersChanged struct {
	Speakers []SpeakerInfo `pb:"1"`
}

// SpeakerInfo is how loud somebody is: Level from 0 to 1.
type SpeakerInfo struct {
	SID    string  `pb:"1"`
	Level  float32 `pb:"2"`
	Active bool    `pb:"3"`
}

// RoomUpdate tells that the room has changed.
type RoomUpdate struct {
	Room *Room `pb:"1"`
}

// ConnectionQuality is how well somebody is connected.
type ConnectionQuality int32

// The qualities.
const (
	QualityPoor      ConnectionQuality = 0
	QualityGood      ConnectionQuality = 1
	QualityExcellent ConnectionQuality = 2
	QualityLost      ConnectionQuality = 3
)

// ConnectionQualityInfo is how well one participant is connected. Score is a mean opinion score, from 1 to 5.
type ConnectionQualityInfo struct {
	ParticipantSID string            `pb:"1"`
	Quality        ConnectionQuality `pb:"2"`
	Score          float32           `pb:"3"`
}

// ConnectionQualityUpdate tells how well participants are connected.
type ConnectionQualityUpdate struct {
	Updates []ConnectionQualityInfo `pb:"1"`
}

// StreamState is whether a subscribed track is sent.
type StreamState int32

// The states.
const (
	StreamActive StreamState = 0
	StreamPaused StreamState = 1 // by the server, for want of bandwidth
)

// StreamStateInfo is whether one subscribed track is sent.
type StreamStateInfo struct {
	ParticipantSID string      `pb:"1"`
	TrackSID       string      `pb:"2"`
	State          StreamState `pb:"3"`
}

// StreamStateUpdate tells which subscribed tracks are paused, or go on.
type StreamStateUpdate struct {
	StreamStates []StreamStateInfo `pb:"1"`
}

// SubscribedQuality is whether somebody wants a layer.
type SubscribedQuality struct {
	Quality VideoQuality `pb:"1"`
	Enabled bool         `pb:"2"`
}

// SubscribedCodec is which layers of a codec somebody wants.
type SubscribedCodec struct {
	Codec     string              `pb:"1"`
	Qualities []SubscribedQuality `pb:"2"`
}

// SubscribedQualityUpdate tells a publisher which layers of a track somebody wants, so that it need not send the others
// (dynacast).
type SubscribedQualityUpdate struct {
	TrackSID            string              `pb:"1"`
	SubscribedQualities []SubscribedQuality `pb:"2"` // of the first codec, for old clients
	SubscribedCodecs    []SubscribedCodec   `pb:"3"`
}

// SubscribedAudioCodec is whether somebody wants an audio codec.
type SubscribedAudioCodec struct {
	Codec   string `pb:"1"`
	Enabled bool   `pb:"2"`
}

// SubscribedAudioCodecUpdate tells a publisher which audio codecs somebody wants.
type SubscribedAudioCodecUpdate struct {
	TrackSID              string                 `pb:"1"`
	SubscribedAudioCodecs []SubscribedAudioCodec `pb:"2"`
}

// SubscriptionPermissionUpdate tells a client whether it may have a track.
type SubscriptionPermissionUpdate struct {
	ParticipantSID string `pb:"1"`
	TrackSID       string `pb:"2"`
	Allowed        bool   `pb:"3"`
}

// Pong answers a Ping. Times are in milliseconds.
type Pong struct {
	LastPingTimestamp int64 `pb:"1"`
	Timestamp         int64 `pb:"2"`
}

// SubscriptionError is why a track cannot be had.
type SubscriptionError int32

// The reasons.
const (
	SubscriptionUnknown          SubscriptionError = 0
	SubscriptionCodecUnsupported SubscriptionError = 1
	SubscriptionTrackNotFound    SubscriptionError = 2
)

// SubscriptionResponse tells that a track cannot be had.
type SubscriptionResponse struct {
	TrackSID string            `pb:"1"`
	Err      SubscriptionError `pb:"2"`
}

// RequestReason is how a request ended.
type RequestReason int32

// How requests end.
const (
	RequestOK              RequestReason = 0
	RequestNotFound        RequestReason = 1
	RequestNotAllowed      RequestReason = 2
	RequestLimitExceeded   RequestReason = 3
	RequestQueued          RequestReason = 4
	RequestUnsupportedType RequestReason = 5
	RequestUnclassified    RequestReason = 6
	RequestInvalid         RequestReason = 11
)

// RequestResponse answers a request that has a RequestID, and refuses others, of which it has a copy.
type RequestResponse struct {
	RequestID        uint32                     `pb:"1"`
	Reason           RequestReason              `pb:"2"`
	Message          string                     `pb:"3"`
	Trickle          *TrickleRequest            `pb:"4"`
	AddTrack         *AddTrackRequest           `pb:"5"`
	Mute             *MuteTrackRequest          `pb:"6"`
	UpdateMetadata   *UpdateParticipantMetadata `pb:"7"`
	UpdateAudioTrack *UpdateLocalAudioTrack     `pb:"8"`
	UpdateVideoTrack *UpdateLocalVideoTrack     `pb:"9"`
}

// TrackSubscribed tells a publisher that somebody has its track, for the first time.
type TrackSubscribed struct {
	TrackSID string `pb:"1"`
}

// MediaSectionsRequirement tells a client of /rtc/v1 how many more media sections for receiving its next offer must have.
type MediaSectionsRequirement struct {
	NumAudios uint32 `pb:"1"`
	NumVideos uint32 `pb:"2"`
}
