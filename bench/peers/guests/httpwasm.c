// The rule for http-wasm, whose guests see HTTP: who has the role editor (one
// X-Roles header for each role) may call /api/gitops/sync.
typedef unsigned int u32;
typedef unsigned long long u64;

#define IMPORT(name) __attribute__((import_module("http_handler"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

IMPORT(get_uri) u32 get_uri(char *to, u32 limit);
IMPORT(get_header_values) u64 get_header_values(u32 kind, const char *name, u32 name_length, char *to, u32 limit);
IMPORT(set_status_code) void set_status_code(u32 status);

static char room[2048];

static int same(const char *a, const char *b, u32 length) {
	for (u32 i = 0; i < length; i++)
		if (a[i] != b[i]) return 0;
	return 1;
}

static int allowed(void) {
	if (get_uri(room, sizeof room) != 16 || !same(room, "/api/gitops/sync", 16)) return 0;
	u64 got = get_header_values(0, "x-roles", 7, room, sizeof room); // each ends with a NUL
	u32 end = (u32)got;
	if (end > sizeof room) return 0;
	for (u32 at = 0, i = 0; i < end; i++) {
		if (room[i]) continue;
		if (i - at == 6 && same(room + at, "editor", 6)) return 1;
		at = i + 1;
	}
	return 0;
}

EXPORT(handle_request) u64 handle_request(void) {
	if (allowed()) return 1;
	set_status_code(403);
	return 0;
}

EXPORT(handle_response) void handle_response(u32 context, u32 failed) {}
