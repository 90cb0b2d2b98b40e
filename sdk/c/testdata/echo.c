// The echo guest of abi/conformance: its README says what it does.
#include "../authhost.h"

static void named(ah_text name, ah_text value) {
	if (value.length == 0) return;
	ah_log(AH_DEBUG, name);
	ah_log(AH_INFO, value);
}

static void number(ah_text name, uint64_t n) {
	char digits[20];
	uint32_t at = sizeof digits;
	for (; n > 0; n /= 10) digits[--at] = (char)('0' + n % 10);
	named(name, (ah_text){digits + at, sizeof digits - at});
}

static void items(ah_text name, ah_text list) {
	for (ah_text item; ah_next(&list, &item);) {
		ah_log(AH_DEBUG, name);
		ah_log(AH_INFO, item);
	}
}

static void request(void) {
	named(AH("method"), ah_method());
	named(AH("scheme"), ah_scheme());
	named(AH("host"), ah_host());
	named(AH("path"), ah_path());
	named(AH("raw_path"), ah_raw_path());
	named(AH("query"), ah_query());
	named(AH("client"), ah_client());
	number(AH("time"), ah_time());
	named(AH("route"), ah_route());
	named(AH("realm"), ah_realm());
}

static ah_text skip(ah_text t, uint32_t n) { return (ah_text){t.at + n, t.length - n}; }

static uint32_t decimal(ah_text t) {
	uint32_t n = 0;
	for (uint32_t i = 0; i < t.length; i++) n = 10 * n + (uint32_t)(t.at[i] - '0');
	return n;
}

// common carries out what both hooks know.
static void common(ah_text order) {
	ah_text value, name = skip(order, 3);
	uint32_t index = (uint32_t)(order.at[2] - '0');
	bool there = false;
	switch (order.at[0]) {
	case '!': ah_fail(AH("as told"));
	case 'l': ah_log((uint32_t)(order.at[1] - '0'), skip(order, 2)); return;
	case '?': break;
	default: ah_fail(AH("unknown order"));
	}
	switch (order.at[1]) {
	case '1': there = ah_get_header(name, index, &value); break;
	case '2': there = ah_get_cookie(name, index, &value); break;
	case '3': there = ah_get_query(name, index, &value); break;
	case '4': there = ah_get_claim(name, &value); break;
	}
	ah_log(AH_DEBUG, order);
	ah_log(there ? AH_INFO : AH_WARN, there ? value : AH(""));
}

static ah_decision authorize(void) {
	request();
	if (ah_anonymous()) ah_log(AH_DEBUG, AH("anonymous"));
	named(AH("user_id"), ah_user_id());
	named(AH("issuer"), ah_issuer());
	named(AH("subject"), ah_subject());
	items(AH("role"), ah_roles());
	items(AH("group"), ah_groups());
	named(AH("email"), ah_email());
	named(AH("session_id"), ah_session_id());
	named(AH("credential"), ah_credential());
	number(AH("expires"), ah_expires());

	ah_decision d = ah_abstain();
	ah_text order;
	for (uint32_t i = 0; ah_get_header(AH("X-Echo"), i, &order); i++) {
		ah_text rest = skip(order, 1);
		switch (order.at[0]) {
		case '=': d = order.at[1] == '0' ? ah_abstain() : order.at[1] == '1' ? ah_allow() : ah_deny(AH("")); break;
		case 's': d.status = decimal(rest); break;
		case 'r': d.reason = rest; break;
		case 'h': {
			uint32_t colon = 0;
			while (rest.at[colon] != ':') colon++;
			ah_set_header(&d, (ah_text){rest.at, colon}, skip(rest, colon + 1));
			break;
		}
		default: common(order);
		}
	}
	return d;
}
AH_ON_AUTHORIZE(authorize)

static ah_choice choose(void) {
	request();
	ah_candidate c;
	for (ah_text list = ah_candidates(); ah_next_candidate(&list, &c);) {
		ah_log(AH_DEBUG, AH("candidate"));
		number(AH("source"), c.source);
		number(AH("kind"), c.kind);
		number(AH("verdict"), c.verdict);
		named(AH("name"), c.name);
		named(AH("user_id"), c.user_id);
	}

	ah_choice choice = ah_pass();
	ah_text order;
	for (uint32_t i = 0; ah_get_header(AH("X-Echo"), i, &order); i++) {
		ah_text rest = skip(order, 1);
		switch (order.at[0]) {
		case '=': choice = order.at[1] == '0' ? ah_pass() : ah_stop(); break;
		case 'c': choice = ah_try(decimal(rest)); break;
		case 'r': choice.reason = rest; break;
		default: common(order);
		}
	}
	return choice;
}
AH_ON_CREDENTIAL(choose)

static ah_text configure(ah_text config) {
	named(AH("config"), config);
	ah_text start = {config.at, config.length < 7 ? config.length : 7};
	return ah_is(start, "refuse:") ? skip(config, 7) : AH("");
}
AH_CONFIGURE(configure)
