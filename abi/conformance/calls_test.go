package conformance_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	. "github.com/authhost/authhost/abi/conformance"
)

var (
	none = Term{Length: abi.LengthNone}
	any_ = Term{Length: abi.LengthAny}
)

func some(text string) Term { return Term{Bytes: Bytes(text)} }

// step is an order, the call that is to come of it, and what the guest says of
// its result; "" nothing, "absent" that there is no such value.
type step struct {
	order string
	call  Call
	says  string
}

// stepped is a case of such orders.
func stepped(name, hook string, steps ...step) Case {
	var orders []string
	for _, s := range steps {
		orders = append(orders, s.order)
	}
	c := ordered(name, hook, orders...)
	for _, s := range steps {
		if s.call.Import != "" {
			c.Calls = append(c.Calls, s.call)
		}
		switch {
		case s.order[0] == 'm':
		case s.says == "":
			c.Log = append(c.Log, Line{0, Bytes(s.order)})
		case s.says == "absent":
			c.Log = append(c.Log, Line{0, Bytes(s.order)}, Line{2, ""})
		default:
			c.Log = append(c.Log, Line{0, Bytes(s.order)}, Line{1, Bytes(strings.TrimPrefix(s.says, "empty"))})
		}
	}
	return c
}

// callCases are those of the host functions that keep and count.
func callCases() []Case {
	const month = abi.MaxTTL
	key, value := strings.Repeat("k", abi.MaxKey), strings.Repeat("v", abi.MaxKeyValue)
	set := func(name string, old, next Term, result int32) Call {
		return Call{Import: "session_set", Name: Bytes(name), Old: old, New: next, Returns: result}
	}
	kvSet := func(name string, old, next Term, ttl int64, result int32) Call {
		return Call{Import: "kv_set", Name: Bytes(name), Old: old, New: next, TTL: ttl, Returns: result}
	}
	add := func(name string, delta, ttl, sum int64, result int32) Call {
		return Call{Import: "kv_add", Name: Bytes(name), Delta: delta, TTL: ttl, Sum: sum, Returns: result}
	}
	count := func(n int64) Call { return Call{Import: "metric", Name: "echo", Delta: n} }

	attributes := stepped("calls: attributes of the session", "on_authorize",
		step{"agtier", Call{}, "gold"},
		step{"agempty", Call{}, "empty"},
		step{"agnone", Call{}, "absent"},
		step{"ag\xff\x00:b", Call{}, "\x00\xfe"},
		step{"actier:gold:er", set("tier", none, some("gold:er"), 1), "done"},
		step{"actier:", set("tier", none, some(""), 0), "other"},
		step{"astier:gold:bronze:1", set("tier", some("gold"), some("bronze:1"), 1), "done"},
		step{"astier::\xff", set("tier", some(""), some("\xff"), -1), "ended"},
		step{"adtier:bronze", set("tier", some("bronze"), none, 1), "done"},
		step{"adtier:", set("tier", some(""), none, 0), "other"},
	)
	attributes.Session = []Entry{{"tier", "gold"}, {"empty", ""}, {"\xff\x00:b", "\x00\xfe"}}

	keys := stepped("calls: keys", "on_authorize",
		step{"kgseen", Call{}, "12"},
		step{"kgempty", Call{}, "empty"},
		step{"kgnone", Call{}, "absent"},
		step{"kp60000:seen:1:2", kvSet("seen", any_, some("1:2"), 60000, 1), "done"},
		step{"kp1:more:", kvSet("more", any_, some(""), 1, -3), "full"},
		step{"kc" + strconv.Itoa(month) + ":new:v", kvSet("new", none, some("v"), month, 1), "done"},
		step{"kc1:new:\x00", kvSet("new", none, some("\x00"), 1, 0), "other"},
		step{"kc1:more:v", kvSet("more", none, some("v"), 1, -3), "full"},
		step{"ks5:seen::b:c", kvSet("seen", some(""), some("b:c"), 5, 1), "done"},
		step{"ks5:seen:a:", kvSet("seen", some("a"), some(""), 5, 0), "other"},
		step{"kdseen:x", kvSet("seen:x", any_, none, 0, 1), ""},
		step{"kiseen:a:b", kvSet("seen", some("a:b"), none, 0, 1), "done"},
		step{"kiseen:", kvSet("seen", some(""), none, 0, 0), "other"},
	)
	keys.KV = []Entry{{"seen", "12"}, {"empty", ""}}

	sums := stepped("calls: sums", "on_authorize",
		step{"ka60000:n:1", add("n", 1, 60000, 1, 1), "1"},
		step{"ka60000:n:0", add("n", 0, 60000, 0, 1), "0"},
		step{"ka60000:n:-5", add("n", -5, 60000, -4, 1), "-4"},
		step{"ka" + strconv.Itoa(month) + ":n:9223372036854775807", add("n", 1<<63-1, month, 1<<63-1, 1), "9223372036854775807"},
		step{"ka1:n:-9223372036854775808", add("n", -1<<63, 1, -1<<63, 1), "-9223372036854775808"},
		step{"ka1:n:4294967296", add("n", 1<<32, 1, 1<<32+7, 1), "4294967303"},
		step{"ka1:n:1", add("n", 1, 1, 0, 0), "other"},
		step{"ka1:n:1", add("n", 1, 1, 0, -3), "full"},
	)

	most := stepped("calls: the longest", "on_authorize",
		step{"kg" + key, Call{}, value}, step{"ag" + key, Call{}, value},
		step{"kp1:" + key + ":" + value, kvSet(key, any_, some(value), 1, 1), "done"},
		step{"as" + key + ":" + value + ":" + value, set(key, some(value), some(value), 1), "done"},
		step{"kg" + key, Call{}, value}, step{"ag" + key, Call{}, value}, step{"kg" + key, Call{}, value}, step{"kg" + key, Call{}, value},
		step{"ag" + key, Call{}, value}, step{"kg" + key, Call{}, value}, step{"kg" + key, Call{}, value}, step{"kg" + key, Call{}, value},
		step{"ac" + value[:256] + ":" + value, set(value[:256], none, some(value), 1), "done"},
	)
	most.KV, most.Session = []Entry{{Bytes(key), Bytes(value)}}, []Entry{{Bytes(key), Bytes(value)}}

	counted := stepped("calls: a counter", "on_authorize",
		step{"m1", count(1), ""}, step{"m41", count(41), ""}, step{"m9223372036854775807", count(1<<63 - 1), ""})

	big, huge := strings.Repeat("b", 20<<10), strings.Repeat("huge", 1<<18)
	kept := ordered("calls: what was read before more than fits stays", "on_authorize",
		"?10big", "kg"+key, "?20huge", "kgk", "agk", "?10big", "kg"+key, "=2", "rfor a reason", "hX-Last:two", "kgk")
	kept.Get = append(kept.Get, Value{Kind: 1, Name: "big", Value: Bytes(big)}, Value{Kind: 2, Name: "huge", Value: Bytes(huge)})
	kept.KV, kept.Session = []Entry{{Bytes(key), Bytes(value)}, {"k", "v"}}, []Entry{{"k", "w"}}
	for _, read := range [][2]string{{"?10big", big}, {"kg" + key, value}, {"?20huge", huge}, {"kgk", "v"}, {"agk", "w"}, {"?10big", big}, {"kg" + key, value}, {"kgk", "v"}} {
		kept.Log = append(kept.Log, Line{0, Bytes(read[0])}, Line{1, Bytes(read[1])})
	}
	kept.Code, kept.Answer = 2, Bytes(abi.AppendAnswer(nil, abi.Answer{Reason: "for a reason", Headers: []abi.Header{{Name: "X-Last", Value: "two"}}}))

	cases := []Case{attributes, keys, sums, most, kept, counted}
	for _, hook := range []string{"on_credential", "on_login", "on_logout"} {
		c := stepped("calls: in "+hook, hook,
			step{"agtier", Call{}, "gold"}, step{"kgseen", Call{}, "12"}, step{"m3", count(3), ""},
			step{"actier:x", set("tier", none, some("x"), 1), "done"}, step{"kp5:seen:x", kvSet("seen", any_, some("x"), 5, 1), "done"},
			step{"ka7:seen:2", add("seen", 2, 7, 14, 1), "14"})
		c.Session, c.KV = []Entry{{"tier", "gold"}}, []Entry{{"seen", "12"}}
		says := ordered("log: in "+hook, hook, "l3error", "l0debug")
		says.Log = append(says.Log, Line{3, "error"}, Line{0, "debug"})
		cases = append(cases, c, says)
	}
	for _, hook := range []string{"on_login", "on_logout"} {
		fails := ordered("fails: as told, in "+hook, hook, "!")
		fails.Fails, fails.Log = true, nil
		cases = append(cases, fails)
	}
	return append(cases, composedCases()...)
}

// composedCases are those of answers that no vector has.
func composedCases() (cases []Case) {
	kept := ordered("answer: a fetch made of what was read", "on_authorize", "kgurl", "fPUT https://a.example/", "+hX-A:\u00fc", "+b\xff\x00", "+s\x00\xff", "rbecause\n")
	kept.KV = []Entry{{"url", "https://a.example/"}}
	kept.Log = append(kept.Log, Line{0, "kgurl"}, Line{1, "https://a.example/"})
	kept.Code, kept.Answer = 3, Bytes(abi.AppendAnswer(nil, abi.Answer{Reason: "because ", Blob: []byte("\x00\xff"),
		Request: &abi.Request{Method: "PUT", URL: "https://a.example/", Headers: []abi.Header{{Name: "X-A", Value: "\u00fc"}}, Body: []byte("\xff\x00")}}))

	other := ordered("answer: no fetch after all", "on_login", "fGET https://a.example/", "+slater", "=0", "tname:a:b", "i1", "d9223372036854775807")
	other.Answer = Bytes(abi.AppendAnswer(nil, abi.Answer{Idle: 1, Absolute: 1<<63 - 1, Attributes: []abi.Attribute{{Name: "name", Value: "a:b"}}}))

	login := ordered("answer: fetch of on_login", "on_login", "fGET https://a.example/", "+slater")
	login.Code, login.Answer = 3, Bytes(abi.AppendAnswer(nil, abi.Answer{Blob: []byte("later"), Request: &abi.Request{Method: "GET", URL: "https://a.example/"}}))

	eight := ordered("answer: 8 headers of a request", "on_credential", "fGET u")
	many := ordered("answer: 8 attributes", "on_login", "=0")
	request := abi.Request{Method: "GET", URL: "u"}
	var answer abi.Answer
	for i := range 8 {
		name, value := "X-"+strconv.Itoa(i), strings.Repeat("v", i)
		request.Headers = append(request.Headers, abi.Header{Name: name, Value: value})
		answer.Attributes = append(answer.Attributes, abi.Attribute{Name: name, Value: value})
		eight.Get = append(eight.Get, Value{Kind: 1, Name: "X-Echo", Index: uint32(i + 1), Value: Bytes("+h" + name + ":" + value)})
		many.Get = append(many.Get, Value{Kind: 1, Name: "X-Echo", Index: uint32(i + 1), Value: Bytes("t" + name + ":" + value)})
	}
	eight.Code, eight.Answer = 3, Bytes(abi.AppendAnswer(nil, abi.Answer{Request: &request}))
	many.Answer = Bytes(abi.AppendAnswer(nil, answer))

	long := ordered("fails: a request that is too long", "on_authorize", "fPUT u", "+b"+strings.Repeat("b", 16367))
	long.Fails, long.Log = true, nil
	wide := ordered("fails: a URL of more than 65535 bytes", "on_authorize", "fGET "+strings.Repeat("u", 1<<16))
	wide.Fails, wide.Log = true, nil
	return []Case{kept, other, login, eight, many, long, wide}
}

// The two forms of a term say the same.
func TestTerm(t *testing.T) {
	for _, term := range []Term{none, any_, some(""), some("a"), some(strings.Repeat("a", 4096))} {
		text, err := json.Marshal(term)
		if err != nil {
			t.Fatal(err)
		}
		var got Term
		if err := json.Unmarshal(text, &got); err != nil || got != term {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
	if err := json.Unmarshal([]byte(`{}`), new(Term)); err == nil {
		t.Error("{} is a term")
	}
}
