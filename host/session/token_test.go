package session_test

import (
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/session"
)

var lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func upper(s string) string { return strings.ToUpper(s) }

// assemble writes a token by hand, with a right checksum.
func assemble(body []byte) string {
	sum := crc32.ChecksumIEEE(append([]byte("ahs_"), body...))
	return "ahs_" + lower.EncodeToString(binary.BigEndian.AppendUint32(body, sum))
}

func takeApart(t testing.TB, token string) []byte {
	t.Helper()
	raw, err := lower.DecodeString(strings.TrimPrefix(token, "ahs_"))
	if err != nil || len(raw) != 64 {
		t.Fatalf("a token of %d bytes, %v", len(raw), err)
	}
	return raw[:60]
}

// swapSecret is a's user and session with b's secret.
func swapSecret(t testing.TB, a, b string) string {
	x, y := takeApart(t, a), takeApart(t, b)
	return assemble(append(x[:35:35], y[35:]...))
}

// forge is a's session id and secret under b's user.
func forge(t testing.TB, a, b string) string {
	x, y := takeApart(t, a), takeApart(t, b)
	return assemble(append(y[:20:20], x[20:]...))
}

// spareBits is the same token in another spelling: base32 leaves three bits of
// the last character unused.
func spareBits(token string) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}

func TestTokenForm(t *testing.T) {
	h := newHouse(t)
	id := h.jwt("alice", time.Hour)
	token := h.create(id)
	if assemble(takeApart(t, token)) != token {
		t.Error("the form of a token is not the one described")
	}
	parsed, err := session.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	if want := "ses_" + token[4+32:4+32+24]; parsed.SessionID != want {
		t.Errorf("session id %s, want %s", parsed.SessionID, want)
	}
	if !host.IsUserIDOf(parsed.UserID, realm) {
		t.Errorf("user id %s", parsed.UserID)
	}
	for i := range token {
		for _, c := range "a7A8=\n" {
			if byte(c) == token[i] {
				continue
			}
			if _, err := session.ParseToken(token[:i] + string(c) + token[i+1:]); err == nil {
				t.Errorf("accepted with %q at %d", c, i)
			}
		}
	}
}

func FuzzParseToken(f *testing.F) {
	h := newHouse(f)
	token := h.create(h.jwt("alice", time.Hour))
	for _, s := range []string{token, assemble(make([]byte, 60)), upper(token), token + "a", token[:50], "ahs_", "", "aht_" + token[4:],
		spareBits(token), token[:60] + "\n" + token[61:], "ahs_" + strings.Repeat("a", 103), "ahs_" + strings.Repeat("\xff", 103)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := session.ParseToken(s)
		if err != nil {
			return
		}
		if assemble(takeApart(t, s)) != s {
			t.Errorf("accepted a second spelling: %q", s)
		}
		if len(parsed.UserID) != 36 || len(parsed.SessionID) != 28 || !strings.Contains(s, parsed.UserID[4:]+parsed.SessionID[4:]) {
			t.Errorf("read %q and %q out of %q", parsed.UserID, parsed.SessionID, s)
		}
	})
}
