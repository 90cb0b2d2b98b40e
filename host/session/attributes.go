package session

import (
	"context"
	"time"

	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/cache"
)

// Attributes returns what a live session was told to remember; an empty map if
// nothing. The error is NotFound when the session does not count.
func (s *Store) Attributes(ctx context.Context, userID, sessionID string) (map[string]string, error) {
	_, attributes, err := s.attributes(ctx, userID, sessionID)
	return attributes, err
}

// ChangeAttributes changes what a live session remembers, by compare-and-swap:
// change is given the attributes as they are, to alter in place, and is called
// anew with what somebody else made of them meanwhile. Its error is returned as
// it is, and nothing is changed. The error is NotFound when the session does
// not count, Refused when an attribute has no name or they are too many or too
// large, those of the user's other sessions counted too.
func (s *Store) ChangeAttributes(ctx context.Context, userID, sessionID string, change func(map[string]string) error) error {
	return s.retry(ctx, userID, func() (bool, error) {
		r, attributes, err := s.attributes(ctx, userID, sessionID)
		if err != nil {
			return false, err
		}
		if err := change(attributes); err != nil {
			return false, err
		}
		if err := host.CheckAttributes(attributes); err != nil {
			return false, err
		}
		name := attributeField + sessionID
		c := cache.Change{
			If: []cache.Field{{Name: headerField, Value: r.raw[0]}, {Name: sessionField + sessionID, Value: r.raw[1]},
				{Name: name, Value: r.raw[2]}},
			Expires: time.UnixMilli(r.session.Absolute).Add(grace),
		}
		if len(attributes) > 0 {
			c.Put = []cache.Field{{Name: name, Value: encode(attributes)}}
			if err := s.hasRoom(ctx, userID, len(c.Put[0].Value)-len(r.raw[2])); err != nil {
				return false, err
			}
		} else {
			c.Delete = []string{name}
		}
		return s.change(ctx, userID, c)
	})
}

// hasRoom is an error if a slot is not to grow by so many bytes.
func (s *Store) hasRoom(ctx context.Context, userID string, more int) error {
	if more <= 0 {
		return nil
	}
	all, err := s.fields(ctx, userID, true)
	if err == nil && sizeOf(all)+more > maxSlotBytes {
		err = host.Errorf(host.Refused, "attribute_limit", "the user's sessions have so many attributes that there is no room for %d bytes", more)
	}
	return err
}

// attributes reads those of a live session.
func (s *Store) attributes(ctx context.Context, userID, sessionID string) (record, map[string]string, error) {
	if err := s.mine(userID); err != nil {
		return record{}, nil, err
	}
	if !isSessionID(sessionID) {
		return record{}, nil, noSession()
	}
	r, err := s.read(ctx, s.o.Through, userID, sessionID, attributeField+sessionID)
	if err != nil {
		return record{}, nil, err
	}
	if r.verdict(s.o.Now()) != host.Valid {
		return record{}, nil, noSession()
	}
	attributes, err := decodeAttributes(r.raw[2])
	if err != nil {
		return record{}, nil, unavailable(err)
	}
	return r, attributes, nil
}

func noSession() error { return &host.Error{Kind: host.NotFound, Public: "no such session"} }
