// A plugin on the bare ABI, see abi/SPEC.md: who has the role editor may call
// /api/gitops/sync. It abstains from all else.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(#name)))

enum { field_path = 4, field_roles = 14, lazy = 1, get_field = 5, abstain = 0, allow = 1 };

__attribute__((import_module("authhost"), import_name("get")))
u32 get(u32 kind, const u8 *name, u32 name_length, u32 index, u8 *at, u32 capacity);

static u8 buffer[16384];
static u8 spare[16384]; // for one field that does not fit

EXPORT(authhost_abi_v1) void marker(void) {}

EXPORT(authhost_buffer) u64 room(void) { return (u64)(u32)buffer << 32 | sizeof buffer; }

struct text { const u8 *at; u32 length; };

static u32 read16(const u8 *b) { u16 n; __builtin_memcpy(&n, b, 2); return n; }
static u32 read32(const u8 *b) { u32 n; __builtin_memcpy(&n, b, 4); return n; }

static struct text field(u32 id) {
	const u8 *entry = buffer + 8;
	for (u32 left = read16(buffer + 2); left > 0; left--, entry += 12) {
		if (read16(entry) != id) continue;
		struct text value = {buffer + read32(entry + 4), read32(entry + 8)};
		if (read16(entry + 2) & lazy) {
			value.at = spare;
			if (get(get_field, 0, 0, id, spare, sizeof spare) != value.length || value.length > sizeof spare)
				__builtin_trap(); // more than this rule can read: the host answers 503
		}
		return value;
	}
	return (struct text){0, 0};
}

static int same(const u8 *a, const char *b, u32 length) {
	for (u32 i = 0; i < length; i++)
		if (a[i] != (u8)b[i]) return 0;
	return 1;
}

#define IS(at, length, literal) ((length) == sizeof literal - 1 && same(at, literal, sizeof literal - 1))

EXPORT(on_authorize) u64 on_authorize(u32 frame_length) {
	struct text path = field(field_path);
	if (!IS(path.at, path.length, "/api/gitops/sync")) return abstain;
	struct text roles = field(field_roles);
	for (u32 at = 0; at < roles.length;) {
		u32 length = read32(roles.at + at);
		at += 4;
		if (IS(roles.at + at, length, "editor")) return allow;
		at += length;
	}
	return abstain;
}
