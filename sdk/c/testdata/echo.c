// The echo guest of abi/conformance: its README says what it does.
#include "../authhost.h"

static void named(ah_text name, ah_text value) {
	if (value.length == 0) return;
	ah_log(AH_DEBUG, name);
	ah_log(AH_INFO, value);
}

static void number(ah_text name, uint64_t n) {
	if (n > 0) named(name, ah_decimal(n));
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

static int64_t decimal(ah_text t) {
	bool minus = t.length > 0 && t.at[0] == '-';
	uint64_t n = 0;
	for (uint32_t i = minus; i < t.length; i++) n = 10 * n + (uint64_t)(t.at[i] - '0');
	return (int64_t)(minus ? -n : n);
}

// cut splits a text at the first c, which it may lack, and returns what was
// before.
static ah_text cut(ah_text *t, char c) {
	ah_text before = {t->at, 0};
	while (before.length < t->length && t->at[before.length] != c) before.length++;
	*t = skip(*t, before.length < t->length ? before.length + 1 : before.length);
	return before;
}

static void identity(void) {
	named(AH("user_id"), ah_user_id());
	named(AH("issuer"), ah_issuer());
	named(AH("subject"), ah_subject());
	items(AH("role"), ah_roles());
	items(AH("group"), ah_groups());
	named(AH("email"), ah_email());
	named(AH("session_id"), ah_session_id());
	named(AH("credential"), ah_credential());
	number(AH("expires"), ah_expires());
}

static void fetched(void) {
	ah_response got;
	if (!ah_fetched(&got)) return;
	ah_log(AH_DEBUG, AH("fetched"));
	number(AH("fetch_status"), got.status);
	named(AH("fetch_body"), got.body);
	named(AH("fetch_blob"), got.state);
	named(AH("fetch_error"), got.error);
}

static void found(ah_text order, bool there, ah_text value) {
	ah_log(AH_DEBUG, order);
	ah_log(there ? AH_INFO : AH_WARN, there ? value : AH(""));
}

static void get(ah_text order) {
	ah_text value, name = skip(order, 3);
	uint32_t index = (uint32_t)(order.at[2] - '0');
	bool there = false;
	switch (order.at[1]) {
	case '1': there = ah_get_header(name, index, &value); break;
	case '2': there = ah_get_cookie(name, index, &value); break;
	case '3': there = ah_get_query(name, index, &value); break;
	case '4': there = ah_get_claim(name, &value); break;
	}
	found(order, there, value);
}

static void result(ah_text order, int32_t r) {
	ah_log(AH_DEBUG, order);
	ah_log(AH_INFO, r == AH_DONE ? AH("done") : r == AH_OTHER ? AH("other") : r == AH_FULL ? AH("full") : AH("ended"));
}

// attribute reads or changes one of the session.
static void attribute(ah_text order) {
	ah_text rest = skip(order, 2), name = cut(&rest, ':'), value;
	switch (order.at[1]) {
	case 'g': {
		bool there = ah_session_get(skip(order, 2), &value);
		found(order, there, value);
		return;
	}
	case 'c': result(order, ah_session_create(name, rest)); return;
	case 's': {
		ah_text old = cut(&rest, ':');
		result(order, ah_session_swap(name, old, rest));
		return;
	}
	case 'd': result(order, ah_session_delete(name, rest)); return;
	}
	ah_fail(AH("unknown order"));
}

// add says the sum.
static void add(ah_text order, ah_text name, ah_text delta, int64_t ttl) {
	int64_t sum;
	int32_t r = ah_kv_add(name, decimal(delta), ttl, &sum);
	if (r != AH_DONE) {
		if (sum != 0) ah_fail(AH("a sum of nothing"));
		result(order, r);
		return;
	}
	ah_log(AH_DEBUG, order);
	ah_log(AH_INFO, sum < 0 ? ah_join(AH("-"), ah_decimal(-(uint64_t)sum)) : ah_decimal((uint64_t)sum));
}

// key reads or changes one of the plugin's.
static void key(ah_text order) {
	ah_text all = skip(order, 2), rest = all, first = cut(&rest, ':'), value;
	switch (order.at[1]) {
	case 'g': {
		bool there = ah_kv_get(all, &value);
		found(order, there, value);
		return;
	}
	case 'd':
		ah_kv_delete(all);
		ah_log(AH_DEBUG, order);
		return;
	case 'i': result(order, ah_kv_delete_if(first, rest)); return;
	}
	int64_t ttl = decimal(first);
	ah_text name = cut(&rest, ':');
	switch (order.at[1]) {
	case 'p': result(order, ah_kv_put(name, rest, ttl)); return;
	case 'c': result(order, ah_kv_create(name, rest, ttl)); return;
	case 's': {
		ah_text old = cut(&rest, ':');
		result(order, ah_kv_swap(name, old, rest, ttl));
		return;
	}
	case 'a': add(order, name, rest, ttl); return;
	}
	ah_fail(AH("unknown order"));
}

// compose begins a request or adds to it.
static void compose(ah_request *r, ah_text order) {
	ah_text rest = skip(order, 1);
	if (order.at[0] == 'f') {
		ah_text method = cut(&rest, ' ');
		*r = ah_request_get(rest);
		r->method = method;
		return;
	}
	rest = skip(order, 2);
	switch (order.at[1]) {
	case 'h': {
		ah_text name = cut(&rest, ':');
		ah_set_header(r, name, rest);
		break;
	}
	case 'b': r->body = rest; break;
	case 's': r->state = rest; break;
	}
}

// common carries out what all hooks know.
static void common(ah_text order) {
	switch (order.at[0]) {
	case 'l': ah_log((uint32_t)(order.at[1] - '0'), skip(order, 2)); return;
	case 'm': ah_metric_add(AH("echo"), decimal(skip(order, 1))); return;
	case 'a': attribute(order); return;
	case 'k': key(order); return;
	case '!': ah_fail(AH("as told"));
	}
	ah_fail(AH("unknown order"));
}

AH_METRICS(AH("echo"))

static ah_decision authorize(void) {
	request();
	if (ah_anonymous()) ah_log(AH_DEBUG, AH("anonymous"));
	identity();
	fetched();

	ah_request asked = {0};
	ah_decision d = ah_abstain();
	ah_text order;
	for (uint32_t i = 0; ah_get_header(AH("X-Echo"), i, &order); i++) {
		ah_text rest = skip(order, 1);
		switch (order.at[0]) {
		case '=': d = order.at[1] == '0' ? ah_abstain() : order.at[1] == '1' ? ah_allow() : ah_deny(AH("")); break;
		case 's': d.status = (uint32_t)decimal(rest); break;
		case 'r': d.reason = rest; break;
		case 'h': {
			ah_text name = cut(&rest, ':');
			ah_set_header(&d, name, rest);
			break;
		}
		case 'f':
		case '+':
			compose(&asked, order);
			d = ah_fetch(asked);
			break;
		case '?': get(order); break;
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

	fetched();

	ah_request asked = {0};
	ah_choice choice = ah_pass();
	ah_text order;
	for (uint32_t i = 0; ah_get_header(AH("X-Echo"), i, &order); i++) {
		ah_text rest = skip(order, 1);
		switch (order.at[0]) {
		case '=': choice = order.at[1] == '0' ? ah_pass() : ah_stop(); break;
		case 'c': choice = ah_try((uint32_t)decimal(rest)); break;
		case 'r': choice.reason = rest; break;
		case 'f':
		case '+':
			compose(&asked, order);
			choice = ah_fetch_to_choose(asked);
			break;
		case '?': get(order); break;
		default: common(order);
		}
	}
	return choice;
}
AH_ON_CREDENTIAL(choose)

static ah_admission admit(void) {
	request();
	identity();
	number(AH("idle"), ah_idle());
	number(AH("absolute"), ah_absolute());
	fetched();

	ah_request asked = {0};
	ah_admission a = ah_go_on();
	ah_text order;
	for (uint32_t i = 0; ah_get_header(AH("X-Echo"), i, &order); i++) {
		ah_text all = skip(order, 1), rest = all;
		switch (order.at[0]) {
		case '=': a = order.at[1] == '0' ? ah_go_on() : ah_refuse(AH("")); break;
		case 's': a.status = (uint32_t)decimal(all); break;
		case 'r': a.reason = all; break;
		case 'h': {
			ah_text name = cut(&rest, ':');
			ah_set_header(&a, name, rest);
			break;
		}
		case 'i': a.idle = (uint64_t)decimal(all); break;
		case 'd': a.absolute = (uint64_t)decimal(all); break;
		case 't': {
			ah_text name = cut(&rest, ':');
			ah_set_attribute(&a, name, rest);
			break;
		}
		case 'f':
		case '+':
			compose(&asked, order);
			a = ah_fetch_to_admit(asked);
			break;
		case '?': get(order); break;
		default: common(order);
		}
	}
	return a;
}
AH_ON_LOGIN(admit)

static ah_messages tell(void) {
	named(AH("realm"), ah_realm());
	named(AH("user_id"), ah_user_id());
	named(AH("issuer"), ah_issuer());
	named(AH("subject"), ah_subject());
	named(AH("session_id"), ah_session_id());
	named(AH("event_id"), ah_event_id());
	named(AH("why"), ah_why());
	named(AH("by_rank"), ah_by_rank());
	named(AH("by_id"), ah_by_id());
	number(AH("ended"), ah_ended_at());
	named(AH("what"), ah_what());
	items(AH("session"), ah_sessions());

	ah_request asked = {0};
	bool begun = false; // asked is to be sent
	ah_messages m = ah_nothing();
	for (ah_text order, list = ah_sessions(); ah_next(&list, &order);) {
		ah_text start = {order.at, order.length < 4 ? order.length : 4};
		if (ah_is(start, "ses_")) continue;
		if (begun && order.at[0] != '+') {
			ah_send(&m, asked);
			begun = false;
		}
		switch (order.at[0]) {
		case 'r': m.reason = skip(order, 1); break;
		case 'f':
		case '+':
			compose(&asked, order);
			begun = true;
			break;
		default: common(order);
		}
	}
	if (begun) ah_send(&m, asked);
	return m;
}
AH_ON_LOGOUT(tell)

static ah_text configure(ah_text config) {
	named(AH("config"), config);
	ah_text start = {config.at, config.length < 7 ? config.length : 7};
	return ah_is(start, "refuse:") ? skip(config, 7) : AH("");
}
AH_CONFIGURE(configure)
