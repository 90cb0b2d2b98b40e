//! The Rust SDK for authhost plugins, ABI version 1: abi/SPEC.md. One file, no
//! crates, no `std`, and no allocation. A plugin's crate root has it as the
//! module `authhost`:
//!
//! ```ignore
//! #![no_std]
//! #[path = "authhost.rs"]
//! #[macro_use]
//! mod authhost;
//! use authhost::{Decision, Request};
//!
//! fn decide<'a>(r: &Request<'a>) -> Decision<'a> {
//!     if r.method() == b"DELETE" && !r.has_role(b"admin") {
//!         return Decision::deny(b"deleting needs admin");
//!     }
//!     Decision::abstain()
//! }
//! on_authorize!(decide);
//! ```
//!
//! Texts are bytes: what a client sent, such as a path, need not be UTF-8. They
//! are views of memory that the next call writes anew, which is what the
//! lifetime says. A value that the arena of 32 KiB has no room for takes more
//! memory once, which is used again. A panic ends the call and the instance:
//! the host logs where it was and answers 503.
#![allow(dead_code)]

use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;

const HEAD: usize = 8; // u16 hook, u16 count, u32 length
const ENTRY: usize = 12; // u16 field, u16 flags, u32 offset, u32 length
const LAZY: u16 = 1;
const PAGE: usize = 65536;
const MAX_ANSWER: usize = 16384;
const MAX_REASON: usize = 1024;

/// How many headers one [`Decision`] holds.
pub const MAX_HEADERS: usize = 8;

#[link(wasm_import_module = "authhost")]
extern "C" {
    #[link_name = "get"]
    fn host_get(kind: u32, name: *const u8, name_length: usize, index: u32, at: *mut u8, capacity: usize) -> i32;
    #[link_name = "log"]
    fn host_log(level: u32, at: *const u8, length: usize);
}

// The host runs one call at a time in an instance, which has one thread: that
// is why these may be shared.
struct Shared<T>(UnsafeCell<T>);
unsafe impl<T> Sync for Shared<T> {}

static BUFFER: Shared<[u8; MAX_ANSWER]> = Shared(UnsafeCell::new([0; MAX_ANSWER])); // shared with the host
static OUT: Shared<[u8; MAX_ANSWER]> = Shared(UnsafeCell::new([0; MAX_ANSWER])); // where an answer is laid out
static ARENA: Shared<[u8; 32 << 10]> = Shared(UnsafeCell::new([0; 32 << 10])); // what get read
static MORE: Shared<Room> = Shared(UnsafeCell::new(Room { at: 0, size: 0, used: 0 })); // beyond the arena
static HINTS: Shared<[u16; 256]> = Shared(UnsafeCell::new([0; 256])); // where in the table each field was last

#[no_mangle]
pub extern "C" fn authhost_abi_v1() {}

#[no_mangle]
pub extern "C" fn authhost_buffer() -> u64 {
    (BUFFER.0.get() as u64) << 32 | MAX_ANSWER as u64
}

// ---- The log ----------------------------------------------------------------

/// How loud a line of the log is.
#[derive(Clone, Copy)]
pub enum Level {
    Debug = 0,
    Info = 1,
    Warn = 2,
    Error = 3,
}

/// Writes a line to the host's log, which adds the plugin's name.
pub fn log(level: Level, line: &[u8]) {
    unsafe { host_log(level as u32, line.as_ptr(), line.len()) }
}

// Formatting the message would link what is larger than most plugins.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let mut line = Line { text: [0; 256], length: 0 };
    line.add(b"panic at ");
    if let Some(at) = info.location() {
        line.add(at.file().as_bytes());
        line.add(b":");
        line.number(at.line());
    }
    log(Level::Error, &line.text[..line.length]);
    core::arch::wasm32::unreachable()
}

struct Line {
    text: [u8; 256],
    length: usize,
}

impl Line {
    fn add(&mut self, text: &[u8]) {
        for (to, from) in self.text.iter_mut().skip(self.length).zip(text) {
            *to = *from;
            self.length += 1;
        }
    }

    fn number(&mut self, n: u32) {
        if n >= 10 {
            self.number(n / 10);
        }
        self.add(&[b'0' + (n % 10) as u8]);
    }
}

// ---- The frame ----------------------------------------------------------------

/// Room beyond the arena: pages at the end of memory.
struct Room {
    at: usize,
    size: usize,
    used: usize,
}

impl Room {
    /// Memory is taken so that another call like this one, and then some, does
    /// with it.
    fn take(&mut self, n: usize) -> usize {
        if n > self.size - self.used {
            let pages = ((self.used + n).max(2 * self.size) - 1) / PAGE + 1;
            let end = core::arch::wasm32::memory_grow(0, pages);
            assert!(end != usize::MAX, "out of memory");
            *self = Room { at: end * PAGE, size: pages * PAGE, used: 0 };
        }
        self.used += n;
        self.at + self.used - n
    }
}

/// One call of a hook: its frame, and what was read beside it.
struct Call<'a> {
    frame: &'a [u8],
    table: usize,
    used: Cell<usize>,
    fetched: [Cell<(u16, &'a [u8])>; 4], // lazy fields: a plugin may ask for the roles again and again
}

impl<'a> Call<'a> {
    /// Only the exports call this, once a call.
    fn begin(hook: u16, length: u32) -> Self {
        let frame: &'a [u8] = unsafe { &(*BUFFER.0.get())[..length as usize] };
        unsafe { (*MORE.0.get()).used = 0 };
        assert!(frame.len() >= HEAD && u32_at(frame, 4) == frame.len(), "malformed frame");
        let table = HEAD + u16_at(frame, 2) as usize * ENTRY;
        assert!(table <= frame.len(), "malformed frame");
        assert!(u16_at(frame, 0) == hook, "a frame of another hook");
        Call { frame, table, used: Cell::new(0), fetched: Default::default() }
    }

    /// A field's bytes, lazy or not; empty if absent.
    fn field(&self, id: u16) -> &'a [u8] {
        let hint = unsafe { &mut (*HINTS.0.get())[id as usize & 255] };
        let mut at = *hint as usize;
        if at < HEAD || at >= self.table || u16_at(self.frame, at) != id {
            at = HEAD;
            while at < self.table && u16_at(self.frame, at) != id {
                at += ENTRY;
            }
            if at == self.table {
                return b"";
            }
            *hint = at as u16;
        }
        if u16_at(self.frame, at + 2) & LAZY != 0 {
            return self.lazy(id);
        }
        let (start, length) = (u32_at(self.frame, at + 4), u32_at(self.frame, at + 8));
        assert!(start >= self.table && start <= self.frame.len() && length <= self.frame.len() - start, "malformed frame");
        &self.frame[start..start + length]
    }

    fn lazy(&self, id: u16) -> &'a [u8] {
        for f in &self.fetched {
            if f.get().0 == id {
                return f.get().1;
            }
        }
        let value = self.get(5, b"", id as u32).expect("the host does not give a field of its own frame");
        if let Some(free) = self.fetched.iter().find(|f| f.get().0 == 0) {
            free.set((id, value));
        }
        value
    }

    fn number(&self, id: u16) -> u64 {
        match *self.field(id) {
            [] => 0,
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => panic!("malformed frame"),
        }
    }

    /// Each value has a part of the arena of its own until the call ends.
    fn get(&self, kind: u32, name: &[u8], index: u32) -> Option<&'a [u8]> {
        let mut at = ARENA.0.get() as usize + self.used.get();
        let room = (32 << 10) - self.used.get();
        let read = |at: usize, room| unsafe { host_get(kind, name.as_ptr(), name.len(), index, at as *mut u8, room) };
        let n = read(at, room);
        if n < 0 {
            return None;
        }
        let length = n as usize;
        if length > room {
            at = unsafe { (*MORE.0.get()).take(length) };
            assert!(read(at, length) == n, "the host gives another length than it said");
        } else {
            self.used.set(self.used.get() + length);
        }
        Some(unsafe { core::slice::from_raw_parts(at as *const u8, length) })
    }
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> usize {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]) as usize
}

/// Compares eight bytes at a time, the last eight perhaps twice: a loop is the
/// most expensive thing that a metered guest can do.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    fn word(b: &[u8], at: usize) -> u64 {
        u64::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4], b[at + 5], b[at + 6], b[at + 7]])
    }
    if a.len() != b.len() {
        return false;
    }
    if a.len() < 8 {
        return a.iter().zip(b).all(|(x, y)| x == y);
    }
    let last = a.len() - 8;
    let mut at = 0;
    while at < last {
        if word(a, at) != word(b, at) {
            return false;
        }
        at += 8;
    }
    word(a, last) == word(b, last)
}

/// A list of the frame.
#[derive(Clone, Copy)]
pub struct List<'a>(&'a [u8]);

impl<'a> Iterator for List<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        assert!(self.0.len() >= 4, "malformed frame");
        let (length, rest) = (u32_at(self.0, 0), &self.0[4..]);
        assert!(length <= rest.len(), "malformed frame");
        let (item, rest) = rest.split_at(length);
        self.0 = rest;
        Some(item)
    }
}

// ---- The request ----------------------------------------------------------------

/// The request that a hook is asked about, as the gateway will forward it.
/// `on_credential` has candidates and no identity, `on_authorize` the reverse;
/// what a request has not is empty.
pub struct Request<'a> {
    call: Call<'a>,
    here: PhantomData<*const ()>, // not to be sent elsewhere
}

impl<'a> Request<'a> {
    fn begin(hook: u16, length: u32) -> Self {
        Request { call: Call::begin(hook, length), here: PhantomData }
    }

    /// The method, an upper-case token.
    pub fn method(&self) -> &'a [u8] {
        self.call.field(1)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'a [u8] {
        self.call.field(2)
    }

    /// The host in lower case, without port and final dot.
    pub fn host(&self) -> &'a [u8] {
        self.call.field(3)
    }

    /// The path decoded once: the one to judge.
    pub fn path(&self) -> &'a [u8] {
        self.call.field(4)
    }

    /// The path as it will be forwarded.
    pub fn raw_path(&self) -> &'a [u8] {
        self.call.field(5)
    }

    /// The raw query without `?` and without credentials.
    pub fn query(&self) -> &'a [u8] {
        self.call.field(6)
    }

    /// The client's IP address, the one behind the gateways.
    pub fn client(&self) -> &'a [u8] {
        self.call.field(7)
    }

    /// When the request came, in Unix seconds.
    pub fn time(&self) -> u64 {
        self.call.number(8)
    }

    /// The path pattern of the route that matched.
    pub fn route(&self) -> &'a [u8] {
        self.call.field(9)
    }

    /// The realm's name.
    pub fn realm(&self) -> &'a [u8] {
        self.call.field(10)
    }

    /// A request header by its name in any case; of those that repeat, the
    /// `index`-th from 0. One that carries credentials is not there.
    pub fn header(&self, name: &[u8], index: u32) -> Option<&'a [u8]> {
        self.call.get(1, name, index)
    }

    /// A cookie; not one that is a credential.
    pub fn cookie(&self, name: &[u8], index: u32) -> Option<&'a [u8]> {
        self.call.get(2, name, index)
    }

    /// A query parameter, decoded; not one that is a credential.
    pub fn query_param(&self, name: &[u8], index: u32) -> Option<&'a [u8]> {
        self.call.get(3, name, index)
    }

    /// A claim of the JWT by its name or, beginning with `/`, by its JSON
    /// Pointer: a string as it is, anything else as JSON.
    pub fn claim(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.call.get(4, name, 0)
    }

    /// Nobody is known: the route's authentication is optional.
    pub fn anonymous(&self) -> bool {
        self.user_id().is_empty()
    }

    /// The id of the user, `usr_…`.
    pub fn user_id(&self) -> &'a [u8] {
        self.call.field(11)
    }

    /// Who vouches for the user.
    pub fn issuer(&self) -> &'a [u8] {
        self.call.field(12)
    }

    /// The issuer's name for the user.
    pub fn subject(&self) -> &'a [u8] {
        self.call.field(13)
    }

    /// The user's roles.
    pub fn roles(&self) -> List<'a> {
        List(self.call.field(14))
    }

    /// Whether the user has exactly that role.
    pub fn has_role(&self, role: &[u8]) -> bool {
        self.roles().any(|r| equal(r, role))
    }

    /// The user's groups.
    pub fn groups(&self) -> List<'a> {
        List(self.call.field(15))
    }

    /// Whether the user is in exactly that group.
    pub fn has_group(&self, group: &[u8]) -> bool {
        self.groups().any(|g| equal(g, group))
    }

    /// The user's address if the issuer says that it is verified.
    pub fn email(&self) -> &'a [u8] {
        self.call.field(16)
    }

    /// The session's public id, `ses_…`.
    pub fn session_id(&self) -> &'a [u8] {
        self.call.field(17)
    }

    /// Source/kind of the credential that counted, such as `header/jwt`.
    pub fn credential(&self) -> &'a [u8] {
        self.call.field(18)
    }

    /// When the credential ends, in Unix seconds.
    pub fn expires(&self) -> u64 {
        self.call.number(19)
    }

    /// The credentials that the request carries, in the realm's order; the
    /// first is candidate 0.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'a>> {
        List(self.call.field(32)).map(Candidate::parse)
    }
}

// ---- Candidates ----------------------------------------------------------------

/// Sources of a [`Candidate`].
pub mod source {
    pub const HEADER: u8 = 1;
    pub const COOKIE: u8 = 2;
    pub const QUERY: u8 = 3;
}

/// Kinds of a [`Candidate`].
pub mod kind {
    pub const MALFORMED: u8 = 0;
    pub const JWT: u8 = 1;
    pub const SESSION: u8 = 2;
    pub const ACCESS_TOKEN: u8 = 3;
}

/// What was said of a [`Candidate`]; `VALID` is never seen.
pub mod verdict {
    pub const UNTRIED: u8 = 0;
    pub const VALID: u8 = 1;
    pub const MALFORMED: u8 = 2;
    pub const BAD_SIGNATURE: u8 = 3;
    pub const EXPIRED: u8 = 4;
    pub const NOT_YET_VALID: u8 = 5;
    pub const WRONG_ISSUER: u8 = 6;
    pub const WRONG_AUDIENCE: u8 = 7;
    pub const UNKNOWN: u8 = 8;
    pub const REVOKED: u8 = 9;
}

/// One credential of the request; its value is never shown.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    pub source: u8,
    pub kind: u8,
    pub verdict: u8,
    /// The name of the header, cookie or query parameter.
    pub name: &'a [u8],
    /// Whom a properly signed one names, tried or not; else empty.
    pub user_id: &'a [u8],
}

impl<'a> Candidate<'a> {
    fn parse(item: &'a [u8]) -> Self {
        fn short(b: &[u8]) -> (&[u8], &[u8]) {
            assert!(b.len() >= 2, "malformed frame");
            let (length, rest) = (u16_at(b, 0) as usize, &b[2..]);
            assert!(length <= rest.len(), "malformed frame");
            rest.split_at(length)
        }
        assert!(item.len() >= 4, "malformed frame");
        let (name, rest) = short(&item[4..]);
        let (user_id, _) = short(rest);
        Candidate { source: item[0], kind: item[1], verdict: item[2], name, user_id }
    }
}

// ---- Answers ----------------------------------------------------------------

/// The answer of `on_authorize`, a plain value.
#[derive(Clone, Copy)]
pub struct Decision<'a> {
    code: u32,
    status: u32,
    reason: &'a [u8],
    count: usize,
    headers: [(&'a [u8], &'a [u8]); MAX_HEADERS],
}

impl<'a> Decision<'a> {
    fn new(code: u32, reason: &'a [u8]) -> Self {
        Decision { code, status: 0, reason, count: 0, headers: [(b"", b""); MAX_HEADERS] }
    }

    /// Leaves the decision to the plugins that follow and to the route.
    pub fn abstain() -> Self {
        Self::new(0, b"")
    }

    /// Lets the request pass unless a plugin that follows denies it.
    pub fn allow() -> Self {
        Self::new(1, b"")
    }

    /// Refuses the request with 403, or 401 when it is anonymous, and ends the
    /// chain. The reason is shown to the client: at most 1024 bytes in one
    /// line, more is cut, and what is not text is replaced.
    pub fn deny(reason: &'a [u8]) -> Self {
        Self::new(2, reason)
    }

    /// Makes a deny answer 401, 403, 404 or 429. Panics with any other status,
    /// and unless the decision is a deny.
    pub fn status(mut self, status: u32) -> Self {
        assert!(self.code == 2, "only a deny has a status");
        assert!(matches!(status, 401 | 403 | 404 | 429), "the status of a deny is 401, 403, 404 or 429");
        self.status = status;
        self
    }

    /// Sets the reason; unless the decision is a deny, only the log has it.
    pub fn reason(mut self, text: &'a [u8]) -> Self {
        self.reason = text;
        self
    }

    /// Sets a header: on the request that goes upstream, or with a deny on the
    /// answer to the client. The plugin's configuration must name it; a deny
    /// may also set `Retry-After` and `WWW-Authenticate`. Panics beyond
    /// [`MAX_HEADERS`].
    pub fn header(mut self, name: &'a [u8], value: &'a [u8]) -> Self {
        self.headers[self.count] = (name, value);
        self.count += 1;
        self
    }

    fn encode(&self) -> u64 {
        let mut a = Answer::new();
        if self.status != 0 {
            a.number(1, self.status);
        }
        a.reason(self.reason);
        for (name, value) in &self.headers[..self.count] {
            a.header(name, value);
        }
        a.finish(self.code)
    }
}

/// The answer of `on_credential`, a plain value.
#[derive(Clone, Copy)]
pub struct Choice<'a> {
    code: u32,
    candidate: u32,
    reason: &'a [u8],
}

impl<'a> Choice<'a> {
    /// Leaves the choice to the plugins that follow. If all abstain, no other
    /// credential is tried and the request is answered 401.
    pub fn abstain() -> Self {
        Choice { code: 0, candidate: 0, reason: b"" }
    }

    /// Has the host try that candidate next, which must be untried.
    pub fn attempt(candidate: usize) -> Self {
        Choice { code: 1, candidate: candidate as u32, reason: b"" }
    }

    /// Refuses the request with 401, whatever other plugins would say.
    pub fn stop() -> Self {
        Choice { code: 2, candidate: 0, reason: b"" }
    }

    /// Sets a reason for the log.
    pub fn reason(mut self, text: &'a [u8]) -> Self {
        self.reason = text;
        self
    }

    fn encode(&self) -> u64 {
        let mut a = Answer::new();
        a.reason(self.reason);
        if self.code == 1 {
            a.number(4, self.candidate);
        }
        a.finish(self.code)
    }
}

/// An answer that is being laid out. Its texts may be views of the buffer, so
/// that is not written before the answer is whole.
struct Answer {
    out: &'static mut [u8; MAX_ANSWER],
    n: usize,
}

impl Answer {
    /// One is made in each call.
    fn new() -> Self {
        Answer { out: unsafe { &mut *OUT.0.get() }, n: 0 }
    }

    fn text(&mut self, text: &[u8]) {
        self.out[self.n..][..text.len()].copy_from_slice(text);
        self.n += text.len();
    }

    fn head(&mut self, field: u32, length: usize) {
        self.text(&field.to_le_bytes());
        self.text(&(length as u32).to_le_bytes());
    }

    fn number(&mut self, field: u32, n: u32) {
        self.head(field, 4);
        self.text(&n.to_le_bytes());
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        assert!(name.len() <= 0xffff, "a header with a name longer than 65535 bytes");
        self.head(3, 2 + name.len() + value.len());
        self.text(&(name.len() as u16).to_le_bytes());
        self.text(name);
        self.text(value);
    }

    /// Cuts a reason to what the host takes. A blank stands for a line end and
    /// a tab, U+FFFD for each byte or character that is no text: reasons often
    /// quote what a client sent, which must not fail the call.
    fn reason(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        self.head(2, text.len());
        if text.len() <= MAX_REASON && plain(text) {
            return self.text(text);
        }
        let start = self.n;
        let mut rest = text;
        while !rest.is_empty() {
            let (length, shown) = first(rest);
            if shown.len() > MAX_REASON - (self.n - start) {
                break;
            }
            self.text(shown);
            rest = &rest[length..];
        }
        let length = ((self.n - start) as u32).to_le_bytes();
        self.out[start - 4..start].copy_from_slice(&length);
    }

    fn finish(self, code: u32) -> u64 {
        unsafe { (*BUFFER.0.get())[..self.n].copy_from_slice(&self.out[..self.n]) };
        (self.n as u64) << 32 | code as u64
    }
}

/// Whether all of a text is printable ASCII.
fn plain(text: &[u8]) -> bool {
    const EACH: u64 = 0x0101010101010101;
    let mut words = text.chunks_exact(8);
    let odd = words.by_ref().fold(0, |odd, w| {
        let x = u64::from_le_bytes([w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]]);
        odd | x | x.wrapping_add(EACH) | x.wrapping_sub(0x20 * EACH)
    });
    odd & (0x80 * EACH) == 0 && words.remainder().iter().all(|c| (0x20..0x7f).contains(c))
}

/// The length of the first character, and what is shown of it.
fn first(text: &[u8]) -> (usize, &[u8]) {
    let b = text[0];
    let length = match b {
        0..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 0,
    };
    let valid = length > 0 && length <= text.len() && core::str::from_utf8(&text[..length]).is_ok();
    match (valid, &text[..length.min(text.len())]) {
        (true, [b'\n' | b'\r' | b'\t']) => (1, b" "),
        (true, [0..=0x1f | 0x7f] | [0xc2, 0x80..=0x9f] | [0xe2, 0x80, 0xa8 | 0xa9]) => (length, b"\xef\xbf\xbd"),
        (true, character) => (length, character),
        (false, _) => (1, b"\xef\xbf\xbd"),
    }
}

// ---- Hooks ----------------------------------------------------------------

/// For [`on_authorize!`].
pub fn serve_authorize(length: u32, handler: impl for<'a> FnOnce(&Request<'a>) -> Decision<'a>) -> u64 {
    handler(&Request::begin(3, length)).encode()
}

/// For [`on_credential!`].
pub fn serve_credential(length: u32, handler: impl for<'a> FnOnce(&Request<'a>) -> Choice<'a>) -> u64 {
    handler(&Request::begin(2, length)).encode()
}

/// For [`configure!`].
pub fn serve_configure(length: u32, handler: impl for<'a> FnOnce(&'a [u8]) -> Result<(), &'a [u8]>) -> u64 {
    let refused = handler(Call::begin(1, length).field(64)).err();
    let mut a = Answer::new();
    a.reason(refused.unwrap_or(b""));
    a.finish(if refused.is_some() { 2 } else { 0 })
}

/// Declares the hook that says whether a request may pass, and its handler:
/// `fn<'a>(&Request<'a>) -> Decision<'a>`.
#[allow(unused_macros)]
macro_rules! on_authorize {
    ($handler:expr) => {
        #[no_mangle]
        pub extern "C" fn on_authorize(length: u32) -> u64 {
            $crate::authhost::serve_authorize(length, $handler)
        }
    };
}

/// Declares the hook that says which credential to try next after one failed,
/// and its handler: `fn<'a>(&Request<'a>) -> Choice<'a>`.
#[allow(unused_macros)]
macro_rules! on_credential {
    ($handler:expr) => {
        #[no_mangle]
        pub extern "C" fn on_credential(length: u32) -> u64 {
            $crate::authhost::serve_credential(length, $handler)
        }
    };
}

/// Declares the hook that is handed the plugin's configuration, as JSON, once
/// in every instance before any other, and its handler:
/// `fn(&[u8]) -> Result<(), &[u8]>`. An error refuses the load and is shown to
/// the operator.
#[allow(unused_macros)]
macro_rules! configure {
    ($handler:expr) => {
        #[no_mangle]
        pub extern "C" fn configure(length: u32) -> u64 {
            $crate::authhost::serve_configure(length, $handler)
        }
    };
}
