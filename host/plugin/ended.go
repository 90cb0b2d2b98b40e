package plugin

import (
	"context"
	"fmt"
	"time"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
)

// Admit asks on_login. Of the call's terms the deadlines must be set. An error
// is a [*host.Error] of kind Unavailable; its cause is for the log alone.
func (p *Plugin) Admit(ctx context.Context, c *host.Call) (host.Admission, error) {
	var a abi.Answer
	headers, err := p.ask(ctx, abi.OnLogin, c, &a)
	if err != nil {
		return host.Admission{}, err
	}
	if a.Code == abi.CodeNo {
		refused := host.Admission{Refused: true, Kind: denyKind(a.Status), Reason: a.Reason, Headers: headers}
		if refused.Reason == "" {
			refused.Reason = defaultReason
		}
		return refused, nil
	}
	return host.Admission{Reason: a.Reason, Terms: terms(a)}, nil
}

func terms(a abi.Answer) (t host.Terms) {
	if a.Idle != 0 {
		t.Idle = time.UnixMilli(int64(a.Idle)).UTC()
	}
	if a.Absolute != 0 {
		t.Absolute = time.UnixMilli(int64(a.Absolute)).UTC()
	}
	for _, b := range a.Attributes {
		if t.Attributes == nil {
			t.Attributes = map[string]string{}
		}
		t.Attributes[b.Name] = b.Value
	}
	return t
}

// judgeTerms refuses deadlines that are no shortening, and attributes that no
// session can have.
func judgeTerms(a abi.Answer, c *host.Call) error {
	for _, d := range []struct {
		id     abi.AnswerField
		ms     uint64
		latest time.Time
	}{{abi.AnswerIdle, a.Idle, c.Terms.Idle}, {abi.AnswerAbsolute, a.Absolute, c.Terms.Absolute}} {
		switch {
		case d.ms == 0:
		case d.ms > millis(d.latest):
			return fmt.Errorf("answer field %s: a later deadline than it was", d.id)
		case d.ms <= millis(c.Now):
			return fmt.Errorf("answer field %s: a deadline that is past", d.id)
		}
	}
	if err := host.CheckAttributes(terms(a).Attributes); err != nil {
		return fmt.Errorf("answer field %s: %w", abi.AnswerAttribute, err)
	}
	return nil
}

// Notify asks on_logout. The call has no request. An error is a [*host.Error]
// of kind Unavailable; its cause is for the log alone.
func (p *Plugin) Notify(ctx context.Context, c *host.Call) ([]host.Fetch, error) {
	var a abi.Answer
	_, err := p.ask(ctx, abi.OnLogout, c, &a)
	if err != nil {
		return nil, err
	}
	var list []host.Fetch
	for _, r := range a.Calls {
		list = append(list, request(r))
	}
	return list, nil
}

// request is a guest's request as the host knows it.
func request(r abi.Request) host.Fetch {
	f := host.Fetch{Method: r.Method, URL: r.URL, Body: r.Body}
	for _, h := range r.Headers {
		f.Headers = append(f.Headers, host.Header{Name: h.Name, Value: h.Value})
	}
	return f
}

// byRank names who ended access: authhost itself where it was nobody.
var byRank = [...]string{host.Nobody: "host", host.Self: "self", host.RealmAdmin: "realm_admin", host.Operator: "operator"}

// endedFields are those of on_logout.
func (i *instance) endedFields(w *abi.FrameWriter, c *host.Call) {
	optional := func(id abi.Field, s string) {
		if s != "" {
			w.Text(id, s)
		}
	}
	e := c.Ended
	w.Number(abi.FieldTime, uint64(max(0, i.wall.Unix())))
	w.Text(abi.FieldRealm, c.Realm)
	w.Text(abi.FieldUserID, e.UserID)
	optional(abi.FieldIssuer, e.Issuer)
	optional(abi.FieldSubject, e.Subject)
	if e.What == host.EndedSession && len(e.Sessions) == 1 {
		w.Text(abi.FieldSessionID, e.Sessions[0])
	}
	w.Text(abi.FieldEvent, e.ID)
	w.Text(abi.FieldWhy, e.Why)
	w.Text(abi.FieldByRank, byRank[min(e.By.Rank, host.Operator)])
	optional(abi.FieldByID, e.By.ID)
	w.Number(abi.FieldEnded, millis(e.At))
	w.Text(abi.FieldWhat, e.What)
	w.List(abi.FieldSessions, e.Sessions)
}

// millis is a moment as a frame has it.
func millis(t time.Time) uint64 { return uint64(max(0, t.UnixMilli())) }
