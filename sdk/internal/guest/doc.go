// Package guest is the SDK's side of ABI version 1: the shared buffer, the
// frame that comes in it, the answer that goes back in it, and the functions
// that the host offers.
//
// Everything in it is static and there is one call at a time, so that a
// decision allocates nothing. The WebAssembly imports and exports are in files
// of their own; all else compiles and is tested natively, where the variable
// Host stands in for the host.
//
// It owns no hook: the packages authorize, credential, login, logout and
// configure each export theirs.
package guest

// Hook numbers.
const (
	Configure    = 1
	OnCredential = 2
	OnAuthorize  = 3
	OnLogin      = 4
	OnLogout     = 5
)

// Codes: what a hook returns beside its answer.
const (
	CodeGoOn = 0 // abstain, go on, ok
	CodeYes  = 1 // allow, next
	CodeNo   = 2 // deny, refuse, stop

	CodeFetch = 3 // fetch, and ask again
)

// Field numbers.
const (
	FieldMethod     = 1
	FieldScheme     = 2
	FieldHost       = 3
	FieldPath       = 4
	FieldRawPath    = 5
	FieldQuery      = 6
	FieldClient     = 7
	FieldTime       = 8
	FieldRoute      = 9
	FieldRealm      = 10
	FieldUserID     = 11
	FieldIssuer     = 12
	FieldSubject    = 13
	FieldRoles      = 14
	FieldGroups     = 15
	FieldEmail      = 16
	FieldSessionID  = 17
	FieldCredential = 18
	FieldExpires    = 19
	FieldCandidates = 32
	FieldIdle       = 40
	FieldAbsolute   = 41
	FieldEvent      = 48
	FieldWhy        = 49
	FieldByRank     = 50
	FieldByID       = 51
	FieldEnded      = 52
	FieldWhat       = 53
	FieldSessions   = 54
	FieldConfig     = 64

	FieldFetchStatus = 66
	FieldFetchBody   = 67
	FieldFetchBlob   = 68
	FieldFetchError  = 69
)

// Kinds of what get reads.
const (
	GetHeader = 1
	GetCookie = 2
	GetQuery  = 3
	GetClaim  = 4
	GetField  = 5
)

// Levels of the log.
const (
	LogDebug = 0
	LogInfo  = 1
	LogWarn  = 2
	LogError = 3
)

// Answer fields and bounds.
const (
	answerStatus    = 1
	answerReason    = 2
	answerHeader    = 3
	answerCandidate = 4
	answerIdle      = 5
	answerAbsolute  = 6
	answerAttribute = 7
	answerCall      = 8
	answerRequest   = 9
	answerBlob      = 10

	maxAnswer = 16 << 10
	maxReason = 1024
)

// buffer is what host and guest share. It can hold any answer. Behind it is
// room for a look at 8 bytes where fewer are left.
var buffer [maxAnswer + 8]byte

// arena holds what get read during one call.
var arena [32 << 10]byte
