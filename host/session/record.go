package session

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// The fields of a slot. Values are CBOR; maps have small integers for keys, and
// a reader passes over keys that it does not know. Moments are milliseconds
// since 1970.
const (
	headerField    = "h"  // a header
	sessionField   = "s:" // and the session's public id: a session
	attributeField = "a:" // and the session's public id: what it was told to remember, a map of texts
	revokedField   = "r:" // and a JWT's key: until when it must stay revoked
	markField      = "c"  // a mark: the slot was copied from another cache
	eventField     = "e:" // and the event's id: an end of access that is to be told
	messageField   = "d:" // and its key: a message that tells of one
	unreadField    = "q:" // and the name of one of these two: until when it is kept though it cannot be read
	generationLen  = 16
)

// header is what every credential of its user is judged by. Each login and each
// logout everywhere changes it, so that none of them overlooks another.
type header struct {
	Generation []byte    `cbor:"1,keyasint"`           // random; sessions carry the one they were made under
	NotBefore  int64     `cbor:"2,keyasint,omitempty"` // JWTs issued until then do not count
	Flags      uint64    `cbor:"3,keyasint,omitempty"`
	Keep       int64     `cbor:"4,keyasint,omitempty"` // until when NotBefore must be known; 0: for as long as the slot is there
	Logins     uint64    `cbor:"5,keyasint,omitempty"` // how many there were
	By         host.Rank `cbor:"6,keyasint,omitempty"` // who deactivated the user
	Told       int64     `cbor:"7,keyasint,omitempty"` // when the last logout everywhere was that made an event
}

// deactivated is the flag of a user whose credentials do not count and who can
// get no new ones.
const deactivated = 1 << 0

// session is one login.
type session struct {
	Secret     []byte   `cbor:"1,keyasint"` // SHA-256
	Generation []byte   `cbor:"2,keyasint"`
	Created    int64    `cbor:"3,keyasint"`
	Seen       int64    `cbor:"4,keyasint"` // to within a sixteenth of the idle time
	Idle       int64    `cbor:"5,keyasint"` // deadline; moves with use
	Absolute   int64    `cbor:"6,keyasint"` // deadline; never moves
	Issuer     string   `cbor:"7,keyasint,omitempty"`
	Subject    string   `cbor:"8,keyasint,omitempty"`
	Roles      []string `cbor:"9,keyasint,omitempty"`
	Groups     []string `cbor:"10,keyasint,omitempty"`
	Email      string   `cbor:"11,keyasint,omitempty"`
	IdleTime   int64    `cbor:"12,keyasint,omitempty"` // how long it may lie unused, in milliseconds; 0: as its realm says
}

// mark is what a copied slot says of where it came from. While it is there the
// header is too, so that what has ended here since cannot be copied once more.
type mark struct {
	Source []byte `cbor:"1,keyasint"` // which cache
	Sum    []byte `cbor:"2,keyasint"` // of the fields as they were copied
	Until  int64  `cbor:"3,keyasint"` // until when anything in them counts

	Told []string `cbor:"4,keyasint,omitempty"` // events that waited there and were copied: not to be told again
	Keep int64    `cbor:"5,keyasint,omitempty"` // until when those may wait there
}

// records decodes what encode wrote: texts as they came, each key once.
var records = func() cbor.DecMode {
	mode, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, UTF8: cbor.UTF8DecodeInvalid}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return mode
}()

// decodeHeader reads a header; nil if there is none.
func decodeHeader(b []byte) (*header, error) {
	if b == nil {
		return nil, nil
	}
	h := new(header)
	if err := records.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("slot header: %w", err)
	}
	if len(h.Generation) != generationLen {
		return nil, errors.New("slot header: no generation")
	}
	return h, nil
}

// decodeSession reads a session; nil if there is none.
func decodeSession(b []byte) (*session, error) {
	if b == nil {
		return nil, nil
	}
	s := new(session)
	if err := records.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	if len(s.Generation) != generationLen || s.Absolute == 0 || s.Idle == 0 {
		return nil, errors.New("session: the record is not whole")
	}
	return s, nil
}

// decodeAttributes reads a session's attributes; an empty map if it has none.
func decodeAttributes(b []byte) (map[string]string, error) {
	attributes := map[string]string{}
	if b == nil {
		return attributes, nil
	}
	if err := records.Unmarshal(b, &attributes); err != nil {
		return nil, fmt.Errorf("attributes: %w", err)
	}
	return attributes, nil
}

// decodeMoment reads the deadline of a revoked JWT; 0 if there is none.
func decodeMoment(b []byte) (int64, error) {
	if b == nil {
		return 0, nil
	}
	var ms int64
	if err := records.Unmarshal(b, &ms); err != nil {
		return 0, fmt.Errorf("revocation: %w", err)
	}
	if ms <= 0 {
		return 0, errors.New("revocation: not a moment")
	}
	return ms, nil
}

// decodeMark reads where a slot was copied from; nil if it was not.
func decodeMark(b []byte) (*mark, error) {
	if b == nil {
		return nil, nil
	}
	m := new(mark)
	if err := records.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("mark of a copy: %w", err)
	}
	if len(m.Sum) == 0 || m.Until <= 0 {
		return nil, errors.New("mark of a copy: the record is not whole")
	}
	return m, nil
}

// encode writes a record of this package. None of them can fail to encode.
func encode(v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("session: %T cannot be encoded: %v", v, err))
	}
	return b
}

// deactivated says whether the user is. Only the flag may say so, for it is
// what older versions know.
func (h *header) deactivated() bool { return h.Flags&deactivated != 0 }

// ends says whether the header ended a session: by a new generation or a flag.
func (h *header) ends(s *session) bool {
	return h.deactivated() || !bytes.Equal(h.Generation, s.Generation)
}

// revokes says whether the header ended a JWT: by a flag, or because it was
// issued before its user was logged out everywhere. The issuer's clock may be
// ahead by the leeway, and iat is often a whole second.
func (h *header) revokes(id *host.Identity) bool {
	if h.deactivated() {
		return true
	}
	if h.NotBefore == 0 {
		return false
	}
	until := time.UnixMilli((h.NotBefore + 999) / 1000 * 1000).Add(id.Leeway)
	return id.IssuedAt.IsZero() || !id.IssuedAt.After(until)
}

// deadline is the earlier of the two.
func (s *session) deadline() int64 { return min(s.Idle, s.Absolute) }

// identity is whom the session stands for.
func (s *session) identity(realm, userID, sessionID string) *host.Identity {
	return &host.Identity{
		Realm: realm, Issuer: s.Issuer, Subject: s.Subject, UserID: userID, Roles: s.Roles, Groups: s.Groups, Email: s.Email,
		SessionID: sessionID, IssuedAt: time.UnixMilli(s.Created).UTC(), Expires: time.UnixMilli(s.Absolute).UTC(),
	}
}

// millis rounds a moment that begins something up, so that what was before it
// stays before it.
func millis(t time.Time) int64 { return cache.Millis(t) }
