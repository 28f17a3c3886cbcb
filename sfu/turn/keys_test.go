package turn

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSign is the example of the scheme, as coturn and Synapse make it.
func TestSign(t *testing.T) {
	// echo -n '1443779631:@user:example.com' | openssl dgst -sha1 -hmac secret -binary | base64
	if got, want := Sign([]byte("secret"), "1443779631:@user:example.com"), "Xm0lErj7sx/fpxQLH9q1I3FF0uw="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMint(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := Mint([]byte("x"), "@alice:example.org", now, time.Hour)
	if c.Username != "1700003600:@alice:example.org" || c.TTL != time.Hour || c.Password != Sign([]byte("x"), c.Username) {
		t.Errorf("got %+v", c)
	}
	if expiry, user, ok := parseUsername(c.Username); expiry != 1_700_003_600 || user != "@alice:example.org" || !ok {
		t.Errorf("it is read as %d, %s, %v", expiry, user, ok)
	}
}

// TestRotation goes through ten weeks, and takes all credentials for as long as they are good, and more.
func TestRotation(t *testing.T) {
	clock, storage := new(clock), new(memory)
	open := func() *Keys {
		k, err := openKeys(t.Context(), storage, 24*time.Hour, clock.now)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	one, other := open(), open() // two servers that share the secrets
	check := func(k *Keys, c Credentials, what string) {
		t.Helper()
		expiry, _, _ := parseUsername(c.Username)
		if secret := k.secret(expiry); secret == nil || Sign(secret, c.Username) != c.Password {
			t.Fatalf("%s are not taken", what)
		}
	}
	secrets := map[string]bool{}
	var before []Credentials
	for hour := range 10 * 7 * 24 {
		for _, k := range []*Keys{one, other} { // each reads them once an hour, at some time
			if err := k.refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			c := k.Mint("@alice:example.org")
			before = append(before, c)
			check(one, c, "new credentials")
			check(other, c, "new credentials")
			clock.advance(time.Minute)
		}
		secrets[string(one.secret(clock.now().Add(24*time.Hour).Unix()))] = true
		if n := len(before); n > 2*24*5 {
			check(one, before[n-2*24*5], "credentials of five days ago")
			check(open(), before[n-2*24*5], "credentials of five days ago")
		}
		if len(one.list) > keptKeys {
			t.Fatalf("there are %d secrets", len(one.list))
		}
		clock.advance(58 * time.Minute)
		_ = hour
	}
	if n := len(secrets); n < 9 || n > 11 {
		t.Errorf("there were %d secrets in ten weeks", n)
	}
	old := before[0]
	expiry, _, _ := parseUsername(old.Username)
	if secret := one.secret(expiry); secret != nil && Sign(secret, old.Username) == old.Password {
		t.Error("credentials of ten weeks ago are still signed by a secret that is known")
	}
}

// failing is a storage that does not work, or holds something else.
type failing struct {
	raw []byte
	err error
}

func (f failing) Update(_ context.Context, change func([]byte) ([]byte, error)) ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	return change(f.raw)
}

func TestOpenKeysFails(t *testing.T) {
	down := errors.New("the database is away")
	if _, err := OpenKeys(t.Context(), failing{err: down}, time.Hour); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
	for _, raw := range []string{"x", `[{"secret":"c2hvcnQ=","from":0}]`, `{"secret":"topsecret"}`} {
		_, err := OpenKeys(t.Context(), failing{raw: []byte(raw)}, time.Hour)
		if err == nil || strings.Contains(err.Error(), "secret\"") || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: got %v", raw, err)
		}
	}
	for _, ttl := range []time.Duration{0, -1, MaxTTL + 1} {
		if _, err := OpenKeys(t.Context(), new(memory), ttl); err == nil {
			t.Errorf("credentials are made for %v", ttl)
		}
	}
}

func FuzzParseUsername(f *testing.F) {
	f.Add("1443779631:@user:example.com")
	f.Add(":")
	f.Fuzz(func(t *testing.T, username string) {
		expiry, user, ok := parseUsername(username)
		if !ok {
			return
		}
		if user == "" || len(username) > maxUsername || !strings.HasSuffix(username, ":"+user) {
			t.Errorf("%q has the user %q", username, user)
		}
		if n, err := strconv.ParseInt(username[:len(username)-len(user)-1], 10, 64); err != nil || n != expiry {
			t.Errorf("%q ends at %d", username, expiry)
		}
	})
}
