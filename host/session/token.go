package session

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"

	"github.com/authhost/authhost/host"
)

// A session token is TokenPrefix and the base32 of these bytes: what is behind
// usr_ in the user's id, what is behind ses_ in the session's public id, the
// secret, and the CRC-32 (IEEE, big-endian) of the token before it, prefix
// included. The parts fall on whole characters, so each can be cut out.
const (
	TokenPrefix = "ahs_"
	IDPrefix    = "ses_"

	userBytes   = 20 // 32 characters
	publicBytes = 15 // 24 characters
	secretBytes = 25 // 40 characters, 200 bits
	sumBytes    = 4  // 7 characters

	userChars   = userBytes * 8 / 5
	publicChars = publicBytes * 8 / 5
	secretChars = secretBytes * 8 / 5
	sumChars    = (sumBytes*8 + 4) / 5
	tokenChars  = userChars + publicChars + secretChars + sumChars
)

var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ErrMalformed is what is wrong with a token that is no session token. It
// tells nothing of the token.
var ErrMalformed = errors.New("not a session token")

// Token is a session token taken apart. Its form is sound; whether there is
// such a session only the cache knows.
type Token struct {
	UserID    string // usr_…
	SessionID string // ses_…, public
	secret    [sha256.Size]byte
}

// ParseToken reads a session token in its one canonical form: lower case, no
// padding, no spare bits, a right checksum. Anything else is ErrMalformed.
func ParseToken(token string) (Token, error) {
	text, ok := strings.CutPrefix(token, TokenPrefix)
	if !ok || len(text) != tokenChars {
		return Token{}, ErrMalformed
	}
	var raw [userBytes + publicBytes + secretBytes + sumBytes]byte
	var in, again [tokenChars]byte
	copy(in[:], text)
	if n, err := tokenEncoding.Decode(raw[:], in[:]); err != nil || n != len(raw) {
		return Token{}, ErrMalformed
	}
	tokenEncoding.Encode(again[:], raw[:])
	if again != in {
		return Token{}, ErrMalformed
	}
	body := raw[:len(raw)-sumBytes]
	if binary.BigEndian.Uint32(raw[len(body):]) != checksum(body) {
		return Token{}, ErrMalformed
	}
	return Token{
		UserID:    host.UserIDPrefix + text[:userChars],
		SessionID: IDPrefix + text[userChars:userChars+publicChars],
		secret:    sha256.Sum256(raw[userBytes+publicBytes : len(body)]),
	}, nil
}

// isSessionID says whether id has the form of a session's public id.
func isSessionID(id string) bool {
	text, ok := strings.CutPrefix(id, IDPrefix)
	if !ok || len(text) != publicChars {
		return false
	}
	_, err := tokenEncoding.DecodeString(text) // no character has spare bits
	return err == nil && !strings.ContainsAny(text, "\r\n")
}

// matches says, in constant time, whether this token's secret is the one whose
// SHA-256 was stored.
func (t *Token) matches(stored []byte) bool {
	return subtle.ConstantTimeCompare(t.secret[:], stored) == 1
}

// formToken makes a session's token and what ParseToken will find in it.
// random holds the public id's bytes and the secret.
func formToken(userID string, random *[publicBytes + secretBytes]byte) (string, Token, error) {
	user, err := tokenEncoding.DecodeString(strings.TrimPrefix(userID, host.UserIDPrefix))
	if err != nil || len(user) != userBytes {
		return "", Token{}, errors.New("not a user id")
	}
	raw := append(user, random[:]...)
	raw = binary.BigEndian.AppendUint32(raw, checksum(raw))
	text := TokenPrefix + tokenEncoding.EncodeToString(raw)
	token, err := ParseToken(text)
	return text, token, err
}

func checksum(body []byte) uint32 {
	sum := crc32.ChecksumIEEE([]byte(TokenPrefix))
	return crc32.Update(sum, crc32.IEEETable, body)
}
