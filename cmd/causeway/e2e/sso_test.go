package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ssoScreenshots is where the pictures of the last run are kept, below this folder. It is in .gitignore.
const ssoScreenshots = "output/sso"

// ssoConfig has a provider that runs in the test, and one that is down.
const ssoConfig = `sso:
  providers:
    - id: works
      name: Example ID
      brand: example
      issuer: ISSUER
      client_id: causeway
      client_secret: a secret of 32 bytes, for the test
    - id: down
      name: Broken ID
      issuer: http://localhost:1
      client_id: causeway
      client_secret: x
`

// TestSSO has people sign in by a provider of OpenID Connect that is another's program (the npm package oidc-provider), in Chromium.
func TestSSO(t *testing.T) {
	_, port, _ := strings.Cut(freePort(t), ":")
	issuer := "http://localhost:" + port // another site than the server's, for browsers
	server := startServer(t, options{extra: strings.Replace(ssoConfig, "ISSUER", issuer, 1)})
	if err := os.RemoveAll(ssoScreenshots); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(ssoScreenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.Abs(ssoScreenshots)
	if err != nil {
		t.Fatal(err)
	}
	server.runNode(t, nil, "sso/main.mjs", server.url(""), folder, issuer)
}
