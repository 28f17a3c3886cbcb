package sfu

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// BenchmarkEncrypt is what encrypting a packet costs, which no way of sending it saves.
func BenchmarkEncrypt(b *testing.B) {
	for _, profile := range []srtp.ProtectionProfile{srtp.ProtectionProfileAeadAes128Gcm, srtp.ProtectionProfileAes128CmHmacSha1_80} {
		for _, size := range []int{100, 1200} {
			b.Run(fmt.Sprintf("%s, %d bytes", profile, size), func(b *testing.B) {
				key, salt := make([]byte, 16), make([]byte, 14)
				if profile == srtp.ProtectionProfileAeadAes128Gcm {
					salt = salt[:12]
				}
				c, err := srtp.CreateContext(key, salt, profile)
				if err != nil {
					b.Fatal(err)
				}
				p := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 1}, Payload: make([]byte, size)}
				_, _ = rand.Read(p.Payload)
				raw, out := make([]byte, 1500), make([]byte, 0, 1500)
				for b.Loop() {
					p.SequenceNumber++
					n, _ := p.MarshalTo(raw)
					if _, err := c.EncryptRTP(out, raw[:n], &p.Header); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
