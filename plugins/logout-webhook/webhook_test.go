package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
	many := make([]string, 31)
	for i := range many {
		many[i] = fmt.Sprintf(`"X-%d":""`, i)
	}
	headers := func(list string) string { return `{"url":"https://a","headers":{` + list + `}}` }
	for config, want := range map[string]string{
		`{}`:                        "url is missing",
		`{"url":"ftp://a"}`:         "url is missing",
		`{"url":"https://a","x":1}`: "x",
		`{"url":"https://a","secret":"hunter2hunter2"}`:         "secret is shorter than 32",
		`{"url":"https://a","headers":{"content-type":"a"}}`:    "header Content-Type is set already",
		`{"url":"https://a","headers":{"idempotency-key":"a"}}`: "set already",
		`{"url":"https://a","headers":{"X-A":"a\r\nX-B: b"}}`:   "cannot be sent",
		`{"url":"https://a","secret":""}`:                       "secret is shorter than 32",
		`{"url":"https://"}`:                                    "url names no host",
		`{"url":"https:///x"}`:                                  "url names no host",
		`{"url":"https://?x"}`:                                  "url names no host",
		`{"url":"https://me:hunter2@a/x"}`:                      "url has a user",
		`{"url":"https://a/hunter2 x"}`:                         "url has a character",
		`{"url":"https://a/é"}`:                                 "url has a character",
		`{"url":"https://a/#x"}`:                                "url has a character",
		`{"url":"https://a\\b/"}`:                               "url has a character",
		`{"url":"https://a/` + strings.Repeat("x", 2039) + `"}`: "url is longer than 2048",
		headers(`"X Source":"a"`):                               "cannot be sent",
		headers(`"":"a"`):                                       "cannot be sent",
		headers(`"X-Sóurce":"a"`):                               "cannot be sent",
		headers(`"` + strings.Repeat("x", 129) + `":""`):        "cannot be sent",
		headers(`"X-A":"a\u0085"`):                              "cannot be sent",
		headers(`"X-A":"\u2028"`):                               "cannot be sent",
		headers(`"X-A":"a","x-a":"b"`):                          "header X-A is there twice",
		headers(`"host":"b"`):                                   "header Host is not to be set",
		headers(`"cookie":"b"`):                                 "header Cookie is not to be set",
		headers(`"transfer-encoding":"chunked"`):                "header Transfer-Encoding is not to be set",
		headers(strings.Join(many, ",")):                        "more than 30 headers",
		headers(`"X-A":"` + strings.Repeat("x", 4096) + `"`):    "more than 4096 bytes of headers",
	} {
		if _, err := parseConfig([]byte(config)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
	}
}

// What is just within the bounds is taken, and fits into an answer beside an
// event that names as many sessions as the host puts into one.
func TestLongestFits(t *testing.T) {
	list := []string{fmt.Sprintf(`"X-A":%q`, strings.Repeat("v", 4096-3-29*4))}
	for i := range 29 {
		list = append(list, fmt.Sprintf(`"X-%02d":""`, i))
	}
	w := parse(t, fmt.Sprintf(`{"url":"https://a/%s","secret":%q,"headers":{%s}}`, strings.Repeat("x", 2048-10), secret, strings.Join(list, ",")))
	body, headers := w.post(&notice{ID: "evt_" + strings.Repeat("a", 26), Why: "logout_everywhere", What: "user", Realm: strings.Repeat("r", 64), UserID: "usr_" + strings.Repeat("u", 32),
		Issuer: strings.Repeat("i", 512), Sub: strings.Repeat("s", 255), Sessions: slices.Repeat([]string{"ses_mfrggzdfmztwq"}, 256), By: actor{Rank: "operator", ID: strings.Repeat("o", 64)}})
	n := len(w.url) + len(body)
	for _, h := range headers {
		n += 4 + len(h[0]) + len(h[1])
	}
	if len(headers) != 32 || n > 15<<10 {
		t.Errorf("%d headers, %d bytes", len(headers), n)
	}
}
