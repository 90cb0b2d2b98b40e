package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// signatureHeader carries "sha256=" and the HMAC-SHA256 of the body, in hex.
const signatureHeader = "X-Authhost-Signature"

// webhook is who is told, and how.
type webhook struct {
	url     string
	headers [][2]string
	secret  []byte // empty: nothing is signed
}

// notice is what is posted.
type notice struct {
	ID       string   `json:"id"` // the same when it comes again
	Why      string   `json:"why"`
	What     string   `json:"what"`
	Realm    string   `json:"realm"`
	UserID   string   `json:"user_id"`
	Issuer   string   `json:"iss,omitempty"` // if known
	Sub      string   `json:"sub,omitempty"` // if known
	Sessions []string `json:"sessions"`
	By       actor    `json:"by"`
	At       string   `json:"at"` // RFC 3339
	at       int64    // Unix milliseconds
}

// actor is who ended access.
type actor struct {
	Rank string `json:"rank"`
	ID   string `json:"id,omitempty"` // none if it was the host
}

// post returns the body of a notice and the headers that go with it.
func (w *webhook) post(n *notice) (body string, headers [][2]string) {
	n.At = time.UnixMilli(n.at).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	if n.Sessions == nil {
		n.Sessions = []string{}
	}
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // texts and lists of texts always have a JSON form
	}
	headers = append([][2]string{{"Content-Type", "application/json"}}, w.headers...)
	if len(w.secret) > 0 {
		mac := hmac.New(sha256.New, w.secret)
		mac.Write(text)
		headers = append(headers, [2]string{signatureHeader, "sha256=" + hex.EncodeToString(mac.Sum(nil))})
	}
	return string(text), headers
}
