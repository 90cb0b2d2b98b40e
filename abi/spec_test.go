package abi_test

import (
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authhost/authhost/abi"
	"github.com/authhost/authhost/abi/internal/vectors"
	"github.com/authhost/authhost/host"
)

func spec(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The examples are vectors, and vectors are what the codec makes and reads.
func TestSpecExamplesAreVectors(t *testing.T) {
	want := map[string]string{}
	text := spec(t)
	frames, _ := vectors.Frames(t, "testdata")
	answers, _ := vectors.Answers(t, "testdata")
	for _, v := range frames[:2] {
		want[v.Name] = string(v.Hex)
	}
	for _, v := range answers[:3] {
		want[v.Name] = string(v.Hex)
		result := fmt.Sprintf("code %d and length %d, `0x%016x`", v.Code, len(v.Hex), uint64(v.Code)|uint64(len(v.Hex))<<32)
		if !strings.Contains(text, result) {
			t.Errorf("SPEC.md does not say: %s", result)
		}
	}
	got := map[string]string{}
	for _, block := range regexp.MustCompile("(?s)```hex ([^\n]+)\n(.*?)```").FindAllStringSubmatch(text, -1) {
		var b []byte
		for line := range strings.Lines(block[2]) {
			digits, _, _ := strings.Cut(line, ";")
			row, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
			if err != nil {
				t.Fatalf("%s: %s: %s", block[1], line, err)
			}
			b = append(b, row...)
		}
		got[block[1]] = string(b)
	}
	if len(got) != 5 || !maps.Equal(got, want) {
		t.Errorf("SPEC.md shows\n%x, want\n%x", got, want)
	}
}

// rows returns the first cells of the tables below a header line.
func rows(t *testing.T, header string, cells int) (list [][]string) {
	t.Helper()
	_, table, ok := strings.Cut(spec(t), "\n"+header)
	if !ok {
		t.Fatalf("SPEC.md has no table %q", header)
	}
	for i, line := range slices.Collect(strings.Lines(table)) {
		if i < 2 { // the rest of the header and the rule
			continue
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		row := strings.Split(line, "|")[1:]
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		list = append(list, row[:cells])
	}
	return list
}

// constants counts the constants of abi.go whose names begin so.
func constants(t *testing.T, prefix string) (n int) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "abi.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(node ast.Node) bool {
		if v, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, prefix) {
			n++
		}
		return true
	})
	return n
}

func TestSpecTables(t *testing.T) {
	for _, table := range []struct {
		header, prefix string
		want           []string
	}{
		{"| field | name | type | hooks |", "Field", []string{
			row(abi.FieldMethod, "method", "text", "2 3 4"),
			row(abi.FieldScheme, "scheme", "text", "2 3 4"),
			row(abi.FieldHost, "host", "text", "2 3 4"),
			row(abi.FieldPath, "path", "text", "2 3 4"),
			row(abi.FieldRawPath, "raw_path", "text", "2 3 4"),
			row(abi.FieldQuery, "query", "text", "2 3 4"),
			row(abi.FieldClient, "client", "text", "2 3 4"),
			row(abi.FieldTime, "time", "number", "2 3 4 5"),
			row(abi.FieldRoute, "route", "text", "2 3"),
			row(abi.FieldRealm, "realm", "text", "2 3 4 5"),
			row(abi.FieldUserID, "user_id", "text", "3 4 5"),
			row(abi.FieldIssuer, "issuer", "text", "3 4 5"),
			row(abi.FieldSubject, "subject", "text", "3 4 5"),
			row(abi.FieldRoles, "roles", "list", "3 4"),
			row(abi.FieldGroups, "groups", "list", "3 4"),
			row(abi.FieldEmail, "email", "text", "3 4"),
			row(abi.FieldSessionID, "session_id", "text", "3 5"),
			row(abi.FieldCredential, "credential", "text", "3 4"),
			row(abi.FieldExpires, "expires", "number", "3 4"),
			row(abi.FieldCandidates, "candidates", "list", "2"),
			row(abi.FieldIdle, "idle", "number", "4"),
			row(abi.FieldAbsolute, "absolute", "number", "4"),
			row(abi.FieldEvent, "event_id", "text", "5"),
			row(abi.FieldWhy, "why", "text", "5"),
			row(abi.FieldByRank, "by_rank", "text", "5"),
			row(abi.FieldByID, "by_id", "text", "5"),
			row(abi.FieldEnded, "ended", "number", "5"),
			row(abi.FieldWhat, "what", "text", "5"),
			row(abi.FieldSessions, "sessions", "list", "5"),
			row(abi.FieldConfig, "config", "text", "1"),
			row(abi.FieldFetchStatus, "fetch_status", "number", "2 3 4"),
			row(abi.FieldFetchBody, "fetch_body", "text", "2 3 4"),
			row(abi.FieldFetchBlob, "fetch_blob", "text", "2 3 4"),
			row(abi.FieldFetchError, "fetch_error", "text", "2 3 4"),
		}},
		{"| field | name | value |", "Answer", []string{
			row(abi.AnswerStatus, "status", "4-byte number: 401, 403, 404 or 429"),
			row(abi.AnswerReason, "reason", fmt.Sprintf("text of 1 to %d bytes, one line", abi.MaxReason)),
			row(abi.AnswerHeader, "header", "length of the name in 2 bytes, name, value"),
			row(abi.AnswerCandidate, "candidate", "4-byte number"),
			row(abi.AnswerIdle, "idle", "8-byte number: Unix milliseconds"),
			row(abi.AnswerAbsolute, "absolute", "8-byte number: Unix milliseconds"),
			row(abi.AnswerAttribute, "attribute", "length of the name in 2 bytes, name, value"),
			row(abi.AnswerCall, "call", "a request, in the layout of what to fetch"),
			row(abi.AnswerRequest, "request", "what to fetch, see below"),
			row(abi.AnswerBlob, "blob", fmt.Sprintf("bytes, 1 to %d", abi.MaxBlob)),
		}},
		{"| kind | reads |", "Get", []string{
			row(abi.GetHeader, "request header"),
			row(abi.GetCookie, "request cookie"),
			row(abi.GetQuery, "query parameter"),
			row(abi.GetClaim, "claim of the JWT"),
			row(abi.GetField, "field of the frame"),
		}},
		{"| hook | number |", "", []string{
			"`configure` " + fmt.Sprint(int(abi.Configure)),
			"`on_credential` " + fmt.Sprint(int(abi.OnCredential)),
			"`on_authorize` " + fmt.Sprint(int(abi.OnAuthorize)),
			"`on_login` " + fmt.Sprint(int(abi.OnLogin)),
			"`on_logout` " + fmt.Sprint(int(abi.OnLogout)),
		}},
	} {
		var got []string
		for _, r := range rows(t, table.header, strings.Count(table.header, "|")-1) {
			got = append(got, strings.Join(r, " "))
		}
		if !slices.Equal(got, table.want) {
			t.Errorf("%s\n%q, want\n%q", table.header, got, table.want)
		}
		if n := constants(t, table.prefix); table.prefix != "" && n != len(table.want) {
			t.Errorf("%d constants begin with %s, the table has %d", n, table.prefix, len(table.want))
		}
	}
}

func row[T ~uint16 | ~uint32](number T, cells ...string) string {
	return fmt.Sprint(uint64(number)) + " " + strings.Join(cells, " ")
}

// Sources, kinds and verdicts have their numbers and names from package host.
func TestSpecNamesWhatTheHostNames(t *testing.T) {
	for header, name := range map[string]func(uint8) string{
		"| source |":  func(n uint8) string { return host.Source(n).String() },
		"| kind | |":  func(n uint8) string { return host.CredentialKind(n).String() },
		"| verdict |": func(n uint8) string { return host.Verdict(n).String() },
	} {
		var want, got []string
		for n := range uint8(255) {
			if s := name(n); s != "" {
				want = append(want, fmt.Sprint(n, " ", s))
			}
		}
		for _, r := range rows(t, header, 2) {
			got = append(got, strings.Join(r, " "))
		}
		if len(got) < 3 || !slices.Equal(got, want) {
			t.Errorf("%s %q, want %q", header, got, want)
		}
	}
}

// Why nothing was fetched is said alike within the host.
func TestWordsOfFetches(t *testing.T) {
	for ours, theirs := range map[string]string{
		abi.FetchRefused: host.FetchRefused, abi.FetchUnreachable: host.FetchUnreachable, abi.FetchTimeout: host.FetchTimeout, abi.FetchTooLarge: host.FetchTooLarge,
	} {
		if ours != theirs {
			t.Errorf("%s is %s", ours, theirs)
		}
	}
}

// So have the words for what ended, and why.
func TestSpecNamesEveryEnd(t *testing.T) {
	var got []string
	for _, r := range rows(t, "| why | |", 1) {
		got = append(got, r[0])
	}
	want := []string{host.WhyLogout, host.WhySession, host.WhyEverywhere, host.WhyDeactivated, host.WhyIdle, host.WhyAbsolute, host.WhyToken, host.WhyDisplaced}
	for i := range want {
		want[i] = "`" + want[i] + "`"
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, what := range []string{host.EndedSession, host.EndedToken, host.EndedUser} {
		if !strings.Contains(spec(t), "`"+what+"`") {
			t.Errorf("SPEC.md does not name %s", what)
		}
	}
}

// The bounds are in the text as numbers.
func TestSpecBounds(t *testing.T) {
	text := spec(t)
	for what, bound := range map[string]int{
		"`length` is %d or more":        abi.MinBuffer,
		"at most %d. The host":          abi.MaxAnswer,
		"up to %d times":                abi.MaxHeaders,
		"1 to %d bytes of an RFC":       abi.MaxHeaderName,
		"a value 0 to %d bytes":         abi.MaxHeaderValue,
		"a method of 1 to %d bytes":     abi.MaxMethod,
		"a URL of 1 to %d bytes":        abi.MaxURL,
		"at most %d times a call":       abi.MaxFetches,
		"The plugin ABI, version %d":    abi.Version,
		"what is absent is −%d":         -abi.Absent,
		"A name is 1 to %d of `a`":      abi.MaxMetricName,
		"has at most %d names":          abi.MaxCounters,
		"A key is 1 to %d bytes":        abi.MaxKey,
		"a value up to %d, any":         abi.MaxKeyValue,
		"1 to %d, which is 31 days":     abi.MaxTTL,
		"at most %d attributes":         host.MaxAttributes,
		"together at most %d bytes":     host.MaxAttributeBytes,
		"of −%d: whatever it is":        -abi.LengthAny,
		"−%d: there are as many":        -abi.SetFull,
		"`on_login`; up to %d times |":  abi.MaxAttributes,
		"`on_logout`; up to %d times |": abi.MaxCalls,
	} {
		if s := fmt.Sprintf(what, bound); !strings.Contains(text, s) {
			t.Errorf("SPEC.md does not say: %s", s)
		}
	}
	for _, name := range []string{abi.Marker, abi.BufferExport, abi.MarkerPrefix + "…", "`" + abi.HookPrefix + "…`",
		"`" + abi.ImportModule + "` `" + abi.ImportGet + "`", "`" + abi.ImportModule + "` `" + abi.ImportLog + "`",
		"`" + abi.ImportModule + "` `" + abi.ImportFetch + "`", "`" + abi.FetchRefused + "`", "`" + abi.FetchUnreachable + "`", "`" + abi.FetchTimeout + "`", "`" + abi.FetchTooLarge + "`",
		"`" + abi.ImportMetric + "` | `func (i32 i32 i64) -> ()`", "`" + abi.ImportSessionGet + "` | `func (i32 i32 i32 i32) -> (i32)`",
		"`" + abi.ImportSessionSet + "` | `func (i32 i32 i32 i32 i32 i32) -> (i32)`", "`" + abi.ImportKVGet + "` | `func (i32 i32 i32 i32) -> (i32)`",
		"`" + abi.ImportKVSet + "` | `func (i32 i32 i32 i32 i32 i32 i64) -> (i32)`", "`" + abi.ImportKVAdd + "` | `func (i32 i32 i64 i64 i32) -> (i32)`"} {
		if !strings.Contains(text, name) {
			t.Errorf("SPEC.md does not name %s", name)
		}
	}
	for h := abi.Configure; h <= abi.OnResponse; h++ {
		if !strings.Contains(text, "`"+h.String()+"`") {
			t.Errorf("SPEC.md does not name %s", h)
		}
	}
}
