package bridgetest

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/ergochat/irc-go/ircmsg"
	"github.com/ergochat/irc-go/ircutils"
)

const (
	v3SASLBytes  = 4096 // of one response
	v3Iterations = 4096 // RFC 7677, 4
	// v3Mechanisms are all that there are.
	v3Mechanisms = "PLAIN,SCRAM-SHA-256"
)

// LoggedIn is how often somebody has logged in by a mechanism of SASL.
func (s *IRCv3) LoggedIn(mechanism string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins[mechanism]
}

// SASLMechanisms are those that connections are offered from now on, with commas between them.
func (s *IRCv3) SASLMechanisms(names string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mechanisms = names
}

// v3sasl is an authentication on its way. IRCv3, "SASL".
type v3sasl struct {
	mechanism string
	buffer    *ircutils.SASLBuffer
	scram     *v3scram
}

func (c *v3conn) onAuthenticate(m ircmsg.Message) {
	if c.sasl.mechanism == "" {
		mechanism := strings.ToUpper(m.Params[0])
		if !slices.Contains(strings.Split(c.s.mechanisms, ","), mechanism) {
			c.numeric("908", c.s.mechanisms, "are available SASL mechanisms")
			c.saslFailed()
			return
		}
		c.sasl = v3sasl{mechanism: mechanism, buffer: ircutils.NewSASLBuffer(v3SASLBytes)}
		c.send(ircmsg.MakeMessage(nil, "", "AUTHENTICATE", "+"))
		return
	}
	if m.Params[0] == "*" {
		c.sasl = v3sasl{}
		c.numeric("906", "SASL authentication aborted")
		return
	}
	done, response, err := c.sasl.buffer.Add(m.Params[0])
	switch {
	case err != nil:
		c.saslFailed()
	case !done:
	case c.sasl.mechanism == "PLAIN":
		c.plain(response)
	default:
		c.scram(response)
	}
}

func (c *v3conn) saslFailed() {
	c.sasl = v3sasl{}
	c.numeric("904", "SASL authentication failed")
}

func (c *v3conn) loggedIn(account string) {
	c.s.logins[c.sasl.mechanism]++
	c.sasl = v3sasl{}
	c.account = account
	nick, user := c.nick, c.user
	if nick == "" {
		nick = "*"
	}
	if user == "" {
		user = "*"
	}
	c.numeric("900", nick+"!"+user+"@"+c.host, account, "You are now logged in as "+account)
	c.numeric("903", "SASL authentication successful")
	if c.registered {
		c.tell("account-notify", ircmsg.MakeMessage(nil, c.mask(), "ACCOUNT", account))
	}
}

// plain is RFC 4616: authorisation, authentication identity and password.
func (c *v3conn) plain(response []byte) {
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 {
		c.saslFailed()
		return
	}
	account := string(parts[1])
	if password, ok := c.s.opts.Accounts[account]; !ok || password != string(parts[2]) {
		c.saslFailed()
		return
	}
	c.loggedIn(account)
}

// v3scram is what the two sides have said. RFC 5802, 3.
type v3scram struct {
	account            string
	firstBare, first   string
	gs2, nonce         string
	salted             []byte
	serverSignatureOut bool
}

func (c *v3conn) scram(response []byte) {
	switch x := c.sasl.scram; {
	case x == nil:
		c.scramFirst(string(response))
	case x.serverSignatureOut:
		c.loggedIn(x.account)
	default:
		c.scramFinal(x, string(response))
	}
}

// scramFirst takes the client's first message: n,,n=account,r=nonce.
func (c *v3conn) scramFirst(message string) {
	parts := strings.SplitN(message, ",", 3)
	if len(parts) != 3 || parts[0] == "" || strings.HasPrefix(parts[0], "p") {
		c.saslFailed()
		return
	}
	x := &v3scram{gs2: parts[0] + "," + parts[1] + ",", firstBare: parts[2]}
	attributes := scramAttributes(parts[2])
	x.account = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(attributes["n"])
	password, ok := c.s.opts.Accounts[x.account]
	if !ok || attributes["r"] == "" {
		c.saslFailed()
		return
	}
	salt := []byte(rand.Text()[:16])
	x.nonce = attributes["r"] + rand.Text()
	var err error
	if x.salted, err = pbkdf2.Key(sha256.New, password, salt, v3Iterations, sha256.Size); err != nil {
		c.saslFailed()
		return
	}
	x.first = "r=" + x.nonce + ",s=" + base64.StdEncoding.EncodeToString(salt) + ",i=" + itoa(v3Iterations)
	c.sasl.scram = x
	c.challenge(x.first)
}

// scramFinal takes the proof: c=gs2,r=nonce,p=proof.
func (c *v3conn) scramFinal(x *v3scram, message string) {
	withoutProof, proofText, _ := strings.Cut(message, ",p=")
	attributes := scramAttributes(withoutProof)
	gs2, _ := base64.StdEncoding.DecodeString(attributes["c"])
	proof, err := base64.StdEncoding.DecodeString(proofText)
	auth := x.firstBare + "," + x.first + "," + withoutProof
	clientKey := hmacSHA256(x.salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	signature := hmacSHA256(stored[:], auth)
	for i := range proof {
		if i < len(signature) {
			proof[i] ^= signature[i]
		}
	}
	if err != nil || string(gs2) != x.gs2 || attributes["r"] != x.nonce || !hmac.Equal(proof, clientKey) {
		c.saslFailed()
		return
	}
	x.serverSignatureOut = true
	c.challenge("v=" + base64.StdEncoding.EncodeToString(hmacSHA256(hmacSHA256(x.salted, "Server Key"), auth)))
}

// challenge sends what the client has to answer.
func (c *v3conn) challenge(text string) {
	c.sasl.buffer.Clear()
	for _, piece := range ircutils.EncodeSASLResponse([]byte(text)) {
		c.send(ircmsg.MakeMessage(nil, "", "AUTHENTICATE", piece))
	}
}

func scramAttributes(message string) map[string]string {
	all := map[string]string{}
	for part := range strings.SplitSeq(message, ",") {
		if name, value, ok := strings.Cut(part, "="); ok {
			all[name] = value
		}
	}
	return all
}

func hmacSHA256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
