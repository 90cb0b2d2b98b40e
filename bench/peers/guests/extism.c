// The rule for extism, whose guests get bytes: lines of method, path and
// roles. Who has the role editor may call /api/gitops/sync. It answers 1 or 0.
typedef unsigned int u32;
typedef unsigned long long u64;

#define IMPORT(name) __attribute__((import_module("extism:host/env"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

IMPORT(input_length) u64 input_length(void);
IMPORT(input_load_u64) u64 input_load_u64(u64 at);
IMPORT(input_load_u8) u32 input_load_u8(u64 at);
IMPORT(alloc) u64 alloc(u64 length);
IMPORT(store_u8) void store_u8(u64 at, u32 value);
IMPORT(output_set) void output_set(u64 at, u64 length);

static char input[2048];

static int same(const char *a, const char *b, u32 length) {
	for (u32 i = 0; i < length; i++)
		if (a[i] != b[i]) return 0;
	return 1;
}

static u32 line(u32 at, u32 end) {
	while (at < end && input[at] != '\n') at++;
	return at;
}

static int allowed(void) {
	u32 end = (u32)input_length(), at = 0;
	if (end > sizeof input) return 0;
	for (; at + 8 <= end; at += 8) {
		u64 eight = input_load_u64(at);
		__builtin_memcpy(input + at, &eight, 8);
	}
	for (; at < end; at++) input[at] = (char)input_load_u8(at);
	u32 path = line(0, end) + 1, after = line(path, end);
	if (after - path != 16 || !same(input + path, "/api/gitops/sync", 16)) return 0;
	for (at = after + 1; at < end; at = after + 1) {
		after = line(at, end);
		if (after - at == 6 && same(input + at, "editor", 6)) return 1;
	}
	return 0;
}

EXPORT(authorize) u32 authorize(void) {
	u64 answer = alloc(1);
	store_u8(answer, '0' + allowed());
	output_set(answer, 1);
	return 0;
}
