package plugin_test

import (
	"testing"

	"github.com/authhost/authhost/abi"
)

func TestAttackPlugin_output(t *testing.T) { withstands(t, outputAttacks()) }

// outputAttacks answer what they may not.
func outputAttacks() []attack {
	returns := func(name string, result []byte, cause string) attack {
		return attack{name: name, answer: true, hooks: hooks, body: result, cause: cause}
	}
	answers := func(name string, code abi.Code, raw []byte, cause string, hooks ...string) attack {
		m := base()
		body := answering(&m, code, raw)
		return attack{name: name, answer: true, hooks: hooks, body: body, data: m.Data[dataAt], cause: cause}
	}
	header := func(name string, code abi.Code, cause string, pairs ...string) attack {
		var a abi.Answer
		for i := 0; i < len(pairs); i += 2 {
			a.Headers = append(a.Headers, abi.Header{Name: pairs[i], Value: pairs[i+1]})
		}
		return answers(name, code, abi.AppendAnswer(nil, a), cause, "on_authorize")
	}
	return []attack{
		returns("answer_longer_than_its_buffer", result(abi.CodeGoOn, bufferLen+1), "buffer of"),
		returns("answer_of_4_GiB", result(abi.CodeGoOn, 1<<32-1), "buffer of"),
		returns("answer_longer_than_the_host_takes", result(abi.CodeGoOn, abi.MaxAnswer+1), "are allowed"),
		returns("unknown_code", result(4, 0), "unknown code 4"),
		returns("unknown_code_of_32_bits", result(1<<32-1, 0), "unknown code"),
		answers("answer_of_garbage", abi.CodeGoOn, []byte("\xff\xff\xff\xff\xff\xff\xff\xff"), "answer field", hooks...),
		answers("header_where_none_may_be", abi.CodeNo, abi.AppendAnswer(nil, abi.Answer{Headers: []abi.Header{{Name: "X-Team", Value: "a"}}}), "answer field 3 (header)", "configure", "on_credential"),
		answers("status_200_in_a_deny", abi.CodeNo, abi.AppendAnswer(nil, abi.Answer{Status: 200}), "status 200", "on_authorize"),
		answers("candidate_where_none_may_be", abi.CodeYes, abi.AppendAnswer(nil, abi.Answer{HasCandidate: true}), "answer field 4 (candidate)", "on_authorize"),
		answers("candidate_that_is_none", abi.CodeYes, abi.AppendAnswer(nil, abi.Answer{Candidate: 2, HasCandidate: true}), "candidate 2 of 1", "on_credential"),
		{name: "code_that_configure_has_not", answer: true, hooks: hooks[:1], body: result(abi.CodeYes, 0), cause: "unknown code 1"},

		header("header_with_CR", abi.CodeYes, "control character", "X-Team", "a\rb"),
		header("header_with_LF", abi.CodeYes, "control character", "X-Team", "a\nSet-Cookie: b"),
		header("header_with_NUL", abi.CodeYes, "control character", "X-Team", "a\x00"),
		header("header_not_UTF-8", abi.CodeYes, "UTF-8", "X-Team", "\xff"),
		header("header_name_with_colon", abi.CodeYes, "answer field", "X-Team:", "a"),
		header("header_not_declared", abi.CodeYes, "X-Other is not declared", "X-Other", "a"),
		header("header_Host", abi.CodeYes, "Host is not declared", "host", "evil.example"),
		header("header_hop_by_hop", abi.CodeYes, "Connection is not declared", "Connection", "X-Auth-Request-User"),
		header("header_of_identity", abi.CodeYes, "is not declared", "x-auth-request-user", "root"),
		header("header_of_identity_on_a_deny", abi.CodeNo, "is not declared", "X-Auth-Request-User", "root"),
		header("header_Set-Cookie_on_a_deny", abi.CodeNo, "is not declared", "Set-Cookie", "a=b"),
		header("header_Retry-After_on_an_allow", abi.CodeYes, "is not declared", "Retry-After", "1"),
		header("header_twice", abi.CodeYes, "X-Team is set twice", "X-Team", "a", "x-team", "b"),
	}
}
