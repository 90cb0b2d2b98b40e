package plugin

import (
	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/host"
)

// Most fields of each hook's frame.
const (
	requestFields  = 10
	identityFields = 9
	fetchedFields  = 3
	loginFields    = 2
	logoutFields   = 13
)

// writeFrame lays the frame for the hook being asked out in view and returns
// its length. What every policy needs comes first, so that it is the last to
// be left out for want of room.
func (i *instance) writeFrame(view []byte) int {
	var w abi.FrameWriter
	c := i.call
	more := 0
	if i.fetched != nil {
		more = fetchedFields
	}
	switch i.hook {
	case abi.Configure:
		w.Reset(view, i.hook, 1)
		w.Bytes(abi.FieldConfig, i.plugin.opts.Config)
	case abi.OnCredential:
		w.Reset(view, i.hook, requestFields+1+more)
		i.requestFields(&w, c)
		i.scratch = appendCandidates(i.scratch[:0], c.Candidates)
		w.Bytes(abi.FieldCandidates, i.scratch)
		longFields(&w, c)
	case abi.OnLogout:
		w.Reset(view, i.hook, logoutFields)
		i.endedFields(&w, c)
	default:
		w.Reset(view, i.hook, requestFields+identityFields+loginFields+more)
		i.requestFields(&w, c)
		if c.Terms != nil {
			w.Number(abi.FieldIdle, millis(c.Terms.Idle))
			w.Number(abi.FieldAbsolute, millis(c.Terms.Absolute))
		}
		if c.Identity != nil {
			writeIdentity(&w, c.Identity)
			w.Text(abi.FieldCredential, c.Credential.Label())
		}
		longFields(&w, c)
	}
	if i.fetched != nil {
		i.fetched.fields(&w)
	}
	return w.Finish()
}

func (i *instance) requestFields(w *abi.FrameWriter, c *host.Call) {
	w.Text(abi.FieldMethod, c.Request.Method)
	w.Text(abi.FieldScheme, c.Request.Scheme)
	w.Text(abi.FieldHost, c.Request.Host)
	if i.hook != abi.OnLogin { // a login is on no route
		w.Text(abi.FieldRoute, c.Route)
	}
	w.Text(abi.FieldRealm, c.Realm)
	w.Number(abi.FieldTime, uint64(max(0, i.wall.Unix())))
	if client := c.Request.Client; client.IsValid() {
		if client != i.client { // often it is not: the call before was about the same
			i.client, i.clientText = client, client.Unmap().AppendTo(i.clientText[:0])
		}
		w.Bytes(abi.FieldClient, i.clientText)
	}
}

// longFields are those whose length the client chooses.
func longFields(w *abi.FrameWriter, c *host.Call) {
	w.Text(abi.FieldPath, c.Request.Path)
	w.Text(abi.FieldRawPath, c.Request.RawPath)
	w.Text(abi.FieldQuery, c.Query)
}

// writeIdentity adds what is known of a user; a text that is empty is absent.
func writeIdentity(w *abi.FrameWriter, who *host.Identity) {
	optional := func(id abi.Field, s string) {
		if s != "" {
			w.Text(id, s)
		}
	}
	optional(abi.FieldUserID, who.UserID)
	optional(abi.FieldIssuer, who.Issuer)
	optional(abi.FieldSubject, who.Subject)
	optional(abi.FieldSessionID, who.SessionID)
	optional(abi.FieldEmail, who.Email)
	if !who.Expires.IsZero() {
		w.Number(abi.FieldExpires, uint64(max(0, who.Expires.Unix())))
	}
	w.List(abi.FieldRoles, who.Roles)
	w.List(abi.FieldGroups, who.Groups)
}

func appendCandidates(b []byte, all []host.Candidate) []byte {
	for _, c := range all {
		b = abi.AppendCandidate(b, abi.Candidate{
			Source: uint8(c.Source), Kind: uint8(c.Kind), Verdict: uint8(c.Verdict), Name: c.Name, UserID: c.UserID,
		})
	}
	return b
}

// maxFrame bounds, in bytes, a frame that get reads from. A request whose
// header fits a listener's limits stays far below.
const maxFrame = 64 << 20

// frameField returns a field of the frame for the call under way, lazy or
// not: it lays the frame out once more, with room for all of it.
func (i *instance) frameField(id abi.Field) ([]byte, bool) {
	if i.hook == 0 {
		return nil, false
	}
	for room := max(len(i.whole), abi.MinBuffer); room <= maxFrame; room *= 2 {
		if !i.wholeValid {
			if len(i.whole) < room {
				i.whole = make([]byte, room)
			}
			i.wholeLen = i.writeFrame(i.whole)
			i.wholeValid = true
		}
		f, err := abi.ParseFrame(i.whole[:i.wholeLen])
		if err != nil {
			return nil, false
		}
		data, lazy, ok := f.Lookup(id)
		if !lazy {
			return data, ok
		}
		i.wholeValid = false
	}
	return nil, false
}
