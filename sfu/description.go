package sfu

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
)

// What clients' descriptions may have.
const (
	// maxSections is how many media sections: a client has one for each track that it sends or gets.
	maxSections = 1024
	// maxCandidates is how many addresses a client may name for one connection, and maxCandidate how long each may be, in bytes. Who is under way for
	// long, and has more, begins anew.
	maxCandidates = 1024
	maxCandidate  = 512
)

var (
	errSections   = fmt.Errorf("it has more than %d media sections", maxSections)
	errCandidates = fmt.Errorf("it names more than %d addresses", maxCandidates)
	errLite       = errors.New("it is ICE-lite, which no client is")
)

// inspect reads a description of the client, and looks at it before it is taken.
//
// As ICE-lite we do no checks ourselves: that somebody is at an address, and wants what is sent there, is known by their checks alone. Of two that
// are lite neither does any, and we would send all the media to whatever address is named last. RFC 8445, section 2.5 and appendix B.6.
func (c *peer) inspect(text string) (*sdp.SessionDescription, error) {
	if strings.Count(text, "\nm=") > maxSections {
		return nil, errSections
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("it is no SDP: %w", err)
	}
	attributes := d.Attributes
	for _, m := range d.MediaDescriptions {
		attributes = append(attributes, m.Attributes...)
	}
	for _, a := range attributes {
		switch strings.TrimSpace(a.Key) {
		case sdp.AttrKeyICELite:
			return nil, errLite
		case sdp.AttrKeyCandidate:
			if _, err := c.know(a.Value); err != nil {
				return nil, err
			}
		}
	}
	return &d, nil
}

// know counts an address of the client, and tells whether it was not named before.
func (c *peer) know(candidate string) (news bool, err error) {
	candidate = strings.TrimPrefix(candidate, "candidate:")
	switch {
	case len(candidate) > maxCandidate:
		return false, errCandidates
	case c.named[candidate]:
		return false, nil
	case len(c.named) >= maxCandidates:
		return false, errCandidates
	}
	c.named[candidate] = true
	return true, nil
}
