// Package abi is the contract between authhost and its plugins, version 1:
// names, numbers and the two flat encodings that cross the sandbox wall, the
// frame that goes in and the answer that comes out. SPEC.md says the same in
// prose, to the byte.
//
// It owns no WebAssembly runtime, no policy and no I/O. Guest SDKs do not
// import it: each has a codec of its own, held to the vectors in testdata.
package abi

import "strconv"

// Version is the ABI version; a module names it by exporting [Marker].
const Version = 1

// Names that a module exports or imports.
const (
	Marker       = "authhost_abi_v1" // func(): never called
	MarkerPrefix = "authhost_abi_"   // any other marker is another version
	BufferExport = "authhost_buffer" // func() -> i64: pointer << 32 | length
	HookPrefix   = "on_"
	ImportModule = "authhost"
	ImportGet    = "get" // func(kind, name_ptr, name_len, index, ptr, cap i32) -> i32
	ImportLog    = "log" // func(level, ptr, len i32)

	ImportMetric     = "metric"      // func(name_ptr, name_len i32, delta i64)
	ImportSessionGet = "session_get" // func(name_ptr, name_len, ptr, cap i32) -> i32
	ImportSessionSet = "session_set" // func(name_ptr, name_len, old_ptr, old_len, new_ptr, new_len i32) -> i32
	ImportKVGet      = "kv_get"      // func(key_ptr, key_len, ptr, cap i32) -> i32
	ImportKVSet      = "kv_set"      // func(key_ptr, key_len, old_ptr, old_len, new_ptr, new_len i32, ttl i64) -> i32
	ImportKVAdd      = "kv_add"      // func(key_ptr, key_len i32, delta, ttl i64, sum_ptr i32) -> i32
	ImportFetch      = "fetch"       // func(): does nothing; importing it declares that the plugin calls out
)

// MinBuffer is the least length, in bytes, of the buffer a guest offers.
const MinBuffer = 4096

// Hook is a moment at which a plugin is asked.
type Hook uint16

// The hooks of version 1. Their numbers are part of the frame.
const (
	Configure    Hook = 1
	OnCredential Hook = 2
	OnAuthorize  Hook = 3
	OnLogin      Hook = 4
	OnLogout     Hook = 5
	OnResponse   Hook = 6
)

var hookNames = [...]string{
	Configure:    "configure",
	OnCredential: "on_credential",
	OnAuthorize:  "on_authorize",
	OnLogin:      "on_login",
	OnLogout:     "on_logout",
	OnResponse:   "on_response",
}

// String returns the name of the export that answers the hook.
func (h Hook) String() string {
	if int(h) < len(hookNames) && h != 0 {
		return hookNames[h]
	}
	return "unknown"
}

// HookByName returns the hook that the export of that name answers.
func HookByName(name string) (Hook, bool) {
	for h, n := range hookNames {
		if h != 0 && n == name {
			return Hook(h), true
		}
	}
	return 0, false
}

// Code is what a hook returns in the low 32 bits of its result.
type Code uint32

// What each hook means by a code:
//
//	              0          1      2       3
//	configure     ok         -      refuse  -
//	on_credential abstain    next   stop    fetch
//	on_authorize  abstain    allow  deny    fetch
//	on_login      go on      -      refuse  fetch
//	on_logout     ok         -      -       -
const (
	CodeGoOn  Code = 0
	CodeYes   Code = 1
	CodeNo    Code = 2
	CodeFetch Code = 3
)

// Fetches says whether the hook may have something fetched and be asked again.
func (h Hook) Fetches() bool { return h == OnCredential || h == OnAuthorize || h == OnLogin }

// MaxFetches is how often a hook may do so in one call.
const MaxFetches = 3

// What FieldFetchError says.
const (
	FetchRefused     = "refused"     // not granted, not allowed, or of the wrong form
	FetchUnreachable = "unreachable" // no name, no connection, no trust, no HTTP
	FetchTimeout     = "timeout"
	FetchTooLarge    = "too_large" // the answer
)

// Field identifies one field of a frame.
type Field uint16

// Frame fields. A text is bytes, UTF-8 unless the client sent something else;
// a number is an unsigned 64-bit integer; a list is each item's 32-bit length
// and bytes in turn.
const (
	FieldMethod     Field = 1  // text
	FieldScheme     Field = 2  // text: http or https
	FieldHost       Field = 3  // text: lower case, no port, no final dot
	FieldPath       Field = 4  // text: decoded once, as judged
	FieldRawPath    Field = 5  // text: as it will be forwarded
	FieldQuery      Field = 6  // text: raw, without "?", credentials struck out
	FieldClient     Field = 7  // text: the client's IP address
	FieldTime       Field = 8  // number: Unix seconds
	FieldRoute      Field = 9  // text: the route's path pattern
	FieldRealm      Field = 10 // text
	FieldUserID     Field = 11 // text: absent for an anonymous request
	FieldIssuer     Field = 12 // text
	FieldSubject    Field = 13 // text
	FieldRoles      Field = 14 // list
	FieldGroups     Field = 15 // list
	FieldEmail      Field = 16 // text: only a verified one
	FieldSessionID  Field = 17 // text: the public id
	FieldCredential Field = 18 // text: source/kind, such as header/jwt
	FieldExpires    Field = 19 // number: Unix seconds, when the credential ends
	FieldCandidates Field = 32 // list of candidates, see AppendCandidate
	FieldIdle       Field = 40 // number: Unix milliseconds, the session's first idle deadline
	FieldAbsolute   Field = 41 // number: Unix milliseconds, its last moment
	FieldEvent      Field = 48 // text: evt_…, the id of the end of access
	FieldWhy        Field = 49 // text: one of a few words
	FieldByRank     Field = 50 // text: self, realm_admin, operator or host
	FieldByID       Field = 51 // text: absent if it was the host
	FieldEnded      Field = 52 // number: Unix milliseconds
	FieldWhat       Field = 53 // text: session, token or user
	FieldSessions   Field = 54 // list: public ids of the sessions that ended
	FieldConfig     Field = 64 // text: the plugin's configuration as JSON

	FieldFetchStatus Field = 66 // number: 0 if there was no answer
	FieldFetchBody   Field = 67 // text
	FieldFetchBlob   Field = 68 // text: what the plugin gave with its request
	FieldFetchError  Field = 69 // text: one of a few words, absent if there was an answer
)

// Get kinds: what the host function get reads.
const (
	GetHeader Kind = 1 // request header by name, repeats by index
	GetCookie Kind = 2 // request cookie by name, repeats by index
	GetQuery  Kind = 3 // query parameter by name, decoded, repeats by index
	GetClaim  Kind = 4 // claim by name or JSON Pointer: a string as it is, else JSON
	GetField  Kind = 5 // a field of the frame: no name, index is the field's number
)

// Kind selects what the host function get reads.
type Kind uint32

// Absent is what get returns for what is not there or not shown; an empty
// value is 0.
const Absent = -1

// What session_set, kv_set and kv_add return, besides Absent for a session that
// does not live.
const (
	SetDone  = 1
	SetOther = 0  // it was another value; for kv_add, none that it can add to
	SetFull  = -3 // there are as many keys as there may be
)

// Lengths that stand for no value.
const (
	LengthNone = -1 // absent; as a new value: delete
	LengthAny  = -2 // as kv_set's old value: whatever it is
)

// Bounds on what plugins keep and count.
const (
	MaxKey        = 256                   // bytes of a key, or of an attribute's name; 1 at least
	MaxKeyValue   = 4096                  // bytes
	MaxTTL        = 31 * 24 * 3600 * 1000 // milliseconds; 1 at least
	MaxCounters   = 32                    // names of a plugin
	MaxMetricName = 64                    // bytes; 1 at least
)

// Levels of the host function log.
const (
	LogDebug = 0
	LogInfo  = 1
	LogWarn  = 2
	LogError = 3
)

// AnswerField identifies one field of an answer.
type AnswerField uint16

// Answer fields.
const (
	AnswerStatus    AnswerField = 1 // 32-bit number: 401, 403, 404 or 429, with a deny
	AnswerReason    AnswerField = 2 // text: 1 to MaxReason bytes, one line
	AnswerHeader    AnswerField = 3 // 16-bit length of the name, name, value; repeats
	AnswerCandidate AnswerField = 4 // 32-bit number: which candidate to try, with next

	AnswerIdle      AnswerField = 5 // 64-bit number: Unix milliseconds
	AnswerAbsolute  AnswerField = 6 // 64-bit number: Unix milliseconds
	AnswerAttribute AnswerField = 7 // 16-bit length of the name, name, value; repeats
	AnswerCall      AnswerField = 8 // a request that is to be delivered, see ParseRequest; repeats

	AnswerRequest AnswerField = 9  // what to fetch, see ParseRequest
	AnswerBlob    AnswerField = 10 // text: 1 to MaxBlob bytes, with a request
)

// String returns the field's number and name, as errors show it.
func (f AnswerField) String() string {
	switch f {
	case AnswerStatus:
		return "1 (status)"
	case AnswerReason:
		return "2 (reason)"
	case AnswerHeader:
		return "3 (header)"
	case AnswerCandidate:
		return "4 (candidate)"
	case AnswerIdle:
		return "5 (idle)"
	case AnswerAbsolute:
		return "6 (absolute)"
	case AnswerAttribute:
		return "7 (attribute)"
	case AnswerCall:
		return "8 (call)"
	case AnswerRequest:
		return "9 (request)"
	case AnswerBlob:
		return "10 (blob)"
	}
	return strconv.Itoa(int(f))
}

// Bounds on an answer. One past any of them is an error of the plugin.
const (
	MaxAnswer      = 16 << 10 // bytes in all
	MaxReason      = 1024     // bytes
	MaxHeaders     = 32
	MaxHeaderName  = 128  // bytes
	MaxHeaderValue = 4096 // bytes
)
