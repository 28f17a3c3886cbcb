package e2ee

import (
	"encoding/json"
	"testing"
)

func TestCanonicalKey(t *testing.T) {
	tests := []struct{ raw, want string }{
		{`"k"`, `"k"`},
		{` "\u006b" `, `"k"`},
		{`{"signatures":{},"key":"k","fallback":true}`, `{"fallback":true,"key":"k","signatures":{}}`},
		{`""`, ""},
		{`{}`, ""},
		{`{"key":""}`, ""},
		{`{"key":7}`, ""},
		{`{"key":"k","n":1.5}`, ""},
		{`[]`, ""},
		{`null`, ""},
		{`7`, ""},
	}
	for _, test := range tests {
		got, err := canonicalKey(json.RawMessage(test.raw))
		if (err != nil) != (test.want == "") || string(got) != test.want {
			t.Errorf("%s: got %s and %v, want %s", test.raw, got, err, test.want)
		}
	}
}

// FuzzUpload takes what strangers send: what is accepted is JSON, canonical, and stays as it is when it is checked again.
func FuzzUpload(f *testing.F) {
	f.Add(`{"user_id":"@alice:test","device_id":"A","algorithms":["x"],"keys":{"a:A":"k"},"signatures":{"@alice:test":{"a:A":"s"}},"unsigned":{"x":1}}`, `{"a:1":"k","b:2":{"key":"k"}}`)
	f.Add(`{"user_id":null}`, `{"a":1}`)
	f.Add(`[]`, `{"a:b":{"key":"k","x":1e400}}`)
	f.Fuzz(func(t *testing.T, device, keys string) {
		in := UploadRequest{DeviceKeys: json.RawMessage(device)}
		if !json.Valid(in.DeviceKeys) || json.Unmarshal([]byte(keys), &in.OneTimeKeys) != nil {
			return
		}
		up, err := checkUpload(alice, in)
		if err != nil {
			return
		}
		if up.keys != nil {
			again, err := checkDeviceKeys(alice, up.keys.json)
			if err != nil || string(again.json) != string(up.keys.json) {
				t.Errorf("%s: checked again, it is %+v, %v", up.keys.json, again, err)
			}
		}
		for name, key := range up.oneTime {
			again, err := canonicalKey(key.JSON)
			if err != nil || string(again) != string(key.JSON) {
				t.Errorf("%s %s: checked again, it is %s, %v", name, key.JSON, again, err)
			}
		}
	})
}
