// authhost.h is the C SDK for authhost plugins, ABI version 1: abi/SPEC.md.
// Include it in the one C file that is the plugin.
//
//	static ah_decision decide(void) {
//		if (ah_is(ah_method(), "DELETE") && !ah_has_role(AH("admin")))
//			return ah_deny(AH("deleting needs admin"));
//		return ah_abstain();
//	}
//	AH_ON_AUTHORIZE(decide)
//
// There is one call at a time, so accessors need no handle. A text is a view
// of memory that the next call writes anew: it holds until the handler
// returns. Nothing is allocated; get values that the arena of 32 KiB has no
// room for take more memory once, which is used again. What must not be ends
// the call by ah_fail: the host answers 503 and throws the instance away.
#ifndef AUTHHOST_H
#define AUTHHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AH__STATIC static __attribute__((unused))
#define AH__EXPORT(name) __attribute__((export_name(name)))
#define AH__IMPORT(name) __attribute__((import_module("authhost"), import_name(name)))

// ---- Texts -----------------------------------------------------------------

// ah_text is a run of bytes without a final NUL. What a client sent, such as a
// path, need not be UTF-8. The zero value is the empty text.
typedef struct {
	const char *at;
	uint32_t length;
} ah_text;

// AH makes a text of a string literal; ah_is compares with one.
#define AH(literal) ((ah_text){"" literal, sizeof(literal) - 1})
#define ah_is(text, literal) ah_equal(text, AH(literal))

AH__STATIC uint32_t ah__u16(const char *b) { uint16_t n; __builtin_memcpy(&n, b, 2); return n; }
AH__STATIC uint32_t ah__u32(const char *b) { uint32_t n; __builtin_memcpy(&n, b, 4); return n; }
AH__STATIC uint64_t ah__u64(const char *b) { uint64_t n; __builtin_memcpy(&n, b, 8); return n; }

// ah_equal compares eight bytes at a time, the last eight perhaps twice: a
// loop is the most expensive thing that a metered guest can do.
AH__STATIC bool ah_equal(ah_text a, ah_text b) {
	if (a.length != b.length) return false;
	uint32_t at = 0;
	if (a.length >= 8) {
		for (; at < a.length - 8; at += 8)
			if (ah__u64(a.at + at) != ah__u64(b.at + at)) return false;
		return ah__u64(a.at + a.length - 8) == ah__u64(b.at + a.length - 8);
	}
	for (; at < a.length; at++)
		if (a.at[at] != b.at[at]) return false;
	return true;
}

// ---- The host --------------------------------------------------------------

AH__IMPORT("get") int32_t ah__host_get(uint32_t kind, const char *name, uint32_t name_length, uint32_t index, char *at, uint32_t capacity);
AH__IMPORT("log") void ah__host_log(uint32_t level, const char *at, uint32_t length);
AH__IMPORT("metric") void ah__host_metric(const char *name, uint32_t name_length, int64_t delta);
AH__IMPORT("session_get") int32_t ah__host_session_get(const char *name, uint32_t name_length, char *at, uint32_t capacity);
AH__IMPORT("session_set") int32_t ah__host_session_set(const char *name, uint32_t name_length, const char *old, int32_t old_length, const char *next, int32_t next_length);
AH__IMPORT("kv_get") int32_t ah__host_kv_get(const char *key, uint32_t key_length, char *at, uint32_t capacity);
AH__IMPORT("kv_set") int32_t ah__host_kv_set(const char *key, uint32_t key_length, const char *old, int32_t old_length, const char *next, int32_t next_length, int64_t ttl);
AH__IMPORT("kv_add") int32_t ah__host_kv_add(const char *key, uint32_t key_length, int64_t delta, int64_t ttl, int64_t *sum);
AH__IMPORT("fetch") void ah__host_fetch(void);

enum { AH_DEBUG = 0, AH_INFO = 1, AH_WARN = 2, AH_ERROR = 3 };

// ah_log writes a line to the host's log, which adds the plugin's name.
AH__STATIC void ah_log(uint32_t level, ah_text line) { ah__host_log(level, line.at, line.length); }

// ah_fail ends the call, and the instance with it.
__attribute__((noreturn)) AH__STATIC void ah_fail(ah_text why) {
	ah_log(AH_ERROR, why);
	__builtin_trap();
}

#define AH__ANSWER 16384 // bytes, the longest answer
#define AH__REASON 1024  // bytes, the longest reason

static char ah__buffer[AH__ANSWER]; // shared with the host
static char ah__out[AH__ANSWER];    // an answer is laid out here: its texts may be views of the buffer

AH__EXPORT("authhost_abi_v1") void ah__marker(void) {}
AH__EXPORT("authhost_buffer") uint64_t ah__share(void) { return (uint64_t)(uintptr_t)ah__buffer << 32 | sizeof ah__buffer; }

// ---- The frame -------------------------------------------------------------

enum {
	AH__HEAD = 8,   // u16 hook, u16 count, u32 length
	AH__ENTRY = 12, // u16 field, u16 flags, u32 offset, u32 length
	AH__LAZY = 1,
	AH__PAGE = 65536,
};

static struct {
	uint32_t length, table; // of the frame; where its table ends
	uint32_t used;          // of the arena
	struct { char *at; uint32_t size, used; } more; // memory beyond the arena
	// Lazy fields that were read: a plugin may ask for the roles again and again.
	struct { uint32_t id; ah_text value; } fetched[4];
	uint32_t count;
	uint16_t hints[256]; // where in the table each field was last
} ah__call;

static char ah__arena[32 << 10];
static bool ah__asks; // whether something is to be fetched

static __attribute__((noreturn)) void ah__malformed(void) { ah_fail(AH("authhost: malformed frame")); }

AH__STATIC void ah__begin(uint32_t hook, uint32_t length) {
	if (length < AH__HEAD || length > sizeof ah__buffer || ah__u32(ah__buffer + 4) != length) ah__malformed();
	ah__call.length = length;
	ah__call.table = AH__HEAD + ah__u16(ah__buffer + 2) * AH__ENTRY;
	ah__call.used = ah__call.more.used = ah__call.count = 0;
	ah__asks = false;
	if (ah__call.table > length) ah__malformed();
	if (ah__u16(ah__buffer) != hook) ah_fail(AH("authhost: a frame of another hook"));
}

// ah__room returns room for a value that the arena has none for. Memory is
// taken so that another call like this one, and then some, does with it.
AH__STATIC char *ah__room(uint32_t n) {
	if (n > ah__call.more.size - ah__call.more.used) {
		uint32_t want = ah__call.more.used + n;
		if (want < 2 * ah__call.more.size) want = 2 * ah__call.more.size;
		uint32_t pages = (want - 1) / AH__PAGE + 1;
		size_t end = __builtin_wasm_memory_grow(0, pages);
		if (end == (size_t)-1) ah_fail(AH("authhost: out of memory"));
		ah__call.more.at = (char *)(end * AH__PAGE);
		ah__call.more.size = pages * AH__PAGE;
		ah__call.more.used = 0;
	}
	ah__call.more.used += n;
	return ah__call.more.at + ah__call.more.used - n;
}

AH__STATIC bool ah__get(uint32_t kind, ah_text name, uint32_t index, ah_text *value) {
	char *at = ah__arena + ah__call.used;
	uint32_t room = sizeof ah__arena - ah__call.used;
	int32_t n = ah__host_get(kind, name.at, name.length, index, at, room);
	*value = (ah_text){0, 0};
	if (n < 0) return false;
	if ((uint32_t)n > room) {
		at = ah__room((uint32_t)n);
		if (ah__host_get(kind, name.at, name.length, index, at, (uint32_t)n) != n)
			ah_fail(AH("authhost: the host gives another length than it said"));
	} else {
		ah__call.used += (uint32_t)n;
	}
	*value = (ah_text){at, (uint32_t)n};
	return true;
}

// ah__take returns room that lasts as long as the call.
AH__STATIC char *ah__take(uint32_t n) {
	if (n > sizeof ah__arena - ah__call.used) return ah__room(n);
	ah__call.used += n;
	return ah__arena + ah__call.used - n;
}

AH__STATIC ah_text ah__join(const ah_text *parts, uint32_t count) {
	uint32_t n = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (parts[i].length > (64u << 20) - n) ah_fail(AH("authhost: out of memory"));
		n += parts[i].length;
	}
	char *at = ah__take(n), *to = at;
	for (uint32_t i = 0; i < count; to += parts[i++].length) __builtin_memcpy(to, parts[i].at, parts[i].length);
	return (ah_text){at, n};
}

// ah_join puts texts together: ah_join(AH("https://a.example/"), ah_user_id()).
// In the middle of a call: what comes of it holds as long as other texts do.
#define ah_join(...) ah__join((const ah_text[]){__VA_ARGS__}, sizeof((const ah_text[]){__VA_ARGS__}) / sizeof(ah_text))

// ah_decimal writes a number in digits, likewise.
AH__STATIC ah_text ah_decimal(uint64_t n) {
	uint32_t length = 1;
	for (uint64_t rest = n; rest >= 10; rest /= 10) length++;
	char *at = ah__take(length);
	for (uint32_t i = length; i > 0; n /= 10) at[--i] = (char)('0' + n % 10);
	return (ah_text){at, length};
}

AH__STATIC ah_text ah__lazy(uint32_t id) {
	for (uint32_t i = 0; i < ah__call.count; i++)
		if (ah__call.fetched[i].id == id) return ah__call.fetched[i].value;
	ah_text value;
	if (!ah__get(5, AH(""), id, &value)) ah_fail(AH("authhost: the host does not give a field of its own frame"));
	if (ah__call.count < sizeof ah__call.fetched / sizeof ah__call.fetched[0]) {
		ah__call.fetched[ah__call.count].id = id;
		ah__call.fetched[ah__call.count++].value = value;
	}
	return value;
}

// ah__field returns a field's bytes, lazy or not; empty, and nowhere, if absent.
AH__STATIC ah_text ah__field(uint32_t id) {
	const char *frame = ah__buffer;
	uint32_t at = ah__call.hints[id & 255];
	if (at < AH__HEAD || at >= ah__call.table || ah__u16(frame + at) != id) {
		for (at = AH__HEAD; at < ah__call.table && ah__u16(frame + at) != id;) at += AH__ENTRY;
		if (at == ah__call.table) return (ah_text){0, 0};
		ah__call.hints[id & 255] = (uint16_t)at;
	}
	if (ah__u16(frame + at + 2) & AH__LAZY) return ah__lazy(id);
	uint32_t start = ah__u32(frame + at + 4), length = ah__u32(frame + at + 8);
	if (start < ah__call.table || start > ah__call.length || length > ah__call.length - start) ah__malformed();
	return (ah_text){frame + start, length};
}

AH__STATIC uint64_t ah__number(uint32_t id) {
	ah_text value = ah__field(id);
	if (value.at == 0) return 0;
	if (value.length != 8) ah__malformed();
	return ah__u64(value.at);
}

// ---- The request -----------------------------------------------------------

AH__STATIC ah_text ah_method(void) { return ah__field(1); }   // an upper-case token
AH__STATIC ah_text ah_scheme(void) { return ah__field(2); }   // http or https
AH__STATIC ah_text ah_host(void) { return ah__field(3); }     // lower case, no port, no final dot
AH__STATIC ah_text ah_path(void) { return ah__field(4); }     // decoded once: the one to judge
AH__STATIC ah_text ah_raw_path(void) { return ah__field(5); } // as it will be forwarded
AH__STATIC ah_text ah_query(void) { return ah__field(6); }    // without "?" and credentials
AH__STATIC ah_text ah_client(void) { return ah__field(7); }   // the client's IP address
AH__STATIC uint64_t ah_time(void) { return ah__number(8); }   // Unix seconds
AH__STATIC ah_text ah_route(void) { return ah__field(9); }    // the pattern of the route
AH__STATIC ah_text ah_realm(void) { return ah__field(10); }

// Of what repeats, index counts from 0. The result is false, and the value
// empty, for what is absent or may not be seen, such as a credential.
AH__STATIC bool ah_get_header(ah_text name, uint32_t index, ah_text *value) { return ah__get(1, name, index, value); }
AH__STATIC bool ah_get_cookie(ah_text name, uint32_t index, ah_text *value) { return ah__get(2, name, index, value); }
AH__STATIC bool ah_get_query(ah_text name, uint32_t index, ah_text *value) { return ah__get(3, name, index, value); }

// Whom the request is from; in on_authorize and on_login. All empty when it is
// anonymous. In on_logout, whose access has ended: the id, and if they are known
// issuer and subject.
AH__STATIC ah_text ah_user_id(void) { return ah__field(11); }
AH__STATIC bool ah_anonymous(void) { return ah_user_id().length == 0; }
AH__STATIC ah_text ah_issuer(void) { return ah__field(12); }
AH__STATIC ah_text ah_subject(void) { return ah__field(13); }
AH__STATIC ah_text ah_roles(void) { return ah__field(14); }      // for ah_next
AH__STATIC ah_text ah_groups(void) { return ah__field(15); }     // for ah_next
AH__STATIC ah_text ah_email(void) { return ah__field(16); }      // only a verified one
AH__STATIC ah_text ah_session_id(void) { return ah__field(17); } // the public id; in on_logout if one session ended
AH__STATIC ah_text ah_credential(void) { return ah__field(18); } // source/kind of the one that counted
AH__STATIC uint64_t ah_expires(void) { return ah__number(19); }  // Unix seconds, when the credential ends

// ah_get_claim reads a claim by its name or, beginning with "/", by its JSON
// Pointer: a string as it is, anything else as JSON.
AH__STATIC bool ah_get_claim(ah_text name, ah_text *value) { return ah__get(4, name, 0, value); }

// ah_next takes the first item off a list, and is false at its end:
//
//	for (ah_text role, roles = ah_roles(); ah_next(&roles, &role);)
AH__STATIC bool ah_next(ah_text *list, ah_text *item) {
	if (list->length == 0) return false;
	if (list->length < 4) ah__malformed();
	uint32_t n = ah__u32(list->at);
	if (n > list->length - 4) ah__malformed();
	*item = (ah_text){list->at + 4, n};
	list->at += 4 + n;
	list->length -= 4 + n;
	return true;
}

AH__STATIC bool ah__has(ah_text list, ah_text wanted) {
	for (ah_text item; ah_next(&list, &item);)
		if (ah_equal(item, wanted)) return true;
	return false;
}

AH__STATIC bool ah_has_role(ah_text role) { return ah__has(ah_roles(), role); }
AH__STATIC bool ah_has_group(ah_text group) { return ah__has(ah_groups(), group); }

// ---- Candidates, in on_credential ------------------------------------------

enum { AH_HEADER = 1, AH_COOKIE = 2, AH_QUERY = 3 };                         // source
enum { AH_NO_KIND = 0, AH_JWT = 1, AH_SESSION = 2, AH_ACCESS_TOKEN = 3 };    // kind
enum {                                                                       // verdict
	AH_UNTRIED = 0, AH_VALID = 1, AH_BAD_FORM = 2, AH_BAD_SIGNATURE = 3, AH_EXPIRED = 4,
	AH_NOT_YET_VALID = 5, AH_WRONG_ISSUER = 6, AH_WRONG_AUDIENCE = 7, AH_UNKNOWN = 8, AH_REVOKED = 9,
};

// ah_candidate is one credential of the request; its value is never shown.
typedef struct {
	uint8_t source, kind, verdict;
	ah_text name;    // of the header, cookie or query parameter
	ah_text user_id; // whom a properly signed one names, tried or not; else empty
} ah_candidate;

AH__STATIC ah_text ah__short(ah_text *rest) {
	if (rest->length < 2 || ah__u16(rest->at) > rest->length - 2) ah__malformed();
	ah_text text = {rest->at + 2, ah__u16(rest->at)};
	rest->at += 2 + text.length;
	rest->length -= 2 + text.length;
	return text;
}

// ah_candidates returns the list for ah_next_candidate, in the realm's order;
// the first is candidate 0.
AH__STATIC ah_text ah_candidates(void) { return ah__field(32); }

AH__STATIC bool ah_next_candidate(ah_text *list, ah_candidate *c) {
	ah_text item;
	if (!ah_next(list, &item)) return false;
	if (item.length < 4) ah__malformed();
	c->source = (uint8_t)item.at[0];
	c->kind = (uint8_t)item.at[1];
	c->verdict = (uint8_t)item.at[2];
	item.at += 4;
	item.length -= 4;
	c->name = ah__short(&item);
	c->user_id = ah__short(&item);
	return true;
}

// ---- Counters --------------------------------------------------------------

// AH_METRICS declares counters, which the host shows beside its own: 1 to 64 of
// a-z, 0-9 and _, at most 32 of a plugin. It stands once, beside the functions:
//
//	AH_METRICS(AH("denied"), AH("asked"))
#define AH_METRICS(...)                                                           \
	AH__EXPORT("_initialize") void ah__initialize(void) {                           \
		const ah_text names[] = {__VA_ARGS__};                                        \
		for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) ah_metric_add(names[i], 0); \
	}

// ah_metric_add adds n, which must not be negative, to a counter; one that was
// not declared fails the call.
AH__STATIC void ah_metric_add(ah_text name, int64_t n) { ah__host_metric(name.at, name.length, n); }
AH__STATIC void ah_metric_inc(ah_text name) { ah_metric_add(name, 1); }

// ---- What is kept ----------------------------------------------------------

// A key, or the name of an attribute, has 1 to 256 bytes, a value up to 4096;
// what is past that fails the call, as does a cache that does not answer: 503.
// Each call is a round trip or several. They work in the hooks, not in configure.
//
// The result of a change:
enum {
	AH_DONE = 1,   // it was made
	AH_OTHER = 0,  // nothing has changed, for the value was another
	AH_ENDED = -1, // of an attribute: there is no live session
	AH_FULL = -3,  // of a key: nothing has changed, for as many live as are granted
};

enum { AH__VALUE = 4096, AH__NONE = -1, AH__ANY = -2 };

// ah__space returns room for any value that is kept.
AH__STATIC char *ah__space(void) {
	return sizeof ah__arena - ah__call.used >= AH__VALUE ? ah__arena + ah__call.used : ah__room(AH__VALUE);
}

// ah__kept makes a text of what was read into that room, and gives back the rest.
AH__STATIC bool ah__kept(char *at, int32_t n, ah_text *value) {
	if (n > AH__VALUE) ah_fail(AH("authhost: a value of more than 4096 bytes"));
	uint32_t length = n < 0 ? 0 : (uint32_t)n;
	if (sizeof ah__arena - ah__call.used >= AH__VALUE) // as ah__space has it
		ah__call.used += length;
	else
		ah__call.more.used -= AH__VALUE - length;
	*value = (ah_text){at, length};
	return n >= 0;
}

// Attributes of the session that the request came in, shared by all plugins
// that are granted session. With a JWT alone there is no session.
AH__STATIC bool ah_session_get(ah_text name, ah_text *value) {
	char *at = ah__space();
	return ah__kept(at, ah__host_session_get(name.at, name.length, at, AH__VALUE), value);
}

// ah_session_create makes an attribute that is absent.
AH__STATIC int32_t ah_session_create(ah_text name, ah_text value) {
	return ah__host_session_set(name.at, name.length, 0, AH__NONE, value.at, (int32_t)value.length);
}

// ah_session_swap makes next the value of an attribute if its value is old.
AH__STATIC int32_t ah_session_swap(ah_text name, ah_text old, ah_text next) {
	return ah__host_session_set(name.at, name.length, old.at, (int32_t)old.length, next.at, (int32_t)next.length);
}

// ah_session_delete removes an attribute if its value is old.
AH__STATIC int32_t ah_session_delete(ah_text name, ah_text old) {
	return ah__host_session_set(name.at, name.length, old.at, (int32_t)old.length, 0, AH__NONE);
}

// Keys of the plugin's own, on all replicas, if kv is granted. They live for a
// time in milliseconds, 1 to 31 days.
#define AH_SECOND INT64_C(1000)
#define AH_MINUTE (60 * AH_SECOND)
#define AH_HOUR (60 * AH_MINUTE)
#define AH_DAY (24 * AH_HOUR)

AH__STATIC bool ah_kv_get(ah_text key, ah_text *value) {
	char *at = ah__space();
	return ah__kept(at, ah__host_kv_get(key.at, key.length, at, AH__VALUE), value);
}

// ah_kv_put makes value the value of a key, whatever it was: AH_DONE or AH_FULL.
AH__STATIC int32_t ah_kv_put(ah_text key, ah_text value, int64_t ttl) {
	return ah__host_kv_set(key.at, key.length, 0, AH__ANY, value.at, (int32_t)value.length, ttl);
}

// ah_kv_create makes a key that is absent: AH_DONE, AH_OTHER or AH_FULL.
AH__STATIC int32_t ah_kv_create(ah_text key, ah_text value, int64_t ttl) {
	return ah__host_kv_set(key.at, key.length, 0, AH__NONE, value.at, (int32_t)value.length, ttl);
}

// ah_kv_swap makes next the value of a key, and ttl count from now, if its value
// is old: AH_DONE or AH_OTHER.
AH__STATIC int32_t ah_kv_swap(ah_text key, ah_text old, ah_text next, int64_t ttl) {
	return ah__host_kv_set(key.at, key.length, old.at, (int32_t)old.length, next.at, (int32_t)next.length, ttl);
}

// ah_kv_delete removes a key, present or not.
AH__STATIC void ah_kv_delete(ah_text key) { ah__host_kv_set(key.at, key.length, 0, AH__ANY, 0, AH__NONE, 0); }

// ah_kv_delete_if removes a key if its value is old: AH_DONE or AH_OTHER.
AH__STATIC int32_t ah_kv_delete_if(ah_text key, ah_text old) {
	return ah__host_kv_set(key.at, key.length, old.at, (int32_t)old.length, 0, AH__NONE, 0);
}

// ah_kv_add adds delta to a number, kept as its decimal digits, with nobody in
// between. A key that is absent is made with ttl; one that is there keeps its
// time. AH_DONE, AH_FULL, or AH_OTHER: it is no number, or one to which this
// cannot be added. Unless it is done the sum is 0.
AH__STATIC int32_t ah_kv_add(ah_text key, int64_t delta, int64_t ttl, int64_t *sum) {
	int32_t r = ah__host_kv_add(key.at, key.length, delta, ttl, sum);
	if (r != AH_DONE) *sum = 0; // what the host has left there means nothing
	return r;
}

// ---- Headers and requests ---------------------------------------------------

#define AH_MAX_HEADERS 8

typedef struct {
	uint32_t count;
	struct { ah_text name, value; } list[AH_MAX_HEADERS];
} ah_headers;

AH__STATIC void ah__add_header(ah_headers *h, ah_text name, ah_text value) {
	if (h->count == AH_MAX_HEADERS) ah_fail(AH("authhost: more than 8 headers"));
	h->list[h->count].name = name;
	h->list[h->count++].value = value;
}

// ah_set_header sets a header. Of a decision: on the request that goes upstream,
// or with a deny on the answer to the client; the plugin's configuration must
// name it. A deny and a refused login may also set Retry-After and
// WWW-Authenticate. Of an ah_request: a header of that.
#define ah_set_header(to, name, value) ah__add_header(&(to)->headers, name, value)

// ah_request is what a plugin wants to have sent, if http is granted. A URL
// begins with https://, or http:// where the grant says private, and names a
// host that is granted. One that is no request fails the call.
typedef struct {
	ah_text method; // GET, HEAD, POST, PUT, PATCH or DELETE
	ah_text url;
	ah_text body;
	ah_text state; // what the handler wants to know again, up to 4096 bytes
	ah_headers headers;
} ah_request;

// ah_request_get returns a request for a URL.
AH__STATIC ah_request ah_request_get(ah_text url) { return (ah_request){.method = AH("GET"), .url = url}; }

// ah_request_post returns a request that sends a body of that type.
AH__STATIC ah_request ah_request_post(ah_text url, ah_text type, ah_text body) {
	ah_request r = {.method = AH("POST"), .url = url, .body = body};
	ah_set_header(&r, AH("Content-Type"), type);
	return r;
}

static ah_request ah__asked;

AH__STATIC uint32_t ah__fetch(ah_request r) {
	ah__host_fetch(); // does nothing: importing it declares that something is fetched
	ah__asked = r;
	ah__asks = true;
	return 3;
}

// ah_response is what came of a request.
typedef struct {
	uint32_t status; // 0: there was no answer. Redirects are not followed
	ah_text body;    // up to 64 KiB
	ah_text error;   // why there was no answer: refused, unreachable, timeout or too_large
	ah_text state;
} ah_response;

// ah_fetched says what came of the request that the handler wanted to have sent
// when it was asked before, and is false when it is asked for the first time.
// That may have been in another instance, so what it knows is in the state. There
// are at most 3 fetches for one request, of 5 seconds in all.
AH__STATIC bool ah_fetched(ah_response *got) {
	*got = (ah_response){0};
	if (ah__field(66).at == 0) return false;
	*got = (ah_response){(uint32_t)ah__number(66), ah__field(67), ah__field(69), ah__field(68)};
	return true;
}

// ---- Answers ---------------------------------------------------------------

static uint32_t ah__laid; // bytes of ah__out

AH__STATIC char *ah__lay(uint32_t n) {
	if (n > sizeof ah__out - ah__laid) ah_fail(AH("authhost: the answer is longer than 16384 bytes"));
	ah__laid += n;
	return ah__out + ah__laid - n;
}

AH__STATIC void ah__lay32(uint32_t n) { __builtin_memcpy(ah__lay(4), &n, 4); }
AH__STATIC void ah__lay_text(ah_text t) { __builtin_memcpy(ah__lay(t.length), t.at, t.length); }
AH__STATIC void ah__lay_head(uint32_t field, uint32_t length) { ah__lay32(field); ah__lay32(length); }

// ah__plain says whether all of a text is printable ASCII.
AH__STATIC bool ah__plain(ah_text t) {
	const uint64_t each = 0x0101010101010101;
	uint32_t at = 0;
	uint64_t odd = 0;
	if (t.length >= 8)
		for (; !odd && at < t.length; at += 8) {
			uint64_t x = ah__u64(t.at + (at > t.length - 8 ? t.length - 8 : at));
			odd = (x | (x + each) | (x - 0x20 * each)) & 0x80 * each;
		}
	for (; !odd && at < t.length; at++) odd = t.at[at] < 0x20 || t.at[at] > 0x7e;
	return !odd;
}

// ah__rune reads a character; the length of what is not UTF-8 is 0.
AH__STATIC uint32_t ah__rune(ah_text t, uint32_t *length) {
	const uint8_t *b = (const uint8_t *)t.at;
	uint32_t n = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : b[0] < 0xf5 ? 4 : 0;
	uint32_t rune = n < 2 ? b[0] : b[0] & (0x7f >> n);
	*length = 0;
	if (n == 0 || n > t.length) return 0;
	for (uint32_t i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80) return 0;
		rune = rune << 6 | (b[i] & 0x3f);
	}
	if ((n == 3 && (rune < 0x800 || (rune >= 0xd800 && rune < 0xe000))) || (n == 4 && (rune < 0x10000 || rune > 0x10ffff))) return 0;
	*length = n;
	return rune;
}

// ah__lay_reason cuts a reason to what the host takes. A blank stands for a
// line end and a tab, U+FFFD for each byte or character that is no text:
// reasons often quote what a client sent, which must not fail the call.
AH__STATIC void ah__lay_reason(ah_text t) {
	if (t.length == 0) return;
	ah__lay_head(2, t.length);
	if (t.length <= AH__REASON && ah__plain(t)) {
		ah__lay_text(t);
		return;
	}
	uint32_t start = ah__laid;
	while (t.length > 0) {
		uint32_t length, r = ah__rune(t, &length);
		ah_text c = {t.at, length};
		if (r == '\n' || r == '\r' || r == '\t')
			c = AH(" ");
		else if (length == 0 || r < 0x20 || (0x7f <= r && r < 0xa0) || r == 0x2028 || r == 0x2029)
			c = AH("\xef\xbf\xbd");
		if (c.length > AH__REASON - (ah__laid - start)) break;
		ah__lay_text(c);
		if (length == 0) length = 1;
		t.at += length;
		t.length -= length;
	}
	uint32_t n = ah__laid - start;
	__builtin_memcpy(ah__out + start - 4, &n, 4);
}

// ah__lay_short lays out a text behind its length in 2 bytes.
AH__STATIC void ah__lay_short(ah_text t) {
	if (t.length > 0xffff) ah_fail(AH("authhost: a name or a URL longer than 65535 bytes"));
	char *b = ah__lay(2);
	b[0] = (char)t.length;
	b[1] = (char)(t.length >> 8);
	ah__lay_text(t);
}

// ah__lay_pair lays out a header or an attribute.
AH__STATIC void ah__lay_pair(uint32_t field, ah_text name, ah_text value) {
	ah__lay_head(field, 2 + name.length + value.length);
	ah__lay_short(name);
	ah__lay_text(value);
}

AH__STATIC void ah__lay_headers(const ah_headers *h) {
	for (uint32_t i = 0; i < h->count; i++) ah__lay_pair(3, h->list[i].name, h->list[i].value);
}

AH__STATIC void ah__lay_status(uint32_t status) {
	if (status == 0) return;
	ah__lay_head(1, 4);
	ah__lay32(status);
}

AH__STATIC void ah__lay_moment(uint32_t field, uint64_t ms) {
	if (ms == 0) return;
	ah__lay_head(field, 8);
	ah__lay32((uint32_t)ms);
	ah__lay32((uint32_t)(ms >> 32));
}

AH__STATIC void ah__lay_request(uint32_t field, const ah_request *r) {
	ah__lay_head(field, 0);
	uint32_t start = ah__laid;
	ah__lay_short(r->method);
	ah__lay_short(r->url);
	char *b = ah__lay(2);
	b[0] = (char)r->headers.count;
	b[1] = 0;
	for (uint32_t i = 0; i < r->headers.count; i++) {
		ah__lay_short(r->headers.list[i].name);
		ah__lay_short(r->headers.list[i].value);
	}
	ah__lay_text(r->body);
	uint32_t n = ah__laid - start;
	__builtin_memcpy(ah__out + start - 4, &n, 4);
}

AH__STATIC uint64_t ah__finish(uint32_t code) {
	if (ah__asks && code == 3) {
		ah__lay_request(9, &ah__asked);
		if (ah__asked.state.length > 0) {
			ah__lay_head(10, ah__asked.state.length);
			ah__lay_text(ah__asked.state);
		}
	}
	__builtin_memcpy(ah__buffer, ah__out, ah__laid);
	return (uint64_t)ah__laid << 32 | code;
}

// ---- Hook on_authorize: may the request pass? ------------------------------

// ah_decision is a handler's answer, a plain value. The zero value abstains.
typedef struct {
	uint32_t code;
	uint32_t status; // with a deny: 401, 403, 404 or 429; 0: 403, or 401 of an anonymous request
	ah_text reason;  // of a deny it is shown to the client, of others it is for the log
	ah_headers headers;
} ah_decision;

// ah_abstain leaves the decision to the plugins that follow and to the route.
AH__STATIC ah_decision ah_abstain(void) { return (ah_decision){.code = 0}; }

// ah_allow lets the request pass unless a plugin that follows denies it.
AH__STATIC ah_decision ah_allow(void) { return (ah_decision){.code = 1}; }

// ah_deny refuses the request and ends the chain.
AH__STATIC ah_decision ah_deny(ah_text reason) { return (ah_decision){.code = 2, .reason = reason}; }

// ah_fetch has something fetched and the handler asked again, which finds it by
// ah_fetched.
AH__STATIC ah_decision ah_fetch(ah_request r) { return (ah_decision){.code = ah__fetch(r)}; }

AH__STATIC uint64_t ah__decide(const ah_decision *d) {
	ah__laid = 0;
	ah__lay_status(d->status);
	ah__lay_reason(d->reason);
	ah__lay_headers(&d->headers);
	return ah__finish(d->code);
}

// AH_ON_AUTHORIZE declares the hook; its handler is ah_decision handler(void).
#define AH_ON_AUTHORIZE(handler)                                    \
	AH__EXPORT("on_authorize") uint64_t ah__on_authorize(uint32_t length) { \
		ah__begin(3, length);                                           \
		ah_decision d = handler();                                      \
		return ah__decide(&d);                                          \
	}

// ---- Hook on_credential: a credential failed, which is to be tried next? ----

// ah_choice is a handler's answer. The zero value abstains.
typedef struct {
	uint32_t code, candidate;
	ah_text reason; // for the log
} ah_choice;

// ah_pass leaves the choice to the plugins that follow. If all do, it is 401.
AH__STATIC ah_choice ah_pass(void) { return (ah_choice){0, 0, {0, 0}}; }

// ah_try has the host try that candidate next, which must be untried.
AH__STATIC ah_choice ah_try(uint32_t candidate) { return (ah_choice){1, candidate, {0, 0}}; }

// ah_stop refuses the request with 401, whatever other plugins would say.
AH__STATIC ah_choice ah_stop(void) { return (ah_choice){2, 0, {0, 0}}; }

// ah_fetch_to_choose is ah_fetch for this hook.
AH__STATIC ah_choice ah_fetch_to_choose(ah_request r) { return (ah_choice){ah__fetch(r), 0, {0, 0}}; }

// AH_ON_CREDENTIAL declares the hook; its handler is ah_choice handler(void).
#define AH_ON_CREDENTIAL(handler)                                     \
	AH__EXPORT("on_credential") uint64_t ah__on_credential(uint32_t length) { \
		ah__begin(2, length);                                             \
		ah_choice c = handler();                                          \
		ah__laid = 0;                                                     \
		ah__lay_reason(c.reason);                                         \
		if (c.code == 1) {                                                \
			ah__lay_head(4, 4);                                             \
			ah__lay32(c.candidate);                                         \
		}                                                                 \
		return ah__finish(c.code);                                        \
	}

// ---- Hook on_login: a client with a valid JWT wants a session; may it? -------

// The deadlines that the session would have, in Unix milliseconds: it ends then
// unless it is used, and in any case.
AH__STATIC uint64_t ah_idle(void) { return ah__number(40); }
AH__STATIC uint64_t ah_absolute(void) { return ah__number(41); }

#define AH_MAX_ATTRIBUTES 64

// ah_admission is a handler's answer. The zero value goes on.
typedef struct {
	uint32_t code;
	uint32_t status; // of a refusal: 401, 403 or 429; 0: 403
	ah_text reason;  // of a refusal it is shown to the client, else it is for the log
	ah_headers headers; // of a refusal
	// Earlier deadlines, in Unix milliseconds, of a session that is agreed to; 0:
	// as they are. With an earlier idle deadline it may never lie unused longer.
	uint64_t idle, absolute;
	uint32_t count;
	struct { ah_text name, value; } attributes[AH_MAX_ATTRIBUTES];
} ah_admission;

// ah_go_on agrees to the session, unless a plugin that follows refuses it.
AH__STATIC ah_admission ah_go_on(void) { return (ah_admission){.code = 0}; }

// ah_refuse refuses it and ends the chain.
AH__STATIC ah_admission ah_refuse(ah_text reason) { return (ah_admission){.code = 2, .reason = reason}; }

// ah_fetch_to_admit is ah_fetch for this hook.
AH__STATIC ah_admission ah_fetch_to_admit(ah_request r) { return (ah_admission){.code = ah__fetch(r)}; }

// ah_set_attribute has a session that is agreed to remember a value under a name
// of 1 to 256 bytes, set once by one plugin; it holds 4096 bytes in all.
AH__STATIC void ah_set_attribute(ah_admission *a, ah_text name, ah_text value) {
	if (a->count == AH_MAX_ATTRIBUTES) ah_fail(AH("authhost: more than 64 attributes"));
	a->attributes[a->count].name = name;
	a->attributes[a->count++].value = value;
}

AH__STATIC uint64_t ah__admit(const ah_admission *a) {
	ah__laid = 0;
	ah__lay_status(a->status);
	ah__lay_reason(a->reason);
	ah__lay_headers(&a->headers);
	ah__lay_moment(5, a->idle);
	ah__lay_moment(6, a->absolute);
	for (uint32_t i = 0; i < a->count; i++) ah__lay_pair(7, a->attributes[i].name, a->attributes[i].value);
	return ah__finish(a->code);
}

// AH_ON_LOGIN declares the hook; its handler is ah_admission handler(void).
#define AH_ON_LOGIN(handler)                                    \
	AH__EXPORT("on_login") uint64_t ah__on_login(uint32_t length) { \
		ah__begin(4, length);                                       \
		ah_admission a = handler();                                 \
		return ah__admit(&a);                                       \
	}

// ---- Hook on_logout: access has ended, who is to be told? --------------------

// The end, which cannot be undone. The handler may be asked of the same end
// again: its id tells. There is no request.
AH__STATIC ah_text ah_event_id(void) { return ah__field(48); }    // evt_…: no other end has it
AH__STATIC ah_text ah_why(void) { return ah__field(49); }         // logout, session_ended, logout_everywhere, deactivated, idle, absolute, token_ended or displaced
AH__STATIC ah_text ah_by_rank(void) { return ah__field(50); }     // self, realm_admin, operator, or host by a rule
AH__STATIC ah_text ah_by_id(void) { return ah__field(51); }       // user id or operator's name; empty for the host
AH__STATIC uint64_t ah_ended_at(void) { return ah__number(52); }  // Unix milliseconds
AH__STATIC ah_text ah_what(void) { return ah__field(53); }        // session, token (one JWT), or user: all there were
AH__STATIC ah_text ah_sessions(void) { return ah__field(54); }    // for ah_next: public ids of those that ended

#define AH_MAX_REQUESTS 8

// ah_messages is a handler's answer: what it wants sent. The zero value is
// nothing.
typedef struct {
	ah_text reason; // for the log
	uint32_t count;
	ah_request requests[AH_MAX_REQUESTS];
} ah_messages;

// ah_nothing has nothing sent.
AH__STATIC ah_messages ah_nothing(void) { return (ah_messages){.count = 0}; }

// ah_send has a request sent, until it is answered with 200 to 299, for a week,
// with the header Idempotency-Key. Its state counts for nothing.
AH__STATIC void ah_send(ah_messages *m, ah_request r) {
	if (m->count == AH_MAX_REQUESTS) ah_fail(AH("authhost: more than 8 requests"));
	ah__host_fetch(); // as in ah__fetch
	m->requests[m->count++] = r;
}

AH__STATIC uint64_t ah__tell(const ah_messages *m) {
	ah__laid = 0;
	ah__lay_reason(m->reason);
	for (uint32_t i = 0; i < m->count; i++) ah__lay_request(8, &m->requests[i]);
	return ah__finish(0);
}

// AH_ON_LOGOUT declares the hook; its handler is ah_messages handler(void).
#define AH_ON_LOGOUT(handler)                                     \
	AH__EXPORT("on_logout") uint64_t ah__on_logout(uint32_t length) { \
		ah__begin(5, length);                                         \
		ah_messages m = handler();                                    \
		return ah__tell(&m);                                          \
	}

// ---- Hook configure: every instance is handed its configuration, first ------

// AH_CONFIGURE declares the hook. Its handler, ah_text handler(ah_text config),
// is given the configuration as JSON and returns the empty text, or why it is
// refused; that is shown to the operator.
#define AH_CONFIGURE(handler)                                 \
	AH__EXPORT("configure") uint64_t ah__configure(uint32_t length) { \
		ah__begin(1, length);                                     \
		ah_text refused = handler(ah__field(64));                 \
		ah__laid = 0;                                             \
		ah__lay_reason(refused);                                  \
		return ah__finish(refused.length > 0 ? 2 : 0);            \
	}

#endif
