package kv

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/authhost/authhost/host/cache"
)

const (
	slotPrefix  = "kv/"
	keySlots    = "/k/" // and the key in base64
	indexSlots  = "/i/" // and a number
	lifeField   = "m"
	valueField  = "v:" // and a life's id
	countField  = "n"
	soonField   = "x"
	entryField  = "e:" // and a life's id
	idLen       = 16   // hexadecimal digits
	grace       = 5 * time.Second
	maxEarliest = 1<<63 - 1
)

// keySlot is where a key of a plugin is kept.
func keySlot(plugin, key string) string {
	return slotPrefix + plugin + keySlots + base64.RawURLEncoding.EncodeToString([]byte(key))
}

func indexSlot(plugin string, n int) string {
	return slotPrefix + plugin + indexSlots + strconv.Itoa(n)
}

// life is one life of a key: from when it is made until it ends or is deleted.
type life struct {
	Deadline int64  `cbor:"1,keyasint"` // milliseconds since 1970
	ID       string `cbor:"2,keyasint"`
	Index    int    `cbor:"3,keyasint"` // where it is counted
	Entry    []byte `cbor:"4,keyasint"` // what its entry there was last known to be
	// Claim says that the life is yet to begin, and until when nobody else may
	// begin one; 0: it has begun.
	Claim int64 `cbor:"5,keyasint,omitempty"`
}

// field is where its value is.
func (l *life) field() string { return valueField + l.ID }

var records = func() cbor.DecMode {
	mode, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return mode
}()

func (l *life) encode() []byte {
	b, err := cbor.Marshal(l)
	if err != nil {
		panic(fmt.Sprintf("kv: a life cannot be encoded: %v", err)) // none of its fields can fail
	}
	return b
}

func decodeLife(b []byte) (*life, error) {
	l := new(life)
	if err := records.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if len(l.ID) != idLen || l.Deadline <= 0 || l.Index < 0 {
		return nil, errors.New("key: the record is not whole")
	}
	return l, nil
}

// An entry is a deadline and a mark, "1767225600000.0123456789abcdef".
func entry(deadline int64, mark string) []byte {
	return append(strconv.AppendInt(nil, deadline, 10), "."+mark...)
}

func entryDeadline(b []byte) (int64, error) {
	digits, mark, ok := strings.Cut(string(b), ".")
	at, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || at <= 0 || len(mark) != idLen {
		return 0, errors.New("index: an entry is damaged")
	}
	return at, nil
}

// number reads a number of an index; missing if it is not there.
func number(b []byte, missing int64) (int64, error) {
	if b == nil {
		return missing, nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || n < 0 {
		return 0, errors.New("index: a number is damaged")
	}
	return n, nil
}

func digits(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

// kept is until when a slot with that deadline is kept.
func kept(deadline int64) time.Time { return time.UnixMilli(deadline).Add(grace) }

func field(name string, value []byte) cache.Field { return cache.Field{Name: name, Value: value} }
