package host

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// Identity is who a credential stands for. It may be remembered and shared
// between requests: nobody changes one once it is made.
type Identity struct {
	Realm   string
	Issuer  string
	Subject string
	UserID  string // see UserID
	Roles   []string
	Groups  []string
	Email   string         // only a verified one
	Claims  map[string]any // of a JWT; nil for a session

	SessionID string    // public id (ses_…), empty for a JWT
	IssuedAt  time.Time // zero when a JWT does not say
	Expires   time.Time // when the credential ends

	// TokenKey names this one JWT in its user's slot, should it be revoked
	// alone: derived from its jti, or else from the hash of its signed part.
	TokenKey string
	// Leeway is the clock difference that the JWT's issuer is granted.
	Leeway time.Duration
	// SkipRevocation lets the JWT pass while the cache is down
	// (revocation: insecure_skip).
	SkipRevocation bool
}

// UserIDPrefix begins every user id.
const UserIDPrefix = "usr_"

const (
	userRealmBytes   = 5
	userSubjectBytes = 15
	realmDigits      = userRealmBytes * 8 / 5
	subjectDigits    = userSubjectBytes * 8 / 5
)

const idDigits = "abcdefghijklmnopqrstuvwxyz234567"

// idEncoding is the text form of every identifier of our own: RFC 4648
// base32, in lower case and without padding.
var idEncoding = base32.NewEncoding(idDigits).WithPadding(base32.NoPadding)

// UserID derives a user's id from who vouches for whom: usr_ and the base32
// of 5 bytes of a hash of the realm and 15 bytes of a hash of realm, issuer
// and subject. The inputs are length-prefixed, so that no two users meet.
func UserID(realm, issuer, subject string) string {
	var raw [userRealmBytes + userSubjectBytes]byte
	r, s := hashTexts(realm), hashTexts(realm, issuer, subject)
	copy(raw[:], r[:userRealmBytes])
	copy(raw[userRealmBytes:], s[:userSubjectBytes])
	return UserIDPrefix + idEncoding.EncodeToString(raw[:])
}

// UserIDsBegin returns what the ids of a realm's users begin with, and no other
// realm's.
func UserIDsBegin(realm string) string {
	return UserID(realm, "", "")[:len(UserIDPrefix)+realmDigits]
}

// IsUserIDOf says whether id has the form of a user id of the realm. It tells
// nothing about whether that user was ever seen.
func IsUserIDOf(id, realm string) bool {
	// Realm and user end on a digit each: 5 bytes are 8, 15 bytes are 24. So
	// every text of digits is the one form of some id.
	text, ok := strings.CutPrefix(id, UserIDPrefix)
	if !ok || len(text) != realmDigits+subjectDigits {
		return false
	}
	var digits [realmDigits]byte
	r := hashTexts(realm)
	idEncoding.Encode(digits[:], r[:userRealmBytes])
	return text[:realmDigits] == string(digits[:]) && strings.Trim(text[realmDigits:], idDigits) == ""
}

func hashTexts(texts ...string) [sha256.Size]byte {
	var room [256]byte
	b := room[:0]
	for _, t := range texts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(t)))
		b = append(b, t...)
	}
	return sha256.Sum256(b)
}
