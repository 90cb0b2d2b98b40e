package session

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
)

// Examination is what a user's slot was found to hold.
type Examination struct {
	Sessions       int // that count
	Ended          int // sessions that count no more and wait to be swept
	Attributes     int // sets of them
	AttributeBytes int // as they are stored
	Revocations    int // of single JWTs
	Events         int // ends of access that nobody was told of yet
	Messages       int // that tell of one and are not delivered yet
	Others         int // fields of a kind that this version does not know
	Bytes          int // key, names and values
	Deactivated    bool
	Copied         bool      // from another cache
	Until          time.Time // until when anything in it counts, a deactivation aside
	Waits          time.Time // until when what is to be told is kept; zero if nothing is
	Keep           time.Time // until when the slot must be kept, the hour's grace included
}

// Examine reads every record of a user's slot, as All returned it, for whoever
// checks, counts or copies what a cache holds. The error names each field that
// cannot be read; the rest is counted all the same.
func Examine(userID string, all map[string][]byte, now time.Time) (Examination, error) {
	var x Examination
	var wrong []error
	if len(userID) != len(host.UserIDPrefix)+userChars || !strings.HasPrefix(userID, host.UserIDPrefix) {
		wrong = append(wrong, errors.New("the key is no user's id"))
	}
	h, err := decodeHeader(all[headerField])
	if err != nil {
		wrong = append(wrong, err)
	}
	last, kept := now.UnixMilli(), int64(0)
	if h != nil {
		last = max(last, h.Keep)
		x.Deactivated = h.deactivated()
	}
	x.Bytes = len(userID)
	for name, raw := range all {
		x.Bytes += len(name) + len(raw)
		if name == headerField {
			continue
		}
		until, err := x.count(h, name, raw, now)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("field %q: %w", name, err))
		}
		if isTask(name) { // it counts for nothing, and is kept all the same
			kept = max(kept, until)
			continue
		}
		last = max(last, until)
	}
	x.Until = moment(last)
	if kept != 0 {
		x.Waits = moment(kept)
	}
	x.Keep = moment(max(last, kept)).Add(grace)
	if h != nil && (x.Deactivated || h.NotBefore != 0 && h.Keep == 0) { // the latter does not say
		x.Keep = moment(now.UnixMilli()).Add(forever)
	}
	return x, errors.Join(wrong...)
}

// count counts one field other than the header, and returns until when it must
// be kept at least.
func (x *Examination) count(h *header, name string, raw []byte, now time.Time) (until int64, err error) {
	switch {
	case strings.HasPrefix(name, sessionField):
		if !isSessionID(strings.TrimPrefix(name, sessionField)) {
			return 0, errors.New("not the public id of a session")
		}
		sess, err := decodeSession(raw)
		if err != nil {
			return 0, err
		}
		r := record{header: h, session: sess}
		if r.verdict(now) != host.Valid {
			x.Ended++
			return 0, nil
		}
		x.Sessions++
		return sess.Absolute, nil
	case strings.HasPrefix(name, attributeField):
		x.Attributes++
		x.AttributeBytes += len(raw)
		_, err = decodeAttributes(raw)
	case strings.HasPrefix(name, revokedField):
		x.Revocations++
		return decodeMoment(raw)
	case name == markField:
		x.Copied = true
		_, err = decodeMark(raw)
	case strings.HasPrefix(name, unreadField):
		_, err = decodeMoment(raw)
	case isTask(name):
		t, _, err := task("", name, raw)
		if err != nil {
			return 0, err
		}
		if t.Ended != nil {
			x.Events++
		} else {
			x.Messages++
		}
		return t.Since.Add(keepWaiting).UnixMilli(), nil
	default:
		x.Others++
	}
	return 0, err
}
