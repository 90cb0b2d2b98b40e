// What the price of metering is measured on, in C: kinds of work that plugins
// do, each an export that does it once and returns a sum of what it found.
typedef unsigned char u8;
typedef unsigned int u32;

#define EXPORT(name) __attribute__((export_name(#name)))

static u32 length(const char *s) {
	u32 n = 0;
	while (s[n]) n++;
	return n;
}

// What the compiler may call where the code has a loop or an assignment.
void *memcpy(void *to, const void *from, unsigned long n) {
	u8 *t = to;
	const u8 *f = from;
	while (n--) *t++ = *f++;
	return to;
}

void *memset(void *to, int c, unsigned long n) {
	u8 *t = to;
	while (n--) *t++ = (u8)c;
	return to;
}

// matching compares paths with patterns, segment by segment, as policies do.

static char paths[64][64];

static char *append(char *to, const char *s) {
	while (*s) *to++ = *s++;
	*to = 0;
	return to;
}

static const char *cut(const char *s, const char **rest) {
	while (*s && *s != '/') s++;
	*rest = *s ? s + 1 : 0;
	return s;
}

static int equal(const char *a, u32 n, const char *b, u32 m) {
	if (n != m) return 0;
	for (u32 i = 0; i < n; i++)
		if (a[i] != b[i]) return 0;
	return 1;
}

static int match(const char *pattern, const char *path) {
	while (pattern && path) {
		const char *more, *left;
		u32 n = cut(pattern, &more) - pattern, m = cut(path, &left) - path;
		if (equal(pattern, n, "**", 2)) return 1;
		if (!equal(pattern, n, "*", 1) && !equal(pattern, n, path, m)) return 0;
		pattern = more, path = left;
	}
	return !pattern && !path;
}

EXPORT(matching) u32 matching(void) {
	static const char *patterns[] = {"/api/*/segment/segment/*", "/api/gitops/sync", "/*/*/segment/**"};
	if (!paths[0][0])
		for (u32 i = 0; i < 64; i++) {
			char *end = append(paths[i], "/api/gitops/");
			for (u32 k = 0; k < i % 5; k++) end = append(end, "segment/");
			*end = 'a' + i % 26;
		}
	u32 found = 0;
	for (u32 p = 0; p < 3; p++)
		for (u32 i = 0; i < 64; i++) found += match(patterns[p], paths[i]);
	return found;
}

// sorting sorts numbers, through a function that compares.

static u32 numbers[512];

static int less(u32 a, u32 b) { return a < b; }

static void sort(u32 *list, int n, int (*before)(u32, u32)) {
	while (n > 12) {
		u32 pivot = list[n / 2];
		int i = 0, j = n - 1;
		for (;;) {
			while (before(list[i], pivot)) i++;
			while (before(pivot, list[j])) j--;
			if (i >= j) break;
			u32 t = list[i];
			list[i++] = list[j], list[j--] = t;
		}
		sort(list + i, n - i, before);
		n = i;
	}
	for (int i = 1; i < n; i++)
		for (int j = i; j > 0 && before(list[j], list[j - 1]); j--) {
			u32 t = list[j];
			list[j] = list[j - 1], list[j - 1] = t;
		}
}

static int (*volatile order)(u32, u32) = less; // known only when it runs

EXPORT(sorting) u32 sorting(void) {
	u32 x = 1;
	for (u32 i = 0; i < 512; i++) numbers[i] = x = x * 1664525 + 1013904223;
	sort(numbers, 512, order);
	return numbers[7];
}

// hashing hashes four kilobytes, as SHA-256 does.

static const u32 rounds[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static u32 turn(u32 x, int n) { return x >> n | x << (32 - n); }

static void block(u32 *h, const u8 *b) {
	u32 w[64], s[8];
	for (int i = 0; i < 16; i++, b += 4) w[i] = (u32)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
	for (int i = 16; i < 64; i++) {
		u32 p = w[i - 15], q = w[i - 2];
		w[i] = w[i - 16] + (turn(p, 7) ^ turn(p, 18) ^ p >> 3) + w[i - 7] + (turn(q, 17) ^ turn(q, 19) ^ q >> 10);
	}
	for (int i = 0; i < 8; i++) s[i] = h[i];
	for (int i = 0; i < 64; i++) {
		u32 a = s[0], e = s[4];
		u32 one = s[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & s[5] ^ ~e & s[6]) + rounds[i] + w[i];
		u32 two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & s[1] ^ a & s[2] ^ s[1] & s[2]);
		s[7] = s[6], s[6] = s[5], s[5] = e, s[4] = s[3] + one;
		s[3] = s[2], s[2] = s[1], s[1] = a, s[0] = one + two;
	}
	for (int i = 0; i < 8; i++) h[i] += s[i];
}

EXPORT(hashing) u32 hashing(void) {
	static u8 text[4096];
	u32 h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	for (u32 i = 0; i < sizeof text; i++) text[i] = (u8)i;
	for (u32 i = 0; i < sizeof text; i += 64) block(h, text + i);
	return h[0];
}

// decoding walks through JSON by recursive descent and counts what it is.

static const char *value(const char *s, u32 *found);

static const char *space(const char *s) {
	while (*s == ' ' || *s == '\n' || *s == '\t') s++;
	return s;
}

static const char *string(const char *s) {
	for (s++; *s && *s != '"'; s++)
		if (*s == '\\' && !*++s) return 0;
	return *s ? s + 1 : 0;
}

static const char *list(const char *s, char end, u32 *found) {
	s = space(s + 1);
	if (*s == end) return s + 1;
	for (;;) {
		if (end == '}') {
			if (*s != '"' || !(s = string(s))) return 0;
			s = space(s);
			if (*s++ != ':') return 0;
			s = space(s);
		}
		if (!(s = value(s, found))) return 0;
		s = space(s);
		if (*s == end) return s + 1;
		if (*s++ != ',') return 0;
		s = space(s);
	}
}

static const char *value(const char *s, u32 *found) {
	++*found;
	switch (*s) {
	case '{': return list(s, '}', found);
	case '[': return list(s, ']', found);
	case '"': return string(s);
	}
	const char *start = s;
	while (*s >= '0' && *s <= '9' || *s == '-' || *s == '.' || *s >= 'a' && *s <= 'z') s++;
	return s > start ? s : 0;
}

EXPORT(decoding) u32 decoding(void) {
	static const char text[] =
		"{\"rules\": [{\"methods\": [\"POST\"], \"path\": \"/api/gitops/sync\", \"role\": \"editor\"},\n"
		"{\"methods\": [\"GET\", \"HEAD\"], \"path\": \"/api/gitops/detect-drift\", \"role\": \"viewer\"},\n"
		"{\"limits\": {\"burst\": 20, \"rate\": [1.5, 2, [3, [4, [5]]]], \"deny\": false}}]}";
	u32 found = 0;
	for (u32 i = 0; i < 20; i++) value(text, &found);
	return found;
}

// building puts together a text of words and numbers, escaped.

static char *number(char *to, u32 n) {
	if (n >= 10) to = number(to, n / 10);
	*to++ = '0' + n % 10;
	return to;
}

static char *escaped(char *to, const char *s) {
	for (; *s; s++) {
		if (*s >= 'a' && *s <= 'z' || *s >= '0' && *s <= '9' || *s == '.' || *s == '-') {
			*to++ = *s;
			continue;
		}
		*to++ = '%';
		*to++ = "0123456789ABCDEF"[(u8)*s >> 4];
		*to++ = "0123456789ABCDEF"[*s & 15];
	}
	*to = 0;
	return to;
}

EXPORT(building) u32 building(void) {
	static char text[16384];
	char *end = text;
	for (u32 i = 0; i < 200; i++) {
		end = append(end, "&rule=");
		end = number(end, i * i * 31);
		end = append(end, "&path=");
		end = escaped(end, "/api/gitops sync/v1.2");
	}
	return length(text);
}

// endless never ends.

EXPORT(endless) u32 endless(void) {
	for (volatile u32 n = 0;;) n++;
}
