package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"causeway/sfu/focus"

	"github.com/rs/zerolog"
)

// What a process is.
const (
	roleHomeserver = "homeserver" // all
	roleSFU        = "sfu"        // an SFU for the calls of a homeserver elsewhere, and nothing else
)

// minNodeSecret is how long the secret of nodes is at least, in bytes.
const minNodeSecret = 32

// NodeConfig says where a node is: an SFU of ours on another machine.
type NodeConfig struct {
	// URL is its address for clients, wss://host, and APIURL that for this server, https://host; "" for the same host.
	URL    string `yaml:"url"`
	APIURL string `yaml:"api_url"`
}

// media is the address for clients.
func (c NodeConfig) media() string { return withScheme(c.URL, "ws") + callMediaPath }

// api is the address of the API.
func (c NodeConfig) api() string {
	if c.APIURL != "" {
		return withScheme(c.APIURL, "http") + callMediaPath
	}
	return withScheme(c.URL, "http") + callMediaPath
}

// name is what the node is called: its host.
func (c NodeConfig) name() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return c.URL
	}
	return u.Host
}

// checkRole checks what a process is to be, and what goes with it.
func (c *Config) checkRole(bad report) {
	switch c.Role {
	case roleHomeserver:
	case roleSFU:
		if !c.Calls.Enabled {
			bad("calls.enabled", "must be true where the role is %s", roleSFU)
		}
		if c.Calls.SFU.Secret == "" {
			bad("calls.sfu.secret", "must not be empty: where the role is %s it is calls.sfu.secret of the homeserver", roleSFU)
		}
		if len(c.Calls.SFU.Nodes) > 0 || c.Calls.SFU.LiveKit.URL != "" {
			bad("role", "%s is for a process that is an SFU itself: the homeserver is told where others are", roleSFU)
		}
	default:
		bad("role", "%q is neither %s nor %s", c.Role, roleHomeserver, roleSFU)
	}
}

// checkNodes checks where nodes are.
func (c SFUConfig) checkNodes(bad report) {
	if c.Secret != "" && len(c.Secret) < minNodeSecret {
		bad("calls.sfu.secret", "must have %d characters at least", minNodeSecret)
	}
	if len(c.Nodes) == 0 {
		return
	}
	if c.Secret == "" {
		bad("calls.sfu.secret", "must not be empty when there are nodes")
	}
	if c.LiveKit.URL != "" {
		bad("calls.sfu.nodes", "cannot be with calls.sfu.livekit: calls are on one or the other")
	}
	names := map[string]bool{}
	for i, n := range c.Nodes {
		at := fmt.Sprintf("calls.sfu.nodes[%d].", i)
		if n.URL == "" {
			bad(at+"url", "must not be empty")
			continue
		}
		checkNodeURL(at+"url", n.URL, bad)
		checkNodeURL(at+"api_url", n.APIURL, bad)
		if names[n.name()] {
			bad(at+"url", "%q is there twice", n.name())
		}
		names[n.name()] = true
	}
}

// checkNodeURL checks the address of a node, behind which this server puts the path itself.
func checkNodeURL(key, value string, bad report) {
	checkMediaURL(key, value, bad)
	if u, err := url.Parse(value); err == nil && strings.Trim(u.Path, "/") != "" {
		bad(key, "%q has a path: it is the node's address alone, such as wss://%s", value, cmp.Or(u.Host, "sfu1.example.org"))
	}
}

// nodeKey is the key by which nodes and their homeserver sign what they tell each other, and access tokens: one that is made of their secret, so
// that this is good for other things, too.
func nodeKey(secret string) (name, key string) {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("causeway sfu node"))
	return "causeway-node", base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// openNodes prepares what speaks with nodes.
func openNodes(cfg *Config, key, secret string, log zerolog.Logger) *focus.Nodes {
	nc := focus.NodesConfig{
		Key: key, Secret: secret, ServerName: cfg.ServerName, Webhook: cfg.BaseURL() + callTokensPath + focus.WebhookPath, Log: log,
	}
	for _, n := range cfg.Calls.SFU.Nodes {
		nc.Nodes = append(nc.Nodes, focus.NodeAddress{Name: n.name(), URL: n.media(), API: n.api()})
	}
	return focus.NewNodes(nc)
}
