package plugin_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
	"github.com/authhost/authhost/host/plugin"
	. "github.com/authhost/authhost/host/plugin/wasmtest"
)

// prober goes on if get says absent, and else refuses with the value, if it
// fits in room, as the reason.
func prober(hookName string, kind abi.Kind, name string, index, room int32) []byte {
	m := base(getImport)
	m.Data = map[uint32]string{dataAt: name}
	return hook(m, hookName,
		Const32(int32(kind)), Const32(dataAt), Const32(int32(len(name))), Const32(index), Const32(bufferAt+8), Const32(room), Call(0), Set(1),
		Local(1), Const32(0), Op(0x48, 0x04, 0x40), result(abi.CodeGoOn, 0), Op(0x0b), // i32.lt_s
		Local(1), Op(0x45, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b), // i32.eqz
		Const32(bufferAt), Const32(2), Op(0x36, 2, 0), // the head of a reason
		Const32(bufferAt+4), Local(1), Op(0x36, 2, 0),
		Local(1), Const32(8), Op(I32Add), Op(ExtendU), Const64(32), Op(I64Shl), Const64(int64(abi.CodeNo)), Op(I64Or), Op(Return),
	).Encode()
}

// What get finds in on_authorize, and of a request in every hook that is asked
// about one.
func TestGet(t *testing.T) {
	const token = "eyJ.secret.sig"
	c := call()
	h := c.Request.Header
	h.Set("Authorization", "Bearer "+token)
	h.Set("Proxy-Authorization", "Basic eDp5")
	h.Set("X-Auth-Token", "malformed one")
	h["Cookie"] = []string{"theme=dark; kc_auth=" + token + "; Empty=", `theme=light; quoted="v w"; copy=` + token}
	h.Set("X-Forwarded-Uri", "/x?_token=1")
	h.Set("X-Original-Url", "https://h/x?_token=1")
	h.Set("Referer", "https://h/x?_token="+token)
	h["X-Multi"] = []string{"one", "two"}
	h.Set("X-Empty", "")
	c.Query = "a=1&b=&a=%32+3&%63=esc&bad=%zz&copy=" + token
	c.Found = []host.Credential{
		{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Value: token},
		{Source: host.FromHeader, Name: "x-auth-token"},
		{Source: host.FromCookie, Name: "kc_auth", Kind: host.JWT, Value: token},
		{Source: host.FromQuery, Name: "b"},
	}
	c.Identity.Claims = map[string]any{
		"sub": "alice", "empty": "", "n": float64(7), "null": nil, "a/b": "slash", "": "nameless",
		"realm_access": map[string]any{"roles": []any{"viewer", "editor"}, "m~n": true},
	}
	absent := "\x00absent"
	for _, tc := range []struct {
		kind  abi.Kind
		name  string
		index int32
		want  string
	}{
		{abi.GetHeader, "X-Multi", 0, "one"},
		{abi.GetHeader, "x-mULTI", 1, "two"},
		{abi.GetHeader, "X-Multi", 2, absent},
		{abi.GetHeader, "X-Multi", -1, absent},
		{abi.GetHeader, "X-Empty", 0, ""},
		{abi.GetHeader, "X-None", 0, absent},
		{abi.GetHeader, "", 0, absent},
		{abi.GetHeader, strings.Repeat("x", 9000), 0, absent},
		// Credentials, wherever they are.
		{abi.GetHeader, "Authorization", 0, absent},
		{abi.GetHeader, "aUTHORIZATION", 0, absent},
		{abi.GetHeader, "Proxy-Authorization", 0, absent},
		{abi.GetHeader, "Cookie", 0, absent},
		{abi.GetHeader, "cookie", 1, absent},
		{abi.GetHeader, "X-Auth-Token", 0, absent},
		{abi.GetHeader, "X-Forwarded-Uri", 0, absent},
		{abi.GetHeader, "x-original-url", 0, absent},
		{abi.GetHeader, "Referer", 0, absent},
		{abi.GetCookie, "kc_auth", 0, absent},
		{abi.GetCookie, "copy", 0, absent},
		{abi.GetQuery, "b", 0, absent},
		{abi.GetQuery, "copy", 0, absent},

		{abi.GetCookie, "theme", 0, "dark"},
		{abi.GetCookie, "theme", 1, "light"},
		{abi.GetCookie, "theme", 2, absent},
		{abi.GetCookie, "quoted", 0, `"v w"`},
		{abi.GetCookie, "Empty", 0, ""},
		{abi.GetCookie, "empty", 0, absent},
		{abi.GetQuery, "a", 0, "1"},
		{abi.GetQuery, "a", 1, "2 3"},
		{abi.GetQuery, "c", 0, "esc"},
		{abi.GetQuery, "bad", 0, absent},
		{abi.GetQuery, "", 0, absent},
		{abi.GetClaim, "sub", 0, "alice"},
		{abi.GetClaim, "sub", 1, absent},
		{abi.GetClaim, "empty", 0, ""},
		{abi.GetClaim, "n", 0, "7"},
		{abi.GetClaim, "null", 0, "null"},
		{abi.GetClaim, "a/b", 0, "slash"},
		{abi.GetClaim, "/a~1b", 0, "slash"},
		{abi.GetClaim, "/realm_access/roles", 0, `["viewer","editor"]`},
		{abi.GetClaim, "/realm_access/roles/1", 0, "editor"},
		{abi.GetClaim, "/realm_access/roles/2", 0, absent},
		{abi.GetClaim, "/realm_access/roles/01", 0, absent},
		{abi.GetClaim, "/realm_access/roles/-", 0, absent},
		{abi.GetClaim, "/realm_access/m~0n", 0, "true"},
		{abi.GetClaim, "/sub/x", 0, absent},
		{abi.GetClaim, "/", 0, "nameless"},
		{abi.GetClaim, "none", 0, absent},
		{abi.GetField, "", int32(abi.FieldMethod), "POST"},
		{abi.GetField, "", int32(abi.FieldClient), "192.0.2.7"},
		{abi.GetField, "", int32(abi.FieldUserID), c.Identity.UserID},
		{abi.GetField, "", int32(abi.FieldCredential), "header/jwt"},
		{abi.GetField, "", int32(abi.FieldCandidates), absent},
		{abi.GetField, "", int32(abi.FieldConfig), absent},
		{abi.GetField, "", -1, absent},
		{99, "x", 0, absent},
		{0, "", 0, absent},
	} {
		for _, name := range []string{"on_authorize", "on_credential", "on_login"} {
			about := c
			switch {
			case name == "on_authorize":
			case tc.kind == abi.GetHeader || tc.kind == abi.GetCookie || tc.kind == abi.GetQuery:
				about = callOf(name)
				about.Request, about.Query, about.Found = c.Request, c.Query, c.Found
			default:
				continue
			}
			p := load(t, plugin.Options{Module: prober(name, tc.kind, tc.name, tc.index, 4096)})
			r, err := asks(t, p, name, about)
			got := r.reason
			if !r.refused {
				got = absent
			} else if got == "denied" { // without a reason
				got = ""
			}
			if err != nil || got != tc.want {
				t.Errorf("get(%d, %.40q, %d) in %s is %q, %v, want %q", tc.kind, tc.name, tc.index, name, got, err, tc.want)
			}
		}
	}
}

// Claims belong to a known identity, and a session has none.
func TestGetWithoutIdentity(t *testing.T) {
	p := load(t, plugin.Options{Module: prober("on_authorize", abi.GetClaim, "sub", 0, 100)})
	c := call()
	for range 2 {
		if o, err := p.Authorize(t.Context(), c); err != nil || o.Effect != host.Abstain {
			t.Errorf("got %+v, %v, want absent", o, err)
		}
		c.Identity = nil
	}
}

// A value that does not fit is not copied, but its length is told.
func TestGetShortRoom(t *testing.T) {
	c := call()
	c.Request.Header.Set("X-Long", "0123456789")
	for room, effect := range map[int32]host.Effect{9: host.Allow, 10: host.Deny} {
		// Fails unless the length is 10; denies if anything was copied.
		const into = dataAt + 512
		m := base(getImport)
		m.Data = map[uint32]string{dataAt: "X-Long"}
		m = hook(m, "on_authorize", Const32(1), Const32(dataAt), Const32(6), Const32(0), Const32(into), Const32(room), Call(0),
			Const32(10), Op(0x47, 0x04, 0x40, Unreachable, 0x0b),
			Const32(into), Op(0x28, 2, 0, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b))
		if o, err := load(t, plugin.Options{Module: m.Encode()}).Authorize(t.Context(), c); err != nil || o.Effect != effect {
			t.Errorf("with room for %d: got %+v, %v, want %s", room, o, err, effect)
		}
	}
}

// What does not fit in the frame is there for get.
func TestLazyFields(t *testing.T) {
	c := call()
	c.Query = strings.Repeat("q", 40<<10) // longer than the guest's buffer
	for id, want := range map[abi.Field]int{abi.FieldQuery: 40 << 10, abi.FieldPath: len(c.Request.Path)} {
		// Answers with the value's length alone: copying needs room.
		m := base(getImport)
		m = hook(m, "on_authorize", Const32(5), Const32(0), Const32(0), Const32(int32(id)), Const32(0), Const32(0), Call(0),
			Const32(int32(want)), Op(0x47, 0x04, 0x40), result(abi.CodeNo, 0), Op(0x0b))
		allowed := load(t, plugin.Options{Module: m.Encode()})
		for range 2 {
			if o, err := allowed.Authorize(t.Context(), c); err != nil || o.Effect != host.Allow {
				t.Errorf("field %d: got %+v, %v, want a length of %d", id, o, err, want)
			}
		}
	}
}

// on_credential is shown every candidate and no value.
func TestCandidatesField(t *testing.T) {
	c := call()
	c.Identity = nil
	c.Candidates = []host.Candidate{
		{Source: host.FromHeader, Name: "Authorization", Kind: host.JWT, Verdict: host.Expired, UserID: "usr_a"},
		{Source: host.FromCookie, Name: "kc_auth", Kind: host.Session},
	}
	var want []byte
	for _, k := range c.Candidates {
		want = abi.AppendCandidate(want, abi.Candidate{Source: uint8(k.Source), Kind: uint8(k.Kind), Verdict: uint8(k.Verdict), Name: k.Name, UserID: k.UserID})
	}
	// Logs the whole list; a line of the log is bounded, but long enough.
	m := base(getImport, logImport)
	m = hook(m, "on_credential", Const32(5), Const32(0), Const32(0), Const32(int32(abi.FieldCandidates)), Const32(dataAt), Const32(1024), Call(0), Set(1),
		Const32(1), Const32(dataAt), Local(1), Call(1), result(abi.CodeNo, 0))
	log, logger := newLogs()
	p := load(t, plugin.Options{Module: m.Encode(), Logger: logger})
	if o, err := p.Choose(t.Context(), c); err != nil || o.Effect != host.Deny {
		t.Fatalf("got %+v, %v", o, err)
	}
	for _, s := range []string{"Authorization", "usr_a", "kc_auth"} {
		if !strings.Contains(log.String(), s) {
			t.Errorf("the list %q was logged as %s", want, log)
		}
	}
	if n := binary.LittleEndian.Uint32(want); n != uint32(8+len("Authorization")+len("usr_a")) {
		t.Errorf("the first item has %d bytes", n)
	}
}
