package plugin_test

import (
	"slices"
	"testing"

	"github.com/authhost/authhost/abi"
)

func TestAttackPlugin_output(t *testing.T) { withstands(t, outputAttacks()) }

// outputAttacks answer what they may not.
func outputAttacks() []attack {
	returns := func(name string, result []byte, cause string, hooks ...string) attack {
		return attack{name: name, answer: true, hooks: hooks, body: result, cause: cause}
	}
	garbage := []byte("\xff\xff\xff\xff\xff\xff\xff\xff")
	all := []attack{
		returns("answer_longer_than_its_buffer", result(abi.CodeGoOn, bufferLen+1), "buffer of", hooks...),
		returns("answer_of_4_GiB", result(abi.CodeGoOn, 1<<32-1), "buffer of", hooks...),
		returns("answer_longer_than_the_host_takes", result(abi.CodeGoOn, abi.MaxAnswer+1), "are allowed", hooks...),
		returns("unknown_code", result(4, 0), "unknown code 4", hooks...),
		returns("unknown_code_of_32_bits", result(1<<32-1, 0), "unknown code 4294967295", hooks...),
		returns("allow_where_there_is_none", result(abi.CodeYes, 0), "unknown code 1", "configure", "on_login", "on_logout"),
		returns("refusal_where_there_is_none", result(abi.CodeNo, 0), "unknown code 2", "on_logout"),
		returns("fetch_where_there_is_none", result(abi.CodeFetch, 0), "unknown code 3", "configure", "on_logout"),
		returns("fetch_of_nothing", result(abi.CodeFetch, 0), "fetch without a request", but("configure", "on_logout")...),
		rawAnswer("answer_of_garbage", abi.CodeGoOn, garbage, "answer field", hooks...),
		rawAnswer("refusal_of_garbage", abi.CodeNo, garbage, "answer field", but("on_logout")...),
		answers("status_200_in_a_refusal", abi.CodeNo, abi.Answer{Status: 200}, "status 200", "on_authorize", "on_login"),
		answers("status_404_of_a_login", abi.CodeNo, abi.Answer{Status: 404}, "status 404", "on_login"),
		answers("candidate_that_is_none", abi.CodeYes, abi.Answer{Candidate: 2, HasCandidate: true}, "candidate 2 of 1", "on_credential"),
	}
	return slices.Concat(all, fieldAttacks(), textAttacks(), headerAttacks())
}

// but returns the hooks without some.
func but(some ...string) []string {
	return slices.DeleteFunc(slices.Clone(hooks), func(name string) bool { return slices.Contains(some, name) })
}

func rawAnswer(name string, code abi.Code, raw []byte, cause string, hooks ...string) attack {
	m := base()
	body := answering(&m, code, raw)
	return attack{name: name, answer: true, hooks: hooks, body: body, data: m.Data[dataAt], cause: cause}
}

func answers(name string, code abi.Code, a abi.Answer, cause string, hooks ...string) attack {
	return rawAnswer(name, code, abi.AppendAnswer(nil, a), cause, hooks...)
}

// fieldAttacks answer with a field of another hook, or of another code.
func fieldAttacks() []attack {
	const moment = 4_000_000_000_000
	request := abi.Request{Method: "GET", URL: "https://a.example/"}
	header := abi.Answer{Headers: []abi.Header{{Name: "X-Team", Value: "a"}}}
	candidate := abi.Answer{HasCandidate: true}
	idle, absolute := abi.Answer{Idle: moment}, abi.Answer{Absolute: moment}
	attribute := abi.Answer{Attributes: []abi.Attribute{{Name: "a", Value: "b"}}}
	return []attack{
		answers("status_where_none_may_be", abi.CodeGoOn, abi.Answer{Status: 403}, "answer field 1 (status)", hooks...),
		answers("status_in_a_refusal_that_has_none", abi.CodeNo, abi.Answer{Status: 403}, "answer field 1 (status)", "configure", "on_credential"),
		answers("header_where_none_may_be", abi.CodeGoOn, header, "answer field 3 (header)", but("on_authorize")...),
		answers("header_in_a_refusal_that_has_none", abi.CodeNo, header, "answer field 3 (header)", "configure", "on_credential"),
		answers("candidate_where_none_may_be", abi.CodeGoOn, candidate, "answer field 4 (candidate)", hooks...),
		answers("candidate_in_an_allow", abi.CodeYes, candidate, "answer field 4 (candidate)", "on_authorize"),
		answers("candidate_in_a_refusal", abi.CodeNo, candidate, "answer field 4 (candidate)", but("on_logout")...),
		answers("idle_deadline_where_none_may_be", abi.CodeGoOn, idle, "answer field 5 (idle)", but("on_login")...),
		answers("idle_deadline_in_a_refusal", abi.CodeNo, idle, "answer field 5 (idle)", but("on_logout")...),
		answers("absolute_deadline_where_none_may_be", abi.CodeGoOn, absolute, "answer field 6 (absolute)", but("on_login")...),
		answers("absolute_deadline_in_a_refusal", abi.CodeNo, absolute, "answer field 6 (absolute)", but("on_logout")...),
		answers("later_deadline", abi.CodeGoOn, idle, "a later deadline", "on_login"),
		answers("attribute_where_none_may_be", abi.CodeGoOn, attribute, "answer field 7 (attribute)", but("on_login")...),
		answers("attribute_in_a_refusal", abi.CodeNo, attribute, "answer field 7 (attribute)", but("on_logout")...),
		answers("call_where_none_may_be", abi.CodeGoOn, abi.Answer{Calls: []abi.Request{request}}, "answer field 8 (call)", but("on_logout")...),
		answers("call_that_was_not_declared", abi.CodeGoOn, abi.Answer{Calls: []abi.Request{request}}, "does not import authhost.fetch", "on_logout"),
		answers("more_calls_than_there_may_be", abi.CodeGoOn, abi.Answer{Calls: slices.Repeat([]abi.Request{request}, abi.MaxCalls+1)}, "more than 8 calls", "on_logout"),
		answers("request_where_none_may_be", abi.CodeGoOn, abi.Answer{Request: &request}, "answer field 9 (request)", hooks...),
		answers("request_that_was_not_declared", abi.CodeFetch, abi.Answer{Request: &request}, "does not import authhost.fetch", but("configure", "on_logout")...),
		answers("blob_where_none_may_be", abi.CodeGoOn, abi.Answer{Blob: []byte("a")}, "answer field 10 (blob)", hooks...),
	}
}

// textAttacks answer with what could end a line of the log or of a header, as
// the reason or within a call.
func textAttacks() (all []attack) {
	for _, bad := range []struct{ name, text, cause string }{
		{"with_CR", "a\rb", "control character"},
		{"with_LF", "a\nSet-Cookie: b", "control character"},
		{"with_NUL", "a\x00", "control character"},
		{"not_UTF-8", "\xff", "not UTF-8"},
	} {
		call := abi.Request{Method: "GET", URL: "https://a.example/", Headers: []abi.Header{{Name: "X-A", Value: bad.text}}}
		url := abi.Request{Method: "GET", URL: bad.text}
		all = append(all,
			answers("reason_"+bad.name, abi.CodeGoOn, abi.Answer{Reason: bad.text}, "answer field 2 (reason): "+bad.cause, hooks...),
			answers("refusal_reason_"+bad.name, abi.CodeNo, abi.Answer{Reason: bad.text}, "answer field 2 (reason): "+bad.cause, but("on_logout")...),
			answers("call_header_"+bad.name, abi.CodeGoOn, abi.Answer{Calls: []abi.Request{call}}, bad.cause, "on_logout"),
			answers("call_URL_"+bad.name, abi.CodeGoOn, abi.Answer{Calls: []abi.Request{url}}, "in a URL", "on_logout"))
	}
	return all
}

// headerAttacks set headers that they may not.
func headerAttacks() []attack {
	header := func(name string, code abi.Code, cause string, pairs ...string) attack {
		var a abi.Answer
		for i := 0; i < len(pairs); i += 2 {
			a.Headers = append(a.Headers, abi.Header{Name: pairs[i], Value: pairs[i+1]})
		}
		in := []string{"on_authorize"}
		if code == abi.CodeNo {
			in = append(in, "on_login")
		}
		return answers(name, code, a, cause, in...)
	}
	all := []attack{header("header_Retry-After_on_an_allow", abi.CodeYes, "is not declared", "Retry-After", "1")}
	for _, bad := range []struct {
		name, cause string
		pairs       []string
	}{
		{"header_with_CR", "control character", []string{"X-Team", "a\rb"}},
		{"header_with_LF", "control character", []string{"X-Team", "a\nSet-Cookie: b"}},
		{"header_with_NUL", "control character", []string{"X-Team", "a\x00"}},
		{"header_not_UTF-8", "UTF-8", []string{"X-Team", "\xff"}},
		{"header_name_with_colon", "answer field", []string{"X-Team:", "a"}},
		{"header_not_declared", "X-Other is not declared", []string{"X-Other", "a"}},
		{"header_Host", "Host is not declared", []string{"host", "evil.example"}},
		{"header_hop_by_hop", "Connection is not declared", []string{"Connection", "X-Auth-Request-User"}},
		{"header_of_identity", "is not declared", []string{"x-auth-request-user", "root"}},
		{"header_Set-Cookie", "is not declared", []string{"Set-Cookie", "a=b"}},
		{"header_twice", "X-Team is set twice", []string{"X-Team", "a", "x-team", "b"}},
	} {
		all = append(all, header(bad.name, abi.CodeYes, bad.cause, bad.pairs...), header("refusal_"+bad.name, abi.CodeNo, bad.cause, bad.pairs...))
	}
	return all
}
