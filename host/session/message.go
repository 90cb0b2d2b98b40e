package session

import (
	"errors"
	"fmt"
	"strings"

	"github.com/authhost/authhost/host"
)

// message is what is to be delivered of an end of access.
type message struct {
	Plugin string      `cbor:"1,keyasint"` // that asked for it
	Method string      `cbor:"2,keyasint"`
	URL    string      `cbor:"3,keyasint"`
	Header [][2]string `cbor:"4,keyasint,omitempty"` // names and values
	Body   []byte      `cbor:"5,keyasint,omitempty"`
	At     int64       `cbor:"6,keyasint"` // when access ended
	Tries  int         `cbor:"7,keyasint,omitempty"`
	Next   int64       `cbor:"8,keyasint,omitempty"` // not to be tried before; 0: at once
}

func decodeMessage(b []byte) (*message, error) {
	m := new(message)
	if err := records.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	if m.Plugin == "" || m.URL == "" || m.At <= 0 {
		return nil, errors.New("message: the record is not whole")
	}
	return m, nil
}

// task reads what waits in a field of a slot, and when it is to be taken up;
// nil if the field holds something else.
func task(userID, name string, raw []byte) (t *host.Task, next int64, err error) {
	if id, ok := strings.CutPrefix(name, eventField); ok {
		e, err := decodeEvent(raw)
		if err != nil {
			return nil, 0, err
		}
		return &host.Task{Key: id, UserID: userID, Tries: e.Tries, Since: moment(e.At), Asked: e.Asked, Raw: raw, Ended: &host.Ended{
			ID: id, UserID: userID, Issuer: e.Issuer, Subject: e.Subject, What: e.What, Why: e.Why,
			By: host.Actor{Rank: e.Rank, ID: e.By}, At: moment(e.At), Sessions: e.Sessions,
		}}, e.Next, nil
	}
	if key, ok := strings.CutPrefix(name, messageField); ok {
		m, err := decodeMessage(raw)
		if err != nil {
			return nil, 0, err
		}
		f := &host.Fetch{Method: m.Method, URL: m.URL, Body: m.Body}
		for _, h := range m.Header {
			f.Headers = append(f.Headers, host.Header{Name: h[0], Value: h[1]})
		}
		return &host.Task{Key: key, UserID: userID, Tries: m.Tries, Since: moment(m.At), Raw: raw, Plugin: m.Plugin, Message: f}, m.Next, nil
	}
	return nil, 0, nil
}

// isTask says whether a field holds what waits to be told.
func isTask(name string) bool {
	return strings.HasPrefix(name, eventField) || strings.HasPrefix(name, messageField)
}

// fieldOf is the field that a task was found in.
func fieldOf(t *host.Task) string {
	if t.Ended != nil {
		return eventField + t.Key
	}
	return messageField + t.Key
}

// postponed is a task's record for another try, after next.
func postponed(t *host.Task, tries int, next int64) ([]byte, error) {
	if t.Ended != nil {
		e, err := decodeEvent(t.Raw)
		if err != nil {
			return nil, err
		}
		e.Tries, e.Next, e.Asked = tries, next, t.Asked
		return encode(e), nil
	}
	m, err := decodeMessage(t.Raw)
	if err != nil {
		return nil, err
	}
	m.Tries, m.Next = tries, next
	return encode(m), nil
}
