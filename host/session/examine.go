package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// Examination is what a user's slot was found to hold.
type Examination struct {
	Sessions    int // that count
	Ended       int // sessions that count no more and wait to be swept
	Attributes  int // sets of them
	Revocations int // of single JWTs
	Others      int // fields of a kind that this version does not know
	Deactivated bool
	Keep        time.Time // until when the slot must be kept, the hour's grace included
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
	keep := now.UnixMilli()
	if h != nil {
		keep = max(keep, h.Keep)
		if h.NotBefore != 0 && h.Keep == 0 {
			keep = max(keep, now.Add(forever).UnixMilli()) // it does not say
		}
		if x.Deactivated = h.deactivated(); x.Deactivated {
			keep = now.Add(forever).UnixMilli()
		}
	}
	for name, raw := range all {
		if name == headerField {
			continue
		}
		until, err := x.count(h, name, raw, now)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("field %q: %w", name, err))
		}
		keep = max(keep, until)
	}
	x.Keep = moment(keep).Add(grace)
	return x, errors.Join(wrong...)
}

// count counts one field other than the header, and returns until when it must
// be kept at least.
func (x *Examination) count(h *header, name string, raw []byte, now time.Time) (until int64, err error) {
	switch {
	case strings.HasPrefix(name, sessionField):
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
		_, err = decodeAttributes(raw)
	case strings.HasPrefix(name, revokedField):
		x.Revocations++
		return decodeMoment(raw)
	default:
		x.Others++
	}
	return 0, err
}

// LookSoon has a user's slot swept soon, by whatever replica: for a slot that
// was copied into a cache, whose due-lists do not know of it.
func LookSoon(ctx context.Context, d cache.Driver, userID string, now time.Time) error {
	return putDue(ctx, d, userID, now)
}
