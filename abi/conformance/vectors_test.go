package conformance_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/abi/conformance"
	"github.com/authhost/authhost/abi/internal/vectors"
)

// ordersOf returns what has the echo guest make the request.
func ordersOf(r vectors.Request) []string {
	list := []string{"f" + string(r.Method) + " " + string(r.URL)}
	if r.Body != "" { // a body before the headers must not matter
		list = append(list, "+b"+string(r.Body))
	}
	for _, h := range r.Headers {
		list = append(list, "+h"+string(h[0])+":"+string(h[1]))
	}
	return list
}

func frameCases(t *testing.T) (cases []Case) {
	good, _ := vectors.Frames(t, "../testdata")
	for _, v := range good {
		c := Case{Name: "frame: " + v.Name, Hook: v.Hook, Frame: v.Hex}
		anonymous, fetched := v.Hook == "on_authorize", false
		for _, f := range v.Fields {
			anonymous = anonymous && f.ID != abi.FieldUserID
			fetched = fetched || f.ID == abi.FieldFetchStatus
		}
		for _, name := range order {
			if name == "user_id" && anonymous {
				c.Log = append(c.Log, Line{0, "anonymous"})
			}
			if name == "fetch_status" && fetched {
				c.Log = append(c.Log, Line{0, "fetched"})
			}
			if name == "time" && v.Hook == "on_logout" {
				continue
			}
			for _, f := range v.Fields {
				if f.Name != name {
					continue
				}
				switch {
				case f.Text != nil || f.Bytes != nil:
					c.Log = append(c.Log, named(name, string(f.Value()))...)
				case f.Number != nil:
					c.Log = append(c.Log, named(name, strconv.FormatUint(*f.Number, 10))...)
				case f.List != nil:
					for _, item := range slices.Repeat(f.List, max(1, f.Times)) {
						c.Log = append(c.Log, Line{0, Bytes(strings.TrimSuffix(name, "s"))}, Line{1, Bytes(item)})
					}
				default:
					for _, one := range f.Candidates {
						c.Log = append(c.Log, dump(one)...)
					}
				}
				if f.Lazy {
					c.Get = append(c.Get, Value{Kind: 5, Index: uint32(f.ID), Value: Bytes(f.Value())})
				}
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// order is that in which the echo guest names the fields.
var order = []string{
	"method", "scheme", "host", "path", "raw_path", "query", "client", "time", "route", "realm",
	"user_id", "issuer", "subject", "roles", "groups", "email", "session_id", "credential", "expires",
	"candidates", "idle", "absolute", "event_id", "why", "by_rank", "by_id", "ended", "what", "sessions",
	"fetch_status", "fetch_body", "fetch_blob", "fetch_error", "config",
}

func named(name, value string) []Line {
	if value == "" || value == "0" {
		return nil
	}
	return []Line{{0, Bytes(name)}, {1, Bytes(value)}}
}

func dump(c vectors.Candidate) []Line {
	lines := []Line{{0, "candidate"}}
	for _, f := range [][2]string{
		{"source", strconv.Itoa(int(c.Source))}, {"kind", strconv.Itoa(int(c.Kind))}, {"verdict", strconv.Itoa(int(c.Verdict))},
		{"name", c.Name}, {"user_id", c.UserID},
	} {
		lines = append(lines, named(f[0], f[1])...)
	}
	return lines
}

func badFrameCases(t *testing.T) (cases []Case) {
	_, bad := vectors.Frames(t, "../testdata")
	for _, v := range bad {
		cases = append(cases, Case{Name: "bad frame: " + v.Name, Hook: "on_authorize", Frame: v.Hex, Fails: true})
	}
	frame := func(hook abi.Hook, id abi.Field, value string) Bytes {
		return makeFrame(hook, func(w *abi.FrameWriter) { w.Bytes(id, []byte(value)) })
	}
	list := string(abi.AppendList(nil, []string{"viewer", "editor"}))
	one := string(abi.AppendCandidate(nil, abi.Candidate{Source: 1, Kind: 1, Name: "n", UserID: "u"})[4:])
	for n := 1; n < len(list); n++ {
		if n != 10 {
			cases = append(cases, Case{Name: "bad frame: a list cut at " + strconv.Itoa(n), Hook: "on_authorize", Frame: frame(abi.OnAuthorize, abi.FieldRoles, list[:n]), Fails: true})
		}
	}
	for n := range len(one) {
		item := string(abi.AppendList(nil, []string{one[:n]}))
		cases = append(cases, Case{Name: "bad frame: a candidate cut at " + strconv.Itoa(n), Hook: "on_credential", Frame: frame(abi.OnCredential, abi.FieldCandidates, item), Fails: true})
	}
	return append(cases,
		Case{Name: "bad frame: a number of 7 bytes", Hook: "on_authorize", Frame: frame(abi.OnAuthorize, abi.FieldExpires, "1234567"), Fails: true},
		Case{Name: "bad frame: a number of no bytes", Hook: "on_authorize", Frame: frame(abi.OnAuthorize, abi.FieldExpires, ""), Fails: true},
		Case{Name: "bad frame: a status of no bytes", Hook: "on_credential", Frame: frame(abi.OnCredential, abi.FieldFetchStatus, ""), Fails: true},
		Case{Name: "bad frame: a moment of no bytes", Hook: "on_logout", Frame: frame(abi.OnLogout, abi.FieldEnded, ""), Fails: true},
		Case{Name: "bad frame: of another hook", Hook: "on_credential", Frame: frame(abi.OnAuthorize, abi.FieldMethod, "GET"), Fails: true},
		Case{Name: "bad frame: a deadline of 4 bytes", Hook: "on_login", Frame: frame(abi.OnLogin, abi.FieldAbsolute, "1234"), Fails: true},
		Case{Name: "bad frame: sessions cut short", Hook: "on_logout", Frame: frame(abi.OnLogout, abi.FieldSessions, list[:9]), Fails: true},
		Case{Name: "bad frame: a status of 4 bytes", Hook: "on_credential", Frame: frame(abi.OnCredential, abi.FieldFetchStatus, "1234"), Fails: true},
		Case{Name: "bad frame: of another hook, on_login", Hook: "on_login", Frame: frame(abi.OnAuthorize, abi.FieldMethod, "GET"), Fails: true},
		Case{Name: "bad frame: of another hook, on_logout", Hook: "on_logout", Frame: frame(abi.OnLogin, abi.FieldRealm, "main"), Fails: true},
		Case{Name: "bad frame: a lazy field that get has not", Hook: "on_authorize", Fails: true,
			Frame: makeFrame(abi.OnAuthorize, func(w *abi.FrameWriter) { w.Text(abi.FieldPath, strings.Repeat("/", abi.MinBuffer)) })},
	)
}

func answerCases(t *testing.T) (cases []Case) {
	good, _ := vectors.Answers(t, "../testdata")
	for _, v := range good {
		if v.Reordered || len(v.Answer.Headers) > 8 || v.Answer.Request != nil && len(v.Answer.Request.Headers) > 8 || v.Answer.Candidate != nil && *v.Answer.Candidate > 1 {
			continue // an SDK has one order, may stop at 8 headers, and names what is there
		}
		var orders []string
		if v.Hook == "configure" {
			config := string(v.Answer.Reason)
			if v.Code == 2 {
				config = "refuse:" + config
			}
			c := Case{Name: "answer: " + v.Name, Hook: v.Hook, Log: named("config", config), Code: uint32(v.Code), Answer: v.Hex,
				Frame: makeFrame(abi.Configure, func(w *abi.FrameWriter) { w.Text(abi.FieldConfig, config) })}
			cases = append(cases, c)
			continue
		}
		switch {
		case v.Answer.Candidate != nil:
			orders = append(orders, "c"+strconv.Itoa(*v.Answer.Candidate))
		case v.Answer.Request != nil:
			orders = append(orders, ordersOf(*v.Answer.Request)...)
			if v.Answer.Blob != "" {
				orders = append(orders, "+s"+string(v.Answer.Blob))
			}
		case v.Hook != "on_logout":
			orders = append(orders, "="+strconv.Itoa(int(v.Code)))
		}
		if v.Answer.Status != 0 {
			orders = append(orders, "s"+strconv.Itoa(v.Answer.Status))
		}
		for _, h := range v.Answer.Headers { // a header before the reason must not matter
			orders = append(orders, "h"+string(h[0])+":"+string(h[1]))
		}
		for _, a := range v.Answer.Attributes {
			orders = append(orders, "t"+string(a[0])+":"+string(a[1]))
		}
		if v.Answer.Absolute != 0 {
			orders = append(orders, "d"+strconv.FormatUint(v.Answer.Absolute, 10))
		}
		if v.Answer.Idle != 0 {
			orders = append(orders, "i"+strconv.FormatUint(v.Answer.Idle, 10))
		}
		for _, r := range v.Answer.Calls {
			orders = append(orders, ordersOf(r)...)
		}
		if v.Answer.Reason != "" {
			orders = append(orders, "r"+string(v.Answer.Reason))
		}
		c := ordered("answer: "+v.Name, v.Hook, orders...)
		if v.Hook == "on_credential" {
			two := []vectors.Candidate{{Source: 1, Kind: 1, Name: "X-A"}, {Source: 2, Kind: 2, Name: "b"}}
			c.Log = append(dump(two[0]), dump(two[1])...)
			c.Frame = makeFrame(abi.OnCredential, func(w *abi.FrameWriter) {
				w.Bytes(abi.FieldCandidates, abi.AppendCandidate(abi.AppendCandidate(nil, abi.Candidate(two[0])), abi.Candidate(two[1])))
			})
		}
		c.Code, c.Answer = uint32(v.Code), v.Hex+v.Parts
		cases = append(cases, c)
	}
	return cases
}
