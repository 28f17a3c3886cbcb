package sfu

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"causeway/sfu/signalling"

	"github.com/golang-jwt/jwt/v5"
)

// Permission is what a participant may do.
type Permission struct {
	Publish   bool
	Subscribe bool
	Data      bool
	// Sources are what may be published, such as "camera" and "microphone"; empty for all.
	Sources  []string
	Metadata bool // it may change its own metadata
	Hidden   bool // others are not told of it
}

// may is whether a source may be published.
func (p *Permission) may(s signalling.TrackSource) bool {
	return p.Publish && (len(p.Sources) == 0 || slices.Contains(p.Sources, s.String()))
}

// Grant is what an access token says.
type Grant struct {
	Room, Identity, Name, Metadata string
	Attributes                     map[string]string
	Permission                     Permission
	// Minted is when the token was made, to the second, by the clock of who has made it. Mint makes it now.
	Minted time.Time

	key string // the name of the key that has signed the token
}

// VideoGrant is the claim "video" of an access token. Names are LiveKit's.
type VideoGrant struct {
	RoomJoin             bool     `json:"roomJoin,omitempty"`
	RoomCreate           bool     `json:"roomCreate,omitempty"`
	RoomAdmin            bool     `json:"roomAdmin,omitempty"`
	Room                 string   `json:"room,omitempty"`
	CanPublish           *bool    `json:"canPublish,omitempty"`
	CanSubscribe         *bool    `json:"canSubscribe,omitempty"`
	CanPublishData       *bool    `json:"canPublishData,omitempty"`
	CanPublishSources    []string `json:"canPublishSources,omitempty"`
	CanUpdateOwnMetadata *bool    `json:"canUpdateOwnMetadata,omitempty"`
	Hidden               bool     `json:"hidden,omitempty"`
}

// claims are those of an access token.
type claims struct {
	jwt.RegisteredClaims
	Identity   string            `json:"identity,omitempty"`
	Name       string            `json:"name,omitempty"`
	Metadata   string            `json:"metadata,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Video      *VideoGrant       `json:"video,omitempty"`
}

// leeway is how far clocks may be apart.
const leeway = 10 * time.Second

var (
	errNoToken  = errors.New("no access token")
	errNoGrant  = errors.New("the token grants no room")
	errIdentity = errors.New("the token names nobody")
)

// Mint makes an access token, which is valid for a time.
func Mint(key, secret string, g Grant, valid time.Duration) (string, error) {
	at := time.Now()
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: key, Subject: g.Identity,
			NotBefore: jwt.NewNumericDate(at.Add(-leeway)), ExpiresAt: jwt.NewNumericDate(at.Add(valid)),
		},
		Name: g.Name, Metadata: g.Metadata, Attributes: g.Attributes,
		Video: &VideoGrant{
			RoomJoin: true, Room: g.Room,
			CanPublish: &g.Permission.Publish, CanSubscribe: &g.Permission.Subscribe, CanPublishData: &g.Permission.Data,
			CanPublishSources: g.Permission.Sources, CanUpdateOwnMetadata: &g.Permission.Metadata, Hidden: g.Permission.Hidden,
		},
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("sign the access token: %w", err)
	}
	return token, nil
}

// verify reads an access token that one of our keys has signed. Errors say what is wrong with it.
func (s *Server) verify(token string) (Grant, error) {
	if token == "" {
		return Grant{}, errNoToken
	}
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		issuer, err := t.Claims.GetIssuer()
		if err != nil {
			return nil, err
		}
		secret, ok := s.cfg.Keys[issuer]
		if !ok {
			return nil, fmt.Errorf("no key is called %.40q", issuer)
		}
		return []byte(secret), nil
	}, jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway))
	if err != nil {
		return Grant{}, fmt.Errorf("the access token is not valid: %w", err)
	}
	if c.Video == nil || !c.Video.RoomJoin || c.Video.Room == "" {
		return Grant{}, errNoGrant
	}
	if c.Identity == "" {
		c.Identity = c.Subject
	}
	if c.Identity == "" {
		return Grant{}, errIdentity
	}
	return Grant{
		Room: c.Video.Room, Identity: c.Identity, Name: c.Name, Metadata: c.Metadata, Attributes: c.Attributes,
		Permission: c.Video.permission(), Minted: c.minted(), key: c.Issuer,
	}, nil
}

// minted is when Mint has made the token. The zero time is for one of others that says nothing.
func (c *claims) minted() time.Time {
	if c.NotBefore == nil {
		return time.Time{}
	}
	return c.NotBefore.Add(leeway)
}

// permission is what a grant allows: what it does not name is allowed, but for changing one's metadata.
func (v *VideoGrant) permission() Permission {
	allowed := func(b *bool) bool { return b == nil || *b }
	p := Permission{
		Publish: allowed(v.CanPublish), Subscribe: allowed(v.CanSubscribe), Sources: v.CanPublishSources, Hidden: v.Hidden,
		Metadata: v.CanUpdateOwnMetadata != nil && *v.CanUpdateOwnMetadata,
	}
	p.Data = p.Publish
	if v.CanPublishData != nil {
		p.Data = *v.CanPublishData
	}
	return p
}

// info is the permission as clients are told.
func (p *Permission) info() *signalling.ParticipantPermission {
	i := &signalling.ParticipantPermission{
		CanSubscribe: p.Subscribe, CanPublish: p.Publish, CanPublishData: p.Data, Hidden: p.Hidden, CanUpdateMetadata: p.Metadata,
	}
	for s := signalling.Camera; s <= signalling.ScreenShareAudio; s++ {
		if slices.Contains(p.Sources, s.String()) {
			i.CanPublishSources = append(i.CanPublishSources, s)
		}
	}
	return i
}
