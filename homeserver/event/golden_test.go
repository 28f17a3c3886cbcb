package event

import (
	"testing"

	"maunium.net/go/mautrix/id"
)

// Hashes and IDs of the event types that keep something in a redaction, for the versions in which what they keep changed. They were
// computed apart from this package, in Python, with the specification's reference code (appendices, "Canonical JSON"; Server-Server
// API, "Signing Events", "Example code").
func TestHashVectors(t *testing.T) {
	key := testKey(t)
	for _, tc := range []struct {
		name, version, in      string
		content, reference, id string // hashes in unpadded base64
		redacted               string // content
	}{
		{
			"message", "1",
			`{"type":"m.room.message","room_id":"!r:domain","sender":"@a:domain","event_id":"$e:domain","origin":"domain","auth_events":[["$a:domain",{"sha256":"x"}]],"prev_events":[["$p:domain",{"sha256":"y"}]],"content":{"body":"é😀\n","f":1.50,"g":[1e16,1e-5,-0.0,123456789012345678901]},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"878zB2hqHfUiQraDaMyHEIaGYbFpIPxZemN4nYy0qkk", "Cy2zEx5yaHObXIo2l2KSXjuQsUBtFuS2khsQSkZbOtY", "",
			`{}`,
		},
		{
			"aliases", "2",
			`{"type":"m.room.aliases","room_id":"!r:domain","sender":"@a:domain","event_id":"$e:domain","state_key":"domain","membership":"join","prev_state":[],"auth_events":[["$a:domain",{"sha256":"x"}]],"prev_events":[["$p:domain",{"sha256":"y"}]],"content":{"aliases":["#a:domain"],"x":1},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"l8NIyRl2wio9RFAwnBPKNOXMrk5MNMafmOc9vjfMm0o", "EYgcvadltkO0eU3pf/3xxMqrwYkrPKvhE9h3rjB/GFc", "",
			`{"aliases":["#a:domain"]}`,
		},
		{
			"redaction", "3",
			`{"type":"m.room.redaction","room_id":"!r:domain","sender":"@a:domain","redacts":"$x","auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"reason":"spam","redacts":"$y"},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"F5UYt2U8JlY8NsJNoTUrZM76Y+4AWM9CyIu6qXamxt4", "Gn4Rr8imkcI4F4+Rk0HJA0ARQQ5yrS0G/4a1GovsMLQ", "$Gn4Rr8imkcI4F4+Rk0HJA0ARQQ5yrS0G/4a1GovsMLQ",
			`{}`,
		},
		{
			"power levels", "4",
			`{"type":"m.room.power_levels","room_id":"!r:domain","sender":"@a:domain","state_key":"","auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"users":{"@a:domain":100.5},"invite":"50","ban":5e1},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"xJFn6qo15jW8QVLHL2EDJmbpg3rgokj5EjA432oCYI0", "68x0e/YOxqKsdy7P4fJhXfvfjPrrxGLQfICZg6v26u8", "$68x0e_YOxqKsdy7P4fJhXfvfjPrrxGLQfICZg6v26u8",
			`{"ban":50.0,"users":{"@a:domain":100.5}}`,
		},
		{
			"floats that survive a redaction", "5",
			`{"type":"m.room.power_levels","room_id":"!r:domain","sender":"@a:domain","state_key":"","unknown":1.0,"auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"users":{"@a:domain":100.5,"@b:domain":1e100},"ban":5e1,"kick":0.00001},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"PSegNcmSfjdoqXFNtMZJeJ3TwK3uNM8P28Zy0YwQAFQ", "895D0vDg1nnlJss4xiO2tUthqhk9Scwgmc8iptJ+v/c", "$895D0vDg1nnlJss4xiO2tUthqhk9Scwgmc8iptJ-v_c",
			`{"ban":50.0,"kick":1e-05,"users":{"@a:domain":100.5,"@b:domain":1e+100}}`,
		},
		{
			"aliases", "6",
			`{"type":"m.room.aliases","room_id":"!r:domain","sender":"@a:domain","state_key":"domain","origin":"domain","auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"aliases":["#a:domain"]},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"p7461AfB/5cS8Jgxees9o5jCfdlOmVHcLtIvtrnLHJY", "A//zVtBSdgK9y5z0RmavTafTgomLawrlZuZ0Pm+Iae8", "$A__zVtBSdgK9y5z0RmavTafTgomLawrlZuZ0Pm-Iae8",
			`{}`,
		},
		{
			"member", "8",
			`{"type":"m.room.member","room_id":"!r:domain","sender":"@a:domain","state_key":"@a:domain","auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"membership":"join","join_authorised_via_users_server":"@b:domain"},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"ZJV0po9H67onfw0YeKwaMzwBegPZDFRrxsJ8Bo9wHDE", "QfOMQ9Hz6Z1qHh1h+VeCtCJh93S6i7w0QtlGmt5X7Zo", "$QfOMQ9Hz6Z1qHh1h-VeCtCJh93S6i7w0QtlGmt5X7Zo",
			`{"membership":"join"}`,
		},
		{
			"member", "9",
			`{"type":"m.room.member","room_id":"!r:domain","sender":"@a:domain","state_key":"@a:domain","auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"membership":"join","join_authorised_via_users_server":"@b:domain","displayname":"A"},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"xmV9d95aXX4Jl8ap0kj4BLeTNT9YEzoTt4sgX0+5wjU", "CFTuJSBkPyaclMB28Dj3564FfM6ldKA1kZSqOQGD5rs", "$CFTuJSBkPyaclMB28Dj3564FfM6ldKA1kZSqOQGD5rs",
			`{"join_authorised_via_users_server":"@b:domain","membership":"join"}`,
		},
		{
			"join rules", "10",
			`{"type":"m.room.join_rules","room_id":"!r:domain","sender":"@a:domain","state_key":"","origin":"domain","auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"join_rule":"restricted","allow":[{"type":"m.room_membership","room_id":"!x:y"}],"x":null},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"EhLw/Zd3ES4C7u3zEJSYpCK1dLFmruFVlcowlz+opMU", "ON5TqPX6bSYCTeSfbG7/jfRFUU5tOPWt7zAT0G8GgkM", "$ON5TqPX6bSYCTeSfbG7_jfRFUU5tOPWt7zAT0G8GgkM",
			`{"allow":[{"room_id":"!x:y","type":"m.room_membership"}],"join_rule":"restricted"}`,
		},
		{
			"create", "10",
			`{"type":"m.room.create","room_id":"!r:domain","sender":"@a:domain","state_key":"","auth_events":[],"prev_events":[],"content":{"creator":"@a:domain","room_version":"10","m.federate":false},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"x9wClh7qdnKQxneom4I786XCkGCcPNTEShzKEy5tBv4", "mtSHKo+Oc/ooVF/aB8UyM78TXgh5k8pjuiKjl5ThHyQ", "$mtSHKo-Oc_ooVF_aB8UyM78TXgh5k8pjuiKjl5ThHyQ",
			`{"creator":"@a:domain"}`,
		},
		{
			"create", "11",
			`{"type":"m.room.create","room_id":"!r:domain","sender":"@a:domain","state_key":"","origin":"domain","auth_events":[],"prev_events":[],"content":{"room_version":"11","m.federate":false},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"g0RoL16eXuYqWqz1vrwDlAMVTqebj/tsgOOYGs+Bxh8", "GhAoqAK92XIIr9bUz9O+xq6SbPQ0/z0zKja7Szza8Fg", "$GhAoqAK92XIIr9bUz9O-xq6SbPQ0_z0zKja7Szza8Fg",
			`{"m.federate":false,"room_version":"11"}`,
		},
		{
			"third-party invite", "11",
			`{"type":"m.room.member","room_id":"!r:domain","sender":"@a:domain","state_key":"@b:x","auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"membership":"invite","third_party_invite":{"display_name":"B","signed":{"mxid":"@b:x","token":"t","signatures":{}}}},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"uyA5RV5xZkbSfRihpUVba5/n0IXfwsY5VokFrfcAXkA", "Uvs5F309dBUYrjzRjg//3Izlc/PLb1bDjItPgdCj2g0", "$Uvs5F309dBUYrjzRjg__3Izlc_PLb1bDjItPgdCj2g0",
			`{"membership":"invite","third_party_invite":{"signed":{"mxid":"@b:x","signatures":{},"token":"t"}}}`,
		},
		{
			"redaction", "11",
			`{"type":"m.room.redaction","room_id":"!r:domain","sender":"@a:domain","redacts":"$y","auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"reason":"spam","redacts":"$x"},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"5O6/CW+REKTDU0aJhsRzZs/Ycp1pxRXt5fPHVWfFDmg", "7pMiBgq0eQdOh7piTx/LGfD9Irt615H1PEgSKnAbtk4", "$7pMiBgq0eQdOh7piTx_LGfD9Irt615H1PEgSKnAbtk4",
			`{"redacts":"$x"}`,
		},
		{
			"create", "12",
			`{"type":"m.room.create","sender":"@a:domain","state_key":"","auth_events":[],"prev_events":[],"content":{"room_version":"12","additional_creators":["@b:x"]},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"7A6UptdUNsMwRtZ7HP/Cu28/XEq4b8t7LeJq6UBKxB4", "V2lYV5iUiPo9/2D/nHCxk5wWrYaouRdghVMNOpZ7EkA", "$V2lYV5iUiPo9_2D_nHCxk5wWrYaouRdghVMNOpZ7EkA",
			`{"additional_creators":["@b:x"],"room_version":"12"}`,
		},
		{
			"power levels", "12",
			`{"type":"m.room.power_levels","room_id":"!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ","sender":"@a:domain","state_key":"","auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"users":{"@b:x":50},"invite":1,"notifications":{"room":50},"events":{"m.room.name":50}},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"OqtFnqX3nJdpxGvhgZ+rHeOP1pHit/lsQWI2Ww6o95U", "pIcQYTA+mvod5XlFRpXU559pyd4C92J7YC0lk6a9G8o", "$pIcQYTA-mvod5XlFRpXU559pyd4C92J7YC0lk6a9G8o",
			`{"events":{"m.room.name":50},"invite":1,"users":{"@b:x":50}}`,
		},
		{
			"message with a key in every plane", "12",
			`{"type":"m.room.message","room_id":"!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ","sender":"@a:domain","auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"\ud83d\ude00":1,"\uffff":2,"\u0000":3,"b\"":4,"\\":5,"a/":6,"\u2028":7},"depth":7,"origin_server_ts":1700000000000,"signatures":{}}`,
			"sHI6KzMwBmzuUKCQ5Uj8tljZCw3ebo67c4RxXbJ7by4", "217DVz0MLUdqg7BvZ/Ka/he83IeDIvMFxEaIDrO/tq4", "$217DVz0MLUdqg7BvZ_Ka_he83IeDIvMFxEaIDrO_tq4",
			`{}`,
		},
	} {
		t.Run(tc.version+" "+tc.name, func(t *testing.T) {
			v := mustVersion(t, tc.version)
			signed, err := HashAndSign(v, []byte(tc.in), key)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Parse(v, signed)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := Text(Field(Field(p.JSON(), "hashes"), "sha256")); got != tc.content {
				t.Errorf("content hash: got %s, want %s", got, tc.content)
			}
			if got := p.ReferenceHash(); got != tc.reference {
				t.Errorf("reference hash: got %s, want %s", got, tc.reference)
			}
			if tc.id != "" && p.EventID != id.EventID(tc.id) {
				t.Errorf("ID: got %s, want %s", p.EventID, tc.id)
			}
			r, err := p.Redact()
			if err != nil || string(r.Content) != tc.redacted {
				t.Errorf("redacted: got %s, %v, want %s", r.Content, err, tc.redacted)
			}
			for _, e := range []*PDU{p, r} {
				if err := VerifySignature(e, key.ServerName, key.KeyID, key.public()); err != nil {
					t.Error(err)
				}
			}
			if p.VerifyHash() != nil {
				t.Error("the content hash does not verify")
			}
		})
	}
}

// Appendices, "Unpadded Base64": the examples, and that padding and the other alphabet are accepted.
func TestBase64Vectors(t *testing.T) {
	for _, tc := range []struct{ plain, want, padded string }{
		{"", "", ""},
		{"f", "Zg", "Zg=="},
		{"fo", "Zm8", "Zm8="},
		{"foo", "Zm9v", "Zm9v"},
		{"foob", "Zm9vYg", "Zm9vYg=="},
		{"fooba", "Zm9vYmE", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
		{"\xfb\xff\xfe", "+//+", "-__-"},
	} {
		if got := encodeBase64([]byte(tc.plain)); got != tc.want {
			t.Errorf("%q: got %s, want %s", tc.plain, got, tc.want)
		}
		for _, in := range []string{tc.want, tc.padded} {
			if got, err := decodeBase64(in); err != nil || string(got) != tc.plain {
				t.Errorf("%s: got %q, %v, want %q", in, got, err, tc.plain)
			}
		}
	}
}

// Room version 1, "m.room.power_levels events accept values as strings" and "as floats": the examples.
func TestPowerLevelExamples(t *testing.T) {
	for _, tc := range []struct{ name, content string }{
		{"strings", `{"ban":"50","events":{"m.room.power_levels":"100"},"events_default":"0","state_default":"50",` +
			`"users":{"@example:localhost":"100"},"users_default":"0"}`},
		{"floats", `{"ban":50,"events":{"m.room.power_levels":100},"events_default":0,"state_default":50,` +
			`"users":{"@alice:localhost":50,"@bob:localhost":50.57,"@example:localhost":100},"users_default":0}`},
		{"exponent", `{"ban":5e1,"users":{"@alice:localhost":50,"@bob:localhost":5.057E1,"@example:localhost":1.00E2}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := mustVersion(t, "1")
			content, err := v.Canonical([]byte(tc.content))
			if err != nil {
				t.Fatal(err)
			}
			l, err := withContent(t, "1", TypePowerLevels, string(content)).PowerLevels()
			if err != nil {
				t.Fatal(err)
			}
			if l.Ban != 50 || l.User("@example:localhost") != 100 || l.User("@alice:localhost") != l.User("@bob:localhost") {
				t.Errorf("got %+v", l)
			}
		})
	}
}
