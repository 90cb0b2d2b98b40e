package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

const secret = "0123456789abcdef0123456789abcdef"

func parse(t *testing.T, config string) *webhook {
	t.Helper()
	w, err := parseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestPost(t *testing.T) {
	w := parse(t, `{"url":"https://hooks.example/x","headers":{"x-source":"a"},"secret":"`+secret+`"}`)
	body, headers := w.post(&notice{ID: "evt_a", Why: "idle", What: "session", Realm: "main", UserID: "usr_a", Issuer: "https://idp.example", Sub: "ada",
		Sessions: []string{"ses_a"}, By: actor{Rank: "host"}, at: 1767225600123})
	want := `{"id":"evt_a","why":"idle","what":"session","realm":"main","user_id":"usr_a","iss":"https://idp.example","sub":"ada","sessions":["ses_a"],"by":{"rank":"host"},"at":"2026-01-01T00:00:00.123Z"}`
	if body != want {
		t.Errorf("body %s", body)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	if !slices.Equal(headers, [][2]string{{"Content-Type", "application/json"}, {"X-Source", "a"}, {signatureHeader, "sha256=" + hex.EncodeToString(mac.Sum(nil))}}) {
		t.Errorf("headers %q", headers)
	}
	body, headers = parse(t, `{"url":"https://hooks.example/x"}`).post(&notice{By: actor{Rank: "self", ID: "usr_a"}})
	if !strings.Contains(body, `"sessions":[]`) || !strings.Contains(body, `"by":{"rank":"self","id":"usr_a"}`) || strings.Contains(body, "sub") || len(headers) != 1 {
		t.Errorf("%s %q", body, headers)
	}
}

func TestConfigRefused(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                        "url is missing",
		`{"url":"ftp://a"}`:         "url is missing",
		`{"url":"https://a","x":1}`: "x",
		`{"url":"https://a","secret":"hunter2hunter2"}`:         "secret is shorter than 32",
		`{"url":"https://a","headers":{"content-type":"a"}}`:    "header Content-Type is set already",
		`{"url":"https://a","headers":{"idempotency-key":"a"}}`: "set already",
		`{"url":"https://a","headers":{"X-A":"a\r\nX-B: b"}}`:   "cannot be sent",
	} {
		if _, err := parseConfig([]byte(config)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
	}
}
