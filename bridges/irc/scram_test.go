package irc

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// The conversation of RFC 7677, section 3.
const (
	rfcNonce       = "rOprNGfwEbeRWgbNEkqO"
	rfcClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
	rfcServerFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	rfcClientFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	rfcServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

func rfcSCRAM(t *testing.T) *scram {
	t.Helper()
	s := newSCRAM("user", "pencil")
	s.nonce = rfcNonce
	first, err := s.next(nil)
	if err != nil || string(first) != rfcClientFirst {
		t.Fatalf("got first message %q, %v", first, err)
	}
	return s
}

func TestSCRAMVector(t *testing.T) {
	s := rfcSCRAM(t)
	final, err := s.next([]byte(rfcServerFirst))
	if err != nil || string(final) != rfcClientFinal {
		t.Fatalf("got final message %q, %v", final, err)
	}
	if s.proved() == nil {
		t.Error("the server was believed before it had shown anything")
	}
	if answer, err := s.next([]byte(rfcServerFinal)); err != nil || len(answer) != 0 {
		t.Errorf("got %q, %v", answer, err)
	}
	if err := s.proved(); err != nil {
		t.Error(err)
	}
}

// A server that lies is not believed.
func TestSCRAMServerLies(t *testing.T) {
	for _, test := range []struct{ name, first, final string }{
		{"another nonce", "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", ""},
		{"only our nonce", "r=" + rfcNonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", ""},
		{"no salt", "r=" + rfcNonce + "x,s=,i=4096", ""},
		{"salt is no base64", "r=" + rfcNonce + "x,s=!,i=4096", ""},
		{"long salt", "r=" + rfcNonce + "x,s=" + base64.StdEncoding.EncodeToString(make([]byte, maxSCRAMSalt+1)) + ",i=4096", ""},
		{"long nonce", "r=" + rfcNonce + strings.Repeat("x", maxSCRAMNonce) + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", ""},
		{"one iteration", "r=" + rfcNonce + "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1", ""},
		{"iterations without end", "r=" + rfcNonce + "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=2000000000", ""},
		{"mandatory extension", "m=x,r=" + rfcNonce + "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", ""},
		{"nothing", "", ""},
		{"wrong signature", rfcServerFirst, "v=" + base64.StdEncoding.EncodeToString(make([]byte, 32))},
		{"empty signature", rfcServerFirst, "v="},
		{"signature is no base64", rfcServerFirst, "v=!"},
		{"no signature", rfcServerFirst, "ok"},
		{"error", rfcServerFirst, "e=invalid-proof"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := rfcSCRAM(t)
			_, err := s.next([]byte(test.first))
			if test.final != "" {
				if err != nil {
					t.Fatal(err)
				}
				_, err = s.next([]byte(test.final))
			}
			if err == nil {
				t.Error("the server was believed")
			}
			if s.proved() == nil {
				t.Error("got proved")
			}
		})
	}
}

func TestSCRAMEscapesTheName(t *testing.T) {
	s := newSCRAM("a=b,c", "x")
	s.nonce = "n"
	if first, _ := s.next(nil); string(first) != "n,,n=a=3Db=2Cc,r=n" {
		t.Errorf("got %q", first)
	}
	s.step = 3
	if _, err := s.next(nil); !errors.Is(err, errSASLMessage) {
		t.Errorf("got %v for a fourth message", err)
	}
}

// RFC 4013, section 3.
func TestSASLPrep(t *testing.T) {
	for in, want := range map[string]string{"I\u00adX": "IX", "user": "user", "USER": "USER", "\u00aa": "a", "\u2168": "IX", "a\u00a0b": "a b"} {
		if got := saslPrep(in); got != want {
			t.Errorf("got %q for %q, want %q", got, in, want)
		}
	}
}

func FuzzSCRAMServer(f *testing.F) {
	f.Add(rfcServerFirst, rfcServerFinal)
	f.Add("r=,s=,i=", "v=")
	f.Fuzz(func(t *testing.T, first, final string) {
		s := newSCRAM("user", "pencil")
		s.nonce = rfcNonce
		_, _ = s.next(nil)
		if strings.Contains(first, ",i=") && len(first) > len(rfcServerFirst)+40 {
			return // iterations are work, which is bounded by a constant
		}
		_, _ = s.next([]byte(first))
		_, _ = s.next([]byte(final))
		if s.proved() == nil && (first != rfcServerFirst || !strings.HasPrefix(final, rfcServerFinal)) {
			t.Errorf("believed %q and %q", first, final)
		}
	})
}
