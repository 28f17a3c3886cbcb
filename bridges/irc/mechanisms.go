package irc

// saslMech is one authentication under way. IRCv3, "SASL 3.2".
type saslMech interface {
	// name is what AUTHENTICATE calls it.
	name() string
	// next answers a challenge of the server, the first of which is empty.
	next(challenge []byte) ([]byte, error)
	// proved is nil when a server may be believed that says that the authentication has succeeded.
	proved() error
	// secretSent reports whether something was sent that is made of the password.
	secretSent() bool
}

// plain is PLAIN, RFC 4616: the password as it is.
type plain struct {
	user, password string
	sent           bool
}

func (p *plain) name() string     { return "PLAIN" }
func (p *plain) proved() error    { return nil }
func (p *plain) secretSent() bool { return p.sent }

func (p *plain) next([]byte) ([]byte, error) {
	if p.sent {
		return nil, errSASLMessage
	}
	p.sent = true
	return []byte("\x00" + p.user + "\x00" + p.password), nil
}

// external is EXTERNAL, RFC 4422, appendix A: the certificate of the connection says who we are.
type external struct{ sent bool }

func (e *external) name() string     { return "EXTERNAL" }
func (e *external) proved() error    { return nil }
func (e *external) secretSent() bool { return false }

func (e *external) next([]byte) ([]byte, error) {
	if e.sent {
		return nil, errSASLMessage
	}
	e.sent = true
	return nil, nil // the account that belongs to the certificate
}
