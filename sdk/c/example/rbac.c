// The plugin rbac-gitops in miniature: which role may call which endpoint. Its
// configuration is a list of texts, a rule each, of which the first that covers
// method and path decides:
//
//	["POST,PUT /api/gitops/sync editor", "* /api/clusters/*/nodes/** admin"]
//
// A "*" in a path is one segment, a final "/**" that path and all below. The
// roles are viewer, editor and admin, each including those before it.
#include "../authhost.h"

#define MAX_RULES 64
#define MAX_TEXT 8192 // bytes, of the configuration

static struct { ah_text methods, path; uint32_t need; } rules[MAX_RULES];
static uint32_t count;
static char text[MAX_TEXT]; // what the rules are views of

static const ah_text roles[] = {{"viewer", 6}, {"editor", 6}, {"admin", 5}};
static const ah_text refusals[] = {{"needs viewer", 12}, {"needs editor", 12}, {"needs admin", 11}};
#define ROLES (sizeof roles / sizeof roles[0])

// cut splits a text at the first c and returns what was before it.
static ah_text cut(ah_text *t, char c) {
	ah_text before = {t->at, 0};
	while (before.length < t->length && t->at[before.length] != c) before.length++;
	uint32_t gone = before.length < t->length ? before.length + 1 : before.length;
	t->at += gone;
	t->length -= gone;
	return before;
}

// parse_rule reads "methods path role".
static bool parse_rule(ah_text rule) {
	ah_text methods = cut(&rule, ' '), path = cut(&rule, ' ');
	if (count == MAX_RULES || methods.length == 0 || path.length == 0 || path.at[0] != '/') return false;
	for (uint32_t role = 0; role < ROLES; role++)
		if (ah_equal(rule, roles[role])) {
			rules[count].methods = methods;
			rules[count].path = path;
			rules[count++].need = role;
			return true;
		}
	return false;
}

// configure reads a JSON list of texts that have no escapes.
static ah_text configure(ah_text config) {
	if (config.length > MAX_TEXT) return AH("more than 8192 bytes of configuration");
	__builtin_memcpy(text, config.at, config.length);
	ah_text rest = {text, config.length};
	count = 0;
	ah_text head = cut(&rest, '"');
	while (ah_is(head, "[") || ah_is(head, ",")) {
		ah_text rule = cut(&rest, '"'), backslash = rule;
		if (cut(&backslash, '\\').length < rule.length || !parse_rule(rule))
			return AH("a rule is not \"METHODS /PATH ROLE\"");
		head = cut(&rest, '"');
	}
	if (!ah_is(head, "]") || count == 0) return AH("a list of rules is needed");
	return AH("");
}

static bool covers_method(ah_text methods, ah_text method) {
	if (ah_is(methods, "*")) return true;
	while (methods.length > 0)
		if (ah_equal(cut(&methods, ','), method)) return true;
	return false;
}

static bool covers_path(ah_text pattern, ah_text path) {
	uint32_t j = 0;
	for (uint32_t i = 0;;) {
		ah_text left = {pattern.at + i, pattern.length - i};
		if (ah_is(left, "/**")) return j == path.length || path.at[j] == '/';
		if (left.length == 0 || j == path.length) return left.length == 0 && j == path.length;
		if (left.at[0] != path.at[j++]) return false;
		i++;
		if (left.at[0] == '/' && left.length > 1 && left.at[1] == '*') { // a whole segment
			uint32_t start = j;
			while (j < path.length && path.at[j] != '/') j++;
			if (j == start) return false;
			i++;
		}
	}
}

static ah_decision decide(void) {
	ah_text method = ah_method(), path = ah_path();
	for (uint32_t i = 0; i < count; i++) {
		if (!covers_method(rules[i].methods, method) || !covers_path(rules[i].path, path)) continue;
		for (uint32_t role = rules[i].need; role < ROLES; role++)
			if (ah_has_role(roles[role])) return ah_allow();
		return ah_deny(refusals[rules[i].need]);
	}
	return ah_abstain();
}

AH_CONFIGURE(configure)
AH_ON_AUTHORIZE(decide)
