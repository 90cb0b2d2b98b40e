// What the price of metering is measured on, in Rust: kinds of work that
// plugins do, each an export that does it once and returns a sum of what it
// found.
use std::collections::HashMap;
use std::fmt::Write;

// matching compares paths with patterns, segment by segment, as policies do.

fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some(want), Some(got)) if want == "*" || want == got => {}
            _ => return false,
        }
    }
}

fn paths() -> Vec<String> {
    let last = |i: usize| (b'a' + (i % 26) as u8) as char;
    (0..64).map(|i| format!("/api/gitops/{}{}", "segment/".repeat(i % 5), last(i))).collect()
}

#[no_mangle]
pub extern "C" fn matching() -> u32 {
    let patterns = ["/api/*/segment/segment/*", "/api/gitops/sync", "/*/*/segment/**"];
    let paths = paths();
    let found = |pattern| paths.iter().filter(|path| matches(pattern, path)).count();
    patterns.iter().map(|p| found(p)).sum::<usize>() as u32
}

fn numbers() -> Vec<u32> {
    let mut x = 1u32;
    let next = |_| {
        x = x.wrapping_mul(1664525).wrapping_add(1013904223);
        x
    };
    (0..512).map(next).collect()
}

// sorting sorts numbers, and texts.

#[no_mangle]
pub extern "C" fn sorting() -> u32 {
    let mut list = numbers();
    list.sort_unstable();
    let mut texts = paths();
    texts.sort_by(|a, b| b.cmp(a));
    list[7] ^ texts[3].len() as u32
}

// maps counts in a map.

#[no_mangle]
pub extern "C" fn maps() -> u32 {
    let mut seen: HashMap<u32, u32> = HashMap::new();
    for n in numbers() {
        *seen.entry(n % 97).or_default() += 1;
    }
    seen[&5]
}

// hashing hashes four kilobytes, as SHA-256 does.

fn block(h: &mut [u32; 8], b: &[u8]) {
    let mut w = [0u32; 64];
    for (word, four) in w.iter_mut().zip(b.chunks_exact(4)) {
        *word = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
    }
    for i in 16..64 {
        let (p, q) = (w[i - 15], w[i - 2]);
        let (s, t) = (p.rotate_right(7) ^ p.rotate_right(18) ^ p >> 3, q.rotate_right(17) ^ q.rotate_right(19) ^ q >> 10);
        w[i] = w[i - 16].wrapping_add(s).wrapping_add(w[i - 7]).wrapping_add(t);
    }
    let mut s = *h;
    for (i, word) in w.iter().enumerate() {
        let (a, e) = (s[0], s[4]);
        let one = s[7]
            .wrapping_add(e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25))
            .wrapping_add(e & s[5] ^ !e & s[6])
            .wrapping_add(*word ^ 0x428a2f98u32.rotate_left(i as u32)); // not the standard's constants, but as much work
        let two = (a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22)).wrapping_add(a & s[1] ^ a & s[2] ^ s[1] & s[2]);
        s.copy_within(0..7, 1);
        s[4] = s[4].wrapping_add(one);
        s[0] = one.wrapping_add(two);
    }
    for (sum, part) in h.iter_mut().zip(s) {
        *sum = sum.wrapping_add(part);
    }
}

#[no_mangle]
pub extern "C" fn hashing() -> u32 {
    let text: Vec<u8> = (0..4096).map(|i| i as u8).collect();
    let mut h = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    text.chunks_exact(64).for_each(|b| block(&mut h, b));
    h[0]
}

// decoding decodes JSON by recursive descent into a tree.

enum Value {
    Text(String),
    Number(f64),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

struct Decoder<'a> {
    text: &'a [u8],
    at: usize,
}

impl Decoder<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, c: u8) -> Option<()> {
        (self.peek()? == c).then(|| self.at += 1)
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let rest = &self.text[self.at..];
        let n = rest.iter().position(|c| *c == b'"')?;
        self.at += n + 1;
        String::from_utf8(rest[..n].to_vec()).ok()
    }

    fn items<T>(&mut self, open: u8, close: u8, item: fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut out = Vec::new();
        self.take(open)?;
        while self.peek()? != close {
            if !out.is_empty() {
                self.take(b',')?;
            }
            out.push(item(self)?);
        }
        self.take(close)?;
        Some(out)
    }

    fn value(&mut self) -> Option<Value> {
        match self.peek()? {
            b'{' => Some(Value::Object(self.items(b'{', b'}', |d| {
                let key = d.string()?;
                d.take(b':')?;
                Some((key, d.value()?))
            })?)),
            b'[' => Some(Value::List(self.items(b'[', b']', Self::value)?)),
            b'"' => self.string().map(Value::Text),
            _ => {
                let rest = &self.text[self.at..];
                let n = rest.iter().position(|c| !c.is_ascii_digit() && *c != b'.')?;
                self.at += n;
                std::str::from_utf8(&rest[..n]).ok()?.parse().ok().map(Value::Number)
            }
        }
    }
}

fn weight(v: &Value) -> u32 {
    match v {
        Value::Text(s) => s.len() as u32,
        Value::Number(n) => *n as u32,
        Value::List(list) => list.iter().map(weight).sum(),
        Value::Object(list) => list.iter().map(|(key, v)| key.len() as u32 + weight(v)).sum(),
    }
}

#[no_mangle]
pub extern "C" fn decoding() -> u32 {
    let text = br#"{"rules": [{"methods": ["POST"], "path": "/api/gitops/sync", "role": "editor"},
        {"methods": ["GET", "HEAD"], "path": "/api/gitops/detect-drift", "role": "viewer"},
        {"limits": {"burst": 20, "rate": [1.5, 2, [3, [4, [5]]]]}}]}"#;
    Decoder { text, at: 0 }.value().map_or(0, |v| weight(&v))
}

// building puts together a text of words and numbers, escaped.

#[no_mangle]
pub extern "C" fn building() -> u32 {
    let mut text = String::new();
    for i in 0u32..200 {
        let _ = write!(text, "&rule={}&path=", i * i * 31);
        for c in "/api/gitops sync/v1.2".bytes() {
            if c.is_ascii_alphanumeric() || c == b'.' || c == b'-' {
                text.push(c as char);
            } else {
                let _ = write!(text, "%{:02X}", c);
            }
        }
    }
    text.len() as u32
}

// endless never ends.

#[no_mangle]
pub extern "C" fn endless() -> u32 {
    let mut n = 0u32;
    loop {
        unsafe { std::ptr::write_volatile(&mut n, std::ptr::read_volatile(&n).wrapping_add(1)) }
    }
}
