package eventauth

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"causeway/homeserver/event"
)

// Rules 5.4.1.
func TestThirdPartyInvite(t *testing.T) {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = 7
	private := ed25519.NewKeyFromSeed(seed)
	public := base64.RawStdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	urlSafe := strings.NewReplacer("+", "-", "/", "_").Replace(public)
	other := base64.RawStdEncoding.EncodeToString(make([]byte, ed25519.PublicKeySize))
	sign := func(obj string) string {
		signed, err := event.SignJSON([]byte(obj), &event.Key{ServerName: "id.example", KeyID: "ed25519:0", Private: private})
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	signed := sign(`{"mxid":"@stranger:there","token":"abc"}`)
	issue := func(content string) ev { return ev{"@bob:here", event.TypeThirdPartyInvite, "abc", content} }
	issued := issue(`{"public_key":"` + public + `"}`)
	redeemBy := func(sender, target, third string) ev {
		return ev{sender, event.TypeMember, target, `{"membership":"invite","third_party_invite":` + third + `}`}
	}
	redeem := func(third string) ev { return redeemBy("@bob:here", "@stranger:there", third) }
	good := `{"signed":` + signed + `}`
	const withFloats = `{"mxid":"@stranger:there","power":1.5,"token":"abc"}`
	floats := strings.TrimSuffix(withFloats, "}") + `,"signatures":{"id.example":{"ed25519:0":"` +
		base64.RawStdEncoding.EncodeToString(ed25519.Sign(private, []byte(withFloats))) + `"}}}`

	runAuthCases(t, []authCase{
		{"5.4.1.7: valid", "", []ev{issued}, redeem(good), ""},
		{"5.4.1.7: sender has left since", "", []ev{issued, member("@bob:here", "@bob:here", "leave")}, redeem(good), ""},
		{"5.4.1.7: among public keys", "", []ev{issue(`{"public_key":"` + other + `","public_keys":[1,{},{"public_key":"` + public + `"}]}`)}, redeem(good), ""},
		{"5.4.1.7: URL-safe key", "", []ev{issue(`{"public_key":"` + urlSafe + `"}`)}, redeem(good), ""},
		{"5.4.1.7: among signatures", "", []ev{issued}, redeem(`{"signed":` + sign(`{"mxid":"@stranger:there","signatures":{"a":{"ed25519:0":"x"},"b":1},"token":"abc"}`) + `}`), ""},
		{"5.4.1.1: banned", "", []ev{issued, member("@mod:here", "@stranger:there", "ban")}, redeem(good), "5.4.1.1"},
		{"5.4.1.2: not signed", "", []ev{issued}, redeem(`{}`), "5.4.1.2"},
		{"5.4.1.2: not an object", "", []ev{issued}, redeem(`"x"`), "5.4.1.2"},
		{"5.4.1.3: no mxid", "", []ev{issued}, redeem(`{"signed":` + sign(`{"token":"abc"}`) + `}`), "5.4.1.3"},
		{"5.4.1.3: no token", "", []ev{issued}, redeem(`{"signed":` + sign(`{"mxid":"@stranger:there"}`) + `}`), "5.4.1.3"},
		{"5.4.1.3: signed is not an object", "", []ev{issued}, redeem(`{"signed":1}`), "5.4.1.3"},
		{"5.4.1.4: for another user", "", []ev{issued}, redeemBy("@bob:here", "@left:there", good), "5.4.1.4"},
		{"5.4.1.5: no such invite", "", nil, redeem(good), "5.4.1.5"},
		{"5.4.1.6: by another user", "", []ev{issued}, redeemBy("@carol:there", "@stranger:there", good), "5.4.1.6"},
		{"5.4.1.8: other key", "", []ev{issue(`{"public_key":"` + other + `"}`)}, redeem(good), "5.4.1.8"},
		{"5.4.1.8: no key", "", []ev{issue(`{}`)}, redeem(good), "5.4.1.8"},
		{"5.4.1.8: malformed keys", "", []ev{issue(`{"public_key":"?","public_keys":{}}`)}, redeem(good), "5.4.1.8"},
		{"5.4.1.8: changed", "", []ev{issued}, redeem(`{"signed":` + strings.Replace(signed, "{", `{"a":1,`, 1) + `}`), "5.4.1.8"},
		{"5.4.1.8: no signatures", "", []ev{issued}, redeem(`{"signed":{"mxid":"@stranger:there","token":"abc"}}`), "5.4.1.8"},
		{"5.4.1.8: signatures are no object", "", []ev{issued}, redeem(`{"signed":{"mxid":"@stranger:there","signatures":[],"token":"abc"}}`), "5.4.1.8"},
		{"5.4.1.7: signed with floats, where there are any", "5", []ev{issued}, redeem(`{"signed":` + floats + `}`), ""},
		{"5.4.1: what is null is there all the same", "", nil, redeem(`null`), "5.4.1.2"},
	})

	t.Run("bounded", func(t *testing.T) {
		var keys, signatures []string
		for i := range 150 {
			keys = append(keys, `{"public_key":"`+other+`"}`)
			signatures = append(signatures, fmt.Sprintf(`"ed25519:%d":"%s"`, i, strings.Repeat("A", 86)))
		}
		r := newRoom(t, "12", "")
		r.put(issue(`{"public_keys":[` + strings.Join(keys, ",") + `]}`))
		third := `{"signed":{"mxid":"@stranger:there","signatures":{"a":{` + strings.Join(signatures, ",") + `}},"token":"abc"}}`
		checkRule(t, Check(r.build(redeem(third), nil), r.state), "5.4.1.8")
	})
}
