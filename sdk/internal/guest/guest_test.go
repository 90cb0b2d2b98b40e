package guest_test

import (
	"bytes"
	"iter"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/authhost/authhost/sdk/internal/fakehost"
	"github.com/authhost/authhost/sdk/internal/guest"
)

var hooks = map[string]int{"configure": guest.Configure, "on_credential": guest.OnCredential, "on_authorize": guest.OnAuthorize,
	"on_login": guest.OnLogin, "on_logout": guest.OnLogout}

func each(list string) iter.Seq[string] {
	return func(yield func(string) bool) { guest.Each(list, yield) }
}

func TestFrames(t *testing.T) {
	good, _ := fakehost.Frames(t)
	for _, f := range good {
		t.Run(f.Name, func(t *testing.T) {
			var host fakehost.Host
			c := guest.Begin(hooks[f.Hook], host.PutFrame(t, f))
			for _, want := range f.Fields {
				if want.Number != nil {
					if got := c.Number(want.ID); got != *want.Number {
						t.Errorf("%s is %d, want %d", want.Name, got, *want.Number)
					}
					continue
				}
				text := c.Text(want.ID)
				if want.Candidates != nil {
					for item := range each(text) {
						if got := guest.ParseCandidate(item); got != guest.Candidate(want.Candidates[0]) {
							t.Errorf("candidate %+v, want %+v", got, want.Candidates[0])
						}
						want.Candidates = want.Candidates[1:]
					}
					if len(want.Candidates) > 0 {
						t.Errorf("%d candidates are missing", len(want.Candidates))
					}
					continue
				}
				if text != want.Value(t) {
					t.Errorf("%s is %q", want.Name, text)
				}
				if want.List != nil {
					list := slices.Repeat(want.List, max(1, want.Times))
					if got := slices.Collect(each(text)); !slices.Equal(got, list) {
						t.Errorf("%s lists %q, want %q", want.Name, got, list)
					}
					if guest.Has(text, "no such item") {
						t.Errorf("%s has what it has not", want.Name)
					}
					for _, item := range list {
						if !guest.Has(text, item) {
							t.Errorf("%s has no %q", want.Name, item)
						}
					}
				}
			}
			if c.Text(999) != "" || c.Number(999) != 0 {
				t.Error("a field that is absent is not empty")
			}
		})
	}
}

func TestBadFrames(t *testing.T) {
	_, bad := fakehost.Frames(t)
	for _, f := range bad {
		t.Run(f.Name, func(t *testing.T) {
			n := uint32(copy(guest.Buffer(), fakehost.Bytes(t, f.Hex)))
			fakehost.Panics(t, func() {
				c := guest.Begin(guest.OnAuthorize, n)
				for id := range 100 {
					c.Text(id)
				}
			})
		})
	}
	t.Run("of another hook", func(t *testing.T) {
		var host fakehost.Host
		n := host.Put(t, "configure")
		fakehost.Panics(t, func() { guest.Begin(guest.OnAuthorize, n) })
	})
	t.Run("a number of 4 bytes", func(t *testing.T) {
		var host fakehost.Host
		c := guest.Begin(guest.OnAuthorize, host.Put(t, "example on_authorize"))
		fakehost.Panics(t, func() { c.Number(guest.FieldMethod) })
	})
	for _, list := range []string{"\x01", "\x01\x00\x00\x00", "\x02\x00\x00\x00x", "\xff\xff\xff\xffx"} {
		fakehost.Panics(t, func() { guest.Has(list, "x") })
		fakehost.Panics(t, func() { guest.Each(list, func(string) bool { return true }) })
	}
	item := "\x01\x01\x04\x00\x01\x00n\x01\x00u"
	for n := range item {
		fakehost.Panics(t, func() { guest.ParseCandidate(item[:n]) })
	}
}

func TestAnswers(t *testing.T) {
	for hook := range hooks {
		for _, v := range fakehost.Answers(t, hook) {
			if v.Reordered {
				continue
			}
			var a guest.Answer
			if v.Answer.Status != 0 {
				a.Status(v.Answer.Status)
			}
			a.Reason(string(v.Answer.Reason))
			for _, h := range v.Answer.Headers {
				a.List(guest.AppendHeader("", string(h[0]), string(h[1])))
			}
			if v.Answer.Candidate != nil {
				a.Candidate(*v.Answer.Candidate)
			}
			if v.Answer.Idle != 0 {
				a.Idle(v.Answer.Idle)
			}
			if v.Answer.Absolute != 0 {
				a.Absolute(v.Answer.Absolute)
			}
			for _, t := range v.Answer.Attributes {
				a.List(guest.AppendAttribute("", string(t[0]), string(t[1])))
			}
			for _, c := range v.Calls() {
				a.Call(c.Method, c.URL, c.Body, c.Headers)
			}
			if v.Answer.Request != nil {
				r := v.Fetch()
				r.Encode(&a)
			}
			want, result := v.Result(t)
			if got := a.Finish(v.Code); got != result || !bytes.Equal(guest.Buffer()[:len(want)], want) {
				t.Errorf("%s: result %#x, want %#x; bytes\n%x, want\n%x", v.Name, got, result, guest.Buffer()[:len(want)], want)
			}
		}
	}
}

// A reason may quote anything: what comes out is one line of UTF-8 within the
// bounds.
func TestReasonIsAlwaysFitToSend(t *testing.T) {
	for text, want := range map[string]string{
		"a\r\nb\tc":                     "a  b c",
		"a\x00\x1b\x7fb":                "a\uFFFD\uFFFD\uFFFDb",
		"a\u0085\u2028\u2029b":          "a\uFFFD\uFFFD\uFFFDb",
		"a\xff\xc3":                     "a\uFFFD\uFFFD",
		"a\uFFFD?":                      "a\uFFFD?",
		strings.Repeat("a", 2000):       strings.Repeat("a", 1024),
		strings.Repeat("a", 1023) + "é": strings.Repeat("a", 1023),
		strings.Repeat("é", 1000):       strings.Repeat("é", 512),
		strings.Repeat("\xff", 1000):    strings.Repeat("\uFFFD", 341),
	} {
		var a guest.Answer
		a.Reason(text)
		n := a.Finish(guest.CodeNo) >> 32
		got := string(guest.Buffer()[8:n])
		if got != want || !utf8.ValidString(got) || guest.Buffer()[4] != byte(len(want)) || guest.Buffer()[5] != byte(len(want)>>8) {
			t.Errorf("%.20q came out as %.20q, want %.20q", text, got, want)
		}
	}
}

// Whatever stands wherever in a reason: only one line of text comes out.
func TestReasonWithAnyByteAnywhere(t *testing.T) {
	for length := 1; length <= 25; length++ {
		for at := range length {
			for c := range 256 {
				text := []byte("abcdefghijklmnopqrstuvwxy"[:length])
				text[at] = byte(c)
				var a guest.Answer
				a.Reason(string(text))
				n := a.Finish(guest.CodeNo) >> 32
				want := string(text)
				switch {
				case c == '\t' || c == '\n' || c == '\r':
					want = want[:at] + " " + want[at+1:]
				case c < ' ' || c > '~':
					want = want[:at] + "\uFFFD" + want[at+1:]
				}
				if got := string(guest.Buffer()[8:n]); got != want || int(guest.Buffer()[4]) != len(want) {
					t.Fatalf("%q came out as %q", text, got)
				}
			}
		}
	}
}

// frameOf puts a frame of one field, the roles, into the buffer;
// bytes of the frame before may follow it.
func frameOf(list string) (length uint32) {
	b := guest.Buffer()
	copy(b, "\x03\x00\x01\x00\x00\x00\x00\x00\x0e\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00")
	b[4], b[16] = byte(20+len(list)), byte(len(list))
	return uint32(20 + copy(b[20:], list))
}

// Items of each length, which are found and which differ in each byte, and
// lists that are cut short, once the place of the field is known.
func TestHas(t *testing.T) {
	const text = "abcdefghijklmnopqrstuvwxyz"
	item := func(s string) string { return string([]byte{byte(len(s)), 0, 0, 0}) + s }
	has := func(list, item string) bool {
		return guest.Begin(guest.OnAuthorize, frameOf(list)).Has(guest.FieldRoles, item)
	}
	for n := range len(text) {
		one := text[:n]
		for _, before := range []string{"", item(text), item(text[1 : n+1]), item("") + item("z")} {
			if list := before + item(one) + item("more"); !has(list, one) || !has(before+item(one), one) {
				t.Errorf("%q is not in %q", one, list)
			}
		}
		for at := range n {
			other := one[:at] + "_" + one[at+1:]
			if list := item(other) + item(text); has(list, one) {
				t.Errorf("%q is in %q", one, list)
			}
		}
		if has("", one) || has(item(text), one) || n > 0 && has(item(one[1:])+item(""), one) {
			t.Errorf("%q is where it is not", one)
		}
	}
	for _, list := range []string{"\x01", "\x01\x00\x00\x00", "\x02\x00\x00\x00x", "\xff\xff\xff\xffx", item("y") + "\x00\x00\x00"} {
		fakehost.Panics(t, func() { has(list, "x") })
	}
}

// Two frames with the same field at different places, in turn.
func TestFieldsMoveFromFrameToFrame(t *testing.T) {
	var host fakehost.Host
	for range 2 {
		c := guest.Begin(guest.OnAuthorize, host.Put(t, "on_authorize with every field"))
		if got := c.Text(guest.FieldUserID) + c.Text(guest.FieldPath); got != "usr_mfrggzdfmztwq2lknnwg23tpobyxe43u/api/gitops/sync" {
			t.Errorf("user and path %q", got)
		}
		c = guest.Begin(guest.OnAuthorize, host.Put(t, "example on_authorize"))
		if got := c.Text(guest.FieldUserID) + c.Text(guest.FieldPath); got != "usr_mfrggzdfmztwq2lknnwg23tpobyxe43u/api/gitops/sync" {
			t.Errorf("user and path %q", got)
		}
		c = guest.Begin(guest.OnAuthorize, host.Put(t, "on_authorize of an anonymous request"))
		if got := c.Text(guest.FieldUserID); got != "" {
			t.Errorf("user %q of an anonymous request", got)
		}
		// Numbers that share a hint: 4000 and 160, 4 and 260.
		c = guest.Begin(guest.OnAuthorize, host.Put(t, "a field of a later time"))
		if c.Text(4000) == "" || c.Text(4000-256*15) != "" || c.Text(1) != "GET" || c.Text(257) != "" {
			t.Error("one field is taken for another")
		}
	}
}

func TestAnswerThatIsTooLong(t *testing.T) {
	var a guest.Answer
	a.List(guest.AppendHeader("", "X-A", strings.Repeat("v", 16384-8-2-3)))
	if n := a.Finish(guest.CodeYes) >> 32; n != 16384 {
		t.Errorf("the longest answer has %d bytes", n)
	}
	for _, f := range []func(){
		func() { a.List(guest.AppendHeader("", "", "")) },
		func() { a.Status(403) },
		func() { new(guest.Answer).List(guest.AppendHeader("", "X-A", strings.Repeat("v", 16384-8-2-2))) },
		func() { new(guest.Answer).List(guest.AppendHeader("", strings.Repeat("n", 1<<16), "")) },
	} {
		fakehost.Panics(t, f)
	}
}

// An answer whose texts are views of the frame, in the buffer that it goes to.
func TestAnswerMadeOfTheFrame(t *testing.T) {
	var host fakehost.Host
	c := guest.Begin(guest.OnAuthorize, host.Put(t, "on_authorize with every field"))
	var a guest.Answer
	a.Reason(c.Text(guest.FieldPath))
	a.List(guest.AppendHeader("", "X-Last", c.Text(guest.FieldCredential)))
	a.List(guest.AppendHeader("", "X-First", c.Text(guest.FieldMethod)))
	n := a.Finish(guest.CodeNo) >> 32
	want := "\x02\x00\x00\x00\x10\x00\x00\x00/api/gitops/sync" +
		"\x03\x00\x00\x00\x16\x00\x00\x00\x06\x00X-Lastcookie/session" +
		"\x03\x00\x00\x00\x0d\x00\x00\x00\x07\x00X-FirstPOST"
	if got := string(guest.Buffer()[:n]); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestGet(t *testing.T) {
	host := fakehost.Host{Values: map[fakehost.Key][]string{
		{Kind: guest.GetHeader, Name: "X-A"}: {"one", "", "three"},
		{Kind: guest.GetCookie, Name: "big"}: {strings.Repeat("b", 20<<10)},
		{Kind: guest.GetClaim, Name: "huge"}: {strings.Repeat("h", 1<<20)},
	}}
	c := guest.Begin(guest.OnAuthorize, host.Put(t, "no field"))
	for i, want := range []string{"one", "", "three"} {
		if got, ok := c.Get(guest.GetHeader, "X-A", i); !ok || got != want {
			t.Errorf("value %d is %q, %t", i, got, ok)
		}
	}
	for _, i := range []int{3, -1, 1 << 32} {
		if got, ok := c.Get(guest.GetHeader, "X-A", i); ok || got != "" {
			t.Errorf("value %d is %q", i, got)
		}
	}
	first, _ := c.Get(guest.GetHeader, "X-A", 0)
	for range 3 { // the second has no room in the arena any more
		if got, ok := c.Get(guest.GetCookie, "big", 0); !ok || got != strings.Repeat("b", 20<<10) {
			t.Errorf("%d bytes, %t", len(got), ok)
		}
	}
	if got, ok := c.Get(guest.GetClaim, "huge", 0); !ok || got != strings.Repeat("h", 1<<20) {
		t.Errorf("%d bytes, %t", len(got), ok)
	}
	if first != "one" {
		t.Errorf("a text changed within its call: %q", first)
	}
}

// A lazy field is fetched once, however often it is read, and anew in the
// next call.
func TestLazyFieldIsFetchedOnce(t *testing.T) {
	var host fakehost.Host
	n := host.Put(t, "a list that does not fit is lazy")
	for call := range 2 {
		c := guest.Begin(guest.OnAuthorize, n)
		for range 10 {
			if !guest.Has(c.Text(guest.FieldRoles), "editor") {
				t.Fatal("no editor")
			}
		}
		if host.Gets != call+1 {
			t.Errorf("%d calls of get after %d calls of the hook", host.Gets, call+1)
		}
	}
	host.Fields = nil
	c := guest.Begin(guest.OnAuthorize, n)
	fakehost.Panics(t, func() { c.Text(guest.FieldRoles) })
}

// A list of headers stays what it was when others are made of it, and when
// many more are laid out.
func TestListsOfHeaders(t *testing.T) {
	answer := func(list string) string {
		var a guest.Answer
		a.List(list)
		n := a.Finish(guest.CodeYes) >> 32
		return string(guest.Buffer()[:n])
	}
	base := guest.AppendHeader("", "X-A", "1")
	left, right := guest.AppendHeader(base, "X-B", "2"), guest.AppendHeader(base, "X-C", "3")
	lists := map[string]string{base: answer(base), left: answer(left), right: answer(right)}
	if len(lists) != 3 || !strings.HasPrefix(left, base) || !strings.HasPrefix(right, base) || strings.Contains(right, "X-B") {
		t.Errorf("%q, %q, %q", base, left, right)
	}
	for range 1000 {
		guest.AppendHeader(guest.AppendHeader("", "X-D", strings.Repeat("v", 40)), "X-E", "")
	}
	for list, was := range lists {
		if got := answer(list); got != was {
			t.Errorf("%q became %q", was, got)
		}
	}
	if long := strings.Repeat("v", 20<<10); !strings.HasSuffix(guest.AppendHeader(left, "X-L", long), long) {
		t.Error("a long header was cut")
	}
}
