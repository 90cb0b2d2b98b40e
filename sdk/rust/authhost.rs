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
//!
//! Using [`kv`], [`session`] or a fetch is a wish that the plugin's entry must
//! grant; what a plugin does not use it does not import.
#![allow(dead_code)]

use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::null;

const HEAD: usize = 8; // u16 hook, u16 count, u32 length
const ENTRY: usize = 12; // u16 field, u16 flags, u32 offset, u32 length
const LAZY: u16 = 1;
const PAGE: usize = 65536;
const ARENA_SIZE: usize = 32 << 10;
const MAX_ANSWER: usize = 16384;
const MAX_REASON: usize = 1024;
const MAX_VALUE: usize = 4096; // of a key or an attribute

/// How many headers one answer holds, or one request to fetch, and how many
/// attributes.
pub const MAX_HEADERS: usize = 8;

#[link(wasm_import_module = "authhost")]
extern "C" {
    #[link_name = "get"]
    fn host_get(kind: u32, name: *const u8, name_length: usize, index: u32, at: *mut u8, capacity: usize) -> i32;
    #[link_name = "log"]
    fn host_log(level: u32, at: *const u8, length: usize);
    #[link_name = "metric"]
    fn host_metric(name: *const u8, name_length: usize, delta: i64);
    #[link_name = "session_get"]
    fn host_session_get(name: *const u8, name_length: usize, at: *mut u8, capacity: usize) -> i32;
    #[link_name = "session_set"]
    fn host_session_set(name: *const u8, name_length: usize, old: *const u8, old_length: i32, new: *const u8, new_length: i32) -> i32;
    #[link_name = "kv_get"]
    fn host_kv_get(key: *const u8, key_length: usize, at: *mut u8, capacity: usize) -> i32;
    #[link_name = "kv_set"]
    fn host_kv_set(key: *const u8, key_length: usize, old: *const u8, old_length: i32, new: *const u8, new_length: i32, ttl: u64) -> i32;
    #[link_name = "kv_add"]
    fn host_kv_add(key: *const u8, key_length: usize, delta: i64, ttl: u64, sum: *mut i64) -> i32;
    #[link_name = "fetch"]
    fn host_fetch();
}

// The host runs one call at a time in an instance, which has one thread: that
// is why these may be shared.
struct Shared<T>(UnsafeCell<T>);
unsafe impl<T> Sync for Shared<T> {}

static BUFFER: Shared<[u8; MAX_ANSWER]> = Shared(UnsafeCell::new([0; MAX_ANSWER])); // shared with the host
static OUT: Shared<[u8; MAX_ANSWER]> = Shared(UnsafeCell::new([0; MAX_ANSWER])); // where an answer is laid out
static ARENA: Shared<[u8; ARENA_SIZE]> = Shared(UnsafeCell::new([0; ARENA_SIZE])); // what was read
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
    let mut line = Line::new();
    line.add(b"panic at ");
    if let Some(at) = info.location() {
        line.add(at.file().as_bytes());
        line.add(b":");
        line.number(at.line().into());
    }
    log(Level::Error, line.whole());
    core::arch::wasm32::unreachable()
}

struct Line {
    text: [u8; 256],
    length: usize,
}

impl Line {
    fn new() -> Self {
        Line { text: [0; 256], length: 0 }
    }

    fn add(&mut self, text: &[u8]) {
        for (to, from) in self.text.iter_mut().skip(self.length).zip(text) {
            *to = *from;
            self.length += 1;
        }
    }

    fn number(&mut self, n: u64) {
        if n >= 10 {
            self.number(n / 10);
        }
        self.add(&[b'0' + (n % 10) as u8]);
    }

    fn whole(&self) -> &[u8] {
        &self.text[..self.length]
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
            let pages = (self.used.saturating_add(n).max(2 * self.size) - 1) / PAGE + 1;
            let end = core::arch::wasm32::memory_grow(0, pages);
            assert!(end != usize::MAX, "out of memory");
            *self = Room { at: end * PAGE, size: pages * PAGE, used: 0 };
        }
        self.used += n;
        self.at + self.used - n
    }
}

/// One call of a hook, which a [`Request`] and an [`Event`](logout::Event) are
/// of: its frame, and the texts that live until it ends.
pub struct Call<'a> {
    frame: &'a [u8],
    table: usize,
    used: Cell<usize>,
    fetched: [Cell<(u16, &'a [u8])>; 4], // lazy fields: a plugin may ask for the roles again and again
    here: PhantomData<*const ()>,        // not to be sent elsewhere
}

impl<'a> Call<'a> {
    /// Begins what the host has asked. Safe code of a plugin can call a hook
    /// from inside a handler, which would write anew what the handler's texts
    /// are views of. So the frame is asked once: its hook is erased, and the
    /// call traps before it changes anything.
    fn begin(hook: u16, length: u32) -> Self {
        let buffer = BUFFER.0.get();
        assert!(u16_at(unsafe { &*buffer }, 0) == hook, "a frame of another hook, or one that was asked");
        unsafe {
            (*buffer)[0] = 0;
            (*MORE.0.get()).used = 0;
        }
        let frame: &'a [u8] = unsafe { &(*buffer)[..length as usize] };
        assert!(frame.len() >= HEAD && u32_at(frame, 4) == frame.len(), "malformed frame");
        let table = HEAD + u16_at(frame, 2) as usize * ENTRY;
        assert!(table <= frame.len(), "malformed frame");
        Call { frame, table, used: Cell::new(0), fetched: Default::default(), here: PhantomData }
    }

    /// Puts texts together, which takes room of the arena:
    /// `r.join(&[b"seen/", r.user_id()])`.
    pub fn join(&self, texts: &[&[u8]]) -> &'a [u8] {
        let length = texts.iter().fold(0, |n: usize, text| n.saturating_add(text.len()));
        let whole = unsafe { core::slice::from_raw_parts_mut(self.room(length) as *mut u8, length) };
        let mut n = 0;
        for text in texts {
            whole[n..][..text.len()].copy_from_slice(text);
            n += text.len();
        }
        whole
    }

    /// A number in its decimal digits.
    pub fn decimal(&self, n: u64) -> &'a [u8] {
        let mut line = Line::new();
        line.number(n);
        self.join(&[line.whole()])
    }

    /// A field's bytes, lazy or not; empty if absent.
    fn field(&self, id: u16) -> &'a [u8] {
        self.find(id).unwrap_or(b"")
    }

    fn find(&self, id: u16) -> Option<&'a [u8]> {
        let hint = unsafe { &mut (*HINTS.0.get())[id as usize & 255] };
        let mut at = *hint as usize;
        if at < HEAD || at >= self.table || u16_at(self.frame, at) != id {
            at = HEAD;
            while at < self.table && u16_at(self.frame, at) != id {
                at += ENTRY;
            }
            if at == self.table {
                return None;
            }
            *hint = at as u16;
        }
        if u16_at(self.frame, at + 2) & LAZY != 0 {
            return Some(self.lazy(id));
        }
        let (start, length) = (u32_at(self.frame, at + 4), u32_at(self.frame, at + 8));
        assert!(start >= self.table && start <= self.frame.len() && length <= self.frame.len() - start, "malformed frame");
        Some(&self.frame[start..start + length])
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
        match self.find(id) {
            None => 0,
            Some(&[a, b, c, d, e, f, g, h]) => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => panic!("malformed frame"),
        }
    }

    fn get(&self, kind: u32, name: &[u8], index: u32) -> Option<&'a [u8]> {
        self.read(|at, room| unsafe { host_get(kind, name.as_ptr(), name.len(), index, at, room) })
    }

    /// Each value has a part of the arena of its own until the call ends. That
    /// of a key may be another at the second look.
    fn read(&self, host: impl Fn(*mut u8, usize) -> i32) -> Option<&'a [u8]> {
        let mut at = self.free();
        let mut room = ARENA_SIZE - self.used.get();
        let mut n = host(at as *mut u8, room);
        if n > room as i32 {
            room = MAX_VALUE.max(n as usize);
            at = unsafe { (*MORE.0.get()).take(room) };
            n = host(at as *mut u8, room);
            assert!(n <= room as i32, "the host gives another length than it said");
            unsafe { (*MORE.0.get()).used -= room - n.max(0) as usize }; // the rest is for others
        } else if n > 0 {
            self.used.set(self.used.get() + n as usize);
        }
        if n < 0 {
            return None;
        }
        Some(unsafe { core::slice::from_raw_parts(at as *const u8, n as usize) })
    }

    /// The arena from where it is free.
    fn free(&self) -> usize {
        ARENA.0.get() as usize + self.used.get()
    }

    /// Takes room for a text.
    fn room(&self, length: usize) -> usize {
        if length > ARENA_SIZE - self.used.get() {
            return unsafe { (*MORE.0.get()).take(length) };
        }
        self.used.set(self.used.get() + length);
        self.free() - length
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
/// `on_credential` has candidates and no identity, `on_authorize` the reverse,
/// `on_login` an identity and the deadlines of the session that is to be made;
/// what a request has not is empty.
pub struct Request<'a> {
    call: Call<'a>,
}

impl<'a> Deref for Request<'a> {
    type Target = Call<'a>;

    fn deref(&self) -> &Call<'a> {
        &self.call
    }
}

impl<'a> Request<'a> {
    fn begin(hook: u16, length: u32) -> Self {
        Request { call: Call::begin(hook, length) }
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

    /// The first moment at which the session that is to be made ends unless it
    /// is used, in Unix milliseconds.
    pub fn idle(&self) -> u64 {
        self.call.number(40)
    }

    /// The moment at which that session ends in any case, in Unix milliseconds.
    pub fn absolute(&self) -> u64 {
        self.call.number(41)
    }

    /// What came of the request that the handler wanted to have fetched when it
    /// was asked before: an answer, or in one word of [`fetch`] why there is
    /// none. `None` when it is asked for the first time.
    pub fn fetched(&self) -> Option<Result<fetch::Response<'a>, &'a [u8]>> {
        self.call.find(66)?;
        Some(match self.call.number(66) as u32 {
            0 => Err(self.call.field(69)),
            status => Ok(fetch::Response { status, body: self.call.field(67) }),
        })
    }

    /// The state that the handler had kept with that request.
    pub fn state(&self) -> &'a [u8] {
        self.call.field(68)
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

const FETCH: u32 = 3; // the code of an answer

/// Names with values.
#[derive(Clone, Copy)]
struct Pairs<'a> {
    count: usize,
    list: [(&'a [u8], &'a [u8]); MAX_HEADERS],
}

impl<'a> Pairs<'a> {
    fn new() -> Self {
        Pairs { count: 0, list: [(b"", b""); MAX_HEADERS] }
    }

    fn add(&mut self, name: &'a [u8], value: &'a [u8]) {
        self.list[self.count] = (name, value);
        self.count += 1;
    }

    fn all(&self) -> &[(&'a [u8], &'a [u8])] {
        &self.list[..self.count]
    }
}

/// The answer of `on_authorize`, a plain value.
#[derive(Clone, Copy)]
pub struct Decision<'a> {
    code: u32,
    status: u32,
    reason: &'a [u8],
    headers: Pairs<'a>,
    fetch: fetch::Wish<'a>,
}

impl<'a> Decision<'a> {
    fn new(code: u32, reason: &'a [u8]) -> Self {
        Decision { code, status: 0, reason, headers: Pairs::new(), fetch: fetch::Wish::none() }
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

    /// Has something fetched and the handler asked again, which finds it by
    /// [`Request::fetched`]. It has neither status nor headers.
    pub fn fetch(request: fetch::Request<'a>) -> Self {
        Decision { fetch: fetch::Wish::of(request), ..Self::new(FETCH, b"") }
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
        self.headers.add(name, value);
        self
    }

    fn encode(&self) -> u64 {
        let mut a = Answer::new();
        a.status(self.status);
        a.reason(self.reason);
        a.pairs(3, &self.headers);
        self.fetch.encode(&mut a);
        a.finish(self.code)
    }
}

/// The answer of `on_credential`, a plain value.
#[derive(Clone, Copy)]
pub struct Choice<'a> {
    code: u32,
    candidate: u32,
    reason: &'a [u8],
    fetch: fetch::Wish<'a>,
}

impl<'a> Choice<'a> {
    fn new(code: u32) -> Self {
        Choice { code, candidate: 0, reason: b"", fetch: fetch::Wish::none() }
    }

    /// Leaves the choice to the plugins that follow. If all abstain, no other
    /// credential is tried and the request is answered 401.
    pub fn abstain() -> Self {
        Self::new(0)
    }

    /// Has the host try that candidate next, which must be untried.
    pub fn attempt(candidate: usize) -> Self {
        Choice { candidate: candidate as u32, ..Self::new(1) }
    }

    /// Refuses the request with 401, whatever other plugins would say.
    pub fn stop() -> Self {
        Self::new(2)
    }

    /// Has something fetched and the handler asked again, which finds it by
    /// [`Request::fetched`].
    pub fn fetch(request: fetch::Request<'a>) -> Self {
        Choice { fetch: fetch::Wish::of(request), ..Self::new(FETCH) }
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
        self.fetch.encode(&mut a);
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

    fn status(&mut self, status: u32) {
        if status != 0 {
            self.number(1, status);
        }
    }

    fn moment(&mut self, field: u32, ms: Option<u64>) {
        if let Some(ms) = ms {
            self.head(field, 8);
            self.text(&ms.to_le_bytes());
        }
    }

    fn pairs(&mut self, field: u32, pairs: &Pairs) {
        for (name, value) in pairs.all() {
            self.head(field, 2 + name.len() + value.len());
            self.short(name);
            self.text(value);
        }
    }

    fn short(&mut self, text: &[u8]) {
        assert!(text.len() <= 0xffff, "a name, a value or a URL is longer than 65535 bytes");
        self.text(&(text.len() as u16).to_le_bytes());
        self.text(text);
    }

    /// Lays a request out, as it is: the host judges it.
    fn request(&mut self, field: u32, r: &fetch::Request) {
        self.head(field, 0);
        let start = self.n;
        self.short(r.method);
        self.short(r.url);
        self.text(&(r.headers.count as u16).to_le_bytes());
        for (name, value) in r.headers.all() {
            self.short(name);
            self.short(value);
        }
        self.text(r.body);
        self.measure(start);
    }

    /// Sets the length of the value that begins at `start`.
    fn measure(&mut self, start: usize) {
        let length = ((self.n - start) as u32).to_le_bytes();
        self.out[start - 4..start].copy_from_slice(&length);
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
        self.measure(start);
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

// ---- Asking other servers ------------------------------------------------------

/// What handlers that need an answer from elsewhere say and are told: a handler
/// returns what it wants to have fetched, and is asked again with what came of
/// it.
///
/// ```ignore
/// fn decide<'a>(r: &Request<'a>) -> Decision<'a> {
///     match r.fetched() {
///         None => Decision::fetch(fetch::get(r.join(&[b"https://policy.example/users/", r.user_id()]))),
///         Some(Ok(fetch::Response { status: 200, .. })) => Decision::allow(),
///         Some(Ok(fetch::Response { status: 404, .. })) => Decision::deny(b"the policy server does not know you"),
///         _ => panic!("the policy server is away"), // 503: it cannot be decided
///     }
/// }
/// ```
///
/// The plugin's entry must grant it: `{http: {hosts: [policy.example]}}`. The
/// handler that is asked again may be that of another instance, and knows what
/// is in [`Request::state`](super::Request::state) and nothing else. There are
/// at most 3 fetches for one request, of 5 seconds in all.
pub mod fetch {
    use super::{Answer, Pairs};

    /// The host is not granted, or such a request may not be sent.
    pub const REFUSED: &[u8] = b"refused";
    /// No such name, no connection, no trusted certificate, or no HTTP.
    pub const UNREACHABLE: &[u8] = b"unreachable";
    /// It took too long.
    pub const TIMEOUT: &[u8] = b"timeout";
    /// A body beyond 64 KiB.
    pub const TOO_LARGE: &[u8] = b"too_large";

    /// What is to be fetched, a plain value. A URL begins with `https://`, or
    /// `http://` where the grant says private, and names a host that is granted.
    /// One that may not be sent comes back as [`REFUSED`]; one that is too long,
    /// or no request at all, fails the call.
    #[derive(Clone, Copy)]
    pub struct Request<'a> {
        pub(super) method: &'a [u8],
        pub(super) url: &'a [u8],
        pub(super) body: &'a [u8],
        pub(super) state: &'a [u8],
        pub(super) headers: Pairs<'a>,
    }

    impl<'a> Request<'a> {
        /// The method is GET, HEAD, POST, PUT, PATCH or DELETE.
        pub fn new(method: &'a [u8], url: &'a [u8]) -> Self {
            Request { method, url, body: b"", state: b"", headers: Pairs::new() }
        }

        /// Adds a header. Panics beyond [`MAX_HEADERS`](super::MAX_HEADERS).
        pub fn header(mut self, name: &'a [u8], value: &'a [u8]) -> Self {
            self.headers.add(name, value);
            self
        }

        /// Sets the body.
        pub fn body(mut self, body: &'a [u8]) -> Self {
            self.body = body;
            self
        }

        /// Sets what the handler wants to know again, up to 4096 bytes.
        pub fn keep(mut self, state: &'a [u8]) -> Self {
            self.state = state;
            self
        }
    }

    /// A request for a URL.
    pub fn get<'a>(url: &'a [u8]) -> Request<'a> {
        Request::new(b"GET", url)
    }

    /// A request that sends a body of that type.
    pub fn post<'a>(url: &'a [u8], content_type: &'a [u8], body: &'a [u8]) -> Request<'a> {
        Request::new(b"POST", url).header(b"Content-Type", content_type).body(body)
    }

    /// The answer to a request. Redirects are not followed.
    #[derive(Clone, Copy)]
    pub struct Response<'a> {
        pub status: u32,
        pub body: &'a [u8],
    }

    /// What an answer wants fetched, if anything, and what lays that out, so that
    /// a plugin that fetches nothing has no code for it.
    #[derive(Clone, Copy)]
    pub(super) struct Wish<'a>(Option<(Request<'a>, fn(&Request, &mut Answer))>);

    impl<'a> Wish<'a> {
        pub(super) fn none() -> Self {
            Wish(None)
        }

        pub(super) fn of(request: Request<'a>) -> Self {
            fn lay_out(r: &Request, a: &mut Answer) {
                a.request(9, r);
                if !r.state.is_empty() {
                    a.head(10, r.state.len());
                    a.text(r.state);
                }
            }
            declare();
            Wish(Some((request, lay_out)))
        }

        // In place nothing is left of it where it is always none.
        #[inline(always)]
        pub(super) fn encode(&self, a: &mut Answer) {
            if let Some((request, lay_out)) = &self.0 {
                lay_out(request, a);
            }
        }
    }

    /// Does nothing. A plugin in which it can be reached imports `fetch`, which
    /// declares that something is fetched.
    pub(super) fn declare() {
        unsafe { super::host_fetch() }
    }
}

// ---- Login and logout ------------------------------------------------------------

/// The answer of `on_login`: a client has shown a valid JWT and wants a session;
/// may it have one, and on which terms?
///
/// ```ignore
/// fn admit<'a>(r: &Request<'a>) -> login::Decision<'a> {
///     if !r.client().starts_with(b"10.") {
///         return login::Decision::refuse(b"log in from the office");
///     }
///     login::Decision::go_on().absolute(r.absolute().min(r.time() * 1000 + 3_600_000)) // an hour
/// }
/// on_login!(admit);
/// ```
pub mod login {
    use super::{fetch, Answer, Pairs, FETCH};

    /// A handler's answer, a plain value.
    #[derive(Clone, Copy)]
    pub struct Decision<'a> {
        code: u32,
        status: u32,
        reason: &'a [u8],
        headers: Pairs<'a>,
        idle: Option<u64>,
        absolute: Option<u64>,
        attributes: Pairs<'a>,
        fetch: fetch::Wish<'a>,
    }

    impl<'a> Decision<'a> {
        fn new(code: u32, reason: &'a [u8]) -> Self {
            let (headers, attributes) = (Pairs::new(), Pairs::new());
            Decision { code, status: 0, reason, headers, idle: None, absolute: None, attributes, fetch: fetch::Wish::none() }
        }

        /// Agrees to the session, unless a plugin that follows refuses it.
        pub fn go_on() -> Self {
            Self::new(0, b"")
        }

        /// Refuses the session with 403 and ends the chain. The reason is shown
        /// to the client: at most 1024 bytes in one line, more is cut, and what
        /// is not text is replaced.
        pub fn refuse(reason: &'a [u8]) -> Self {
            Self::new(2, reason)
        }

        /// Has something fetched and the handler asked again, which finds it by
        /// [`Request::fetched`](super::Request::fetched).
        pub fn fetch(request: fetch::Request<'a>) -> Self {
            Decision { fetch: fetch::Wish::of(request), ..Self::new(FETCH, b"") }
        }

        /// Makes a refusal answer 401, 403 or 429. Panics with any other status,
        /// and unless the decision is a refusal.
        pub fn status(mut self, status: u32) -> Self {
            assert!(self.code == 2, "only a refusal has a status");
            assert!(matches!(status, 401 | 403 | 429), "the status of a refusal is 401, 403 or 429");
            self.status = status;
            self
        }

        /// Sets a header of a refusal's answer: `Retry-After`,
        /// `WWW-Authenticate`, or one that the plugin's configuration names.
        /// Panics beyond [`MAX_HEADERS`](super::MAX_HEADERS), and unless the decision is a refusal.
        pub fn header(mut self, name: &'a [u8], value: &'a [u8]) -> Self {
            assert!(self.code == 2, "only a refusal has headers");
            self.headers.add(name, value);
            self
        }

        /// Sets the reason; unless the decision is a refusal, only the log has it.
        pub fn reason(mut self, text: &'a [u8]) -> Self {
            self.reason = text;
            self
        }

        /// Brings the session's first idle deadline forward, to Unix
        /// milliseconds, and lets it never lie unused for longer than until
        /// then. One that is later than [`Request::idle`](super::Request::idle),
        /// or past, fails the call.
        pub fn idle(mut self, ms: u64) -> Self {
            self.goes_on();
            self.idle = Some(ms);
            self
        }

        /// Brings the moment forward at which the session ends in any case,
        /// likewise.
        pub fn absolute(mut self, ms: u64) -> Self {
            self.goes_on();
            self.absolute = Some(ms);
            self
        }

        /// Has the session remember a value under a name of 1 to 256 bytes, set
        /// once by one plugin. A session holds 64 attributes of 4096 bytes in
        /// all; more fails the call. Panics beyond [`MAX_HEADERS`](super::MAX_HEADERS), which is
        /// what one plugin may set.
        pub fn attribute(mut self, name: &'a [u8], value: &'a [u8]) -> Self {
            self.goes_on();
            self.attributes.add(name, value);
            self
        }

        fn goes_on(&self) {
            assert!(self.code == 0, "only a session that is agreed to has terms");
        }

        pub(super) fn encode(&self) -> u64 {
            let mut a = Answer::new();
            a.status(self.status);
            a.reason(self.reason);
            a.pairs(3, &self.headers);
            a.moment(5, self.idle);
            a.moment(6, self.absolute);
            a.pairs(7, &self.attributes);
            self.fetch.encode(&mut a);
            a.finish(self.code)
        }
    }
}

/// What `on_logout` is told, and its answer: access has ended, and whoever must
/// know is to be told.
///
/// ```ignore
/// fn tell<'a>(e: &Event<'a>) -> logout::Answer<'a> {
///     logout::Answer::nothing().send(fetch::post(b"https://hooks.example/ended", b"text/plain", e.user_id()))
/// }
/// on_logout!(tell);
/// ```
///
/// The end cannot be undone, and whoever logged out does not wait for the
/// handler. It is asked again when it fails, and sometimes when it did not; the
/// event's id tells. What it has sent is delivered until it is answered with 200
/// to 299, for a week, with the header `Idempotency-Key`. The plugin's entry
/// must grant it: `{http: {hosts: [hooks.example]}}`.
pub mod logout {
    use super::{fetch, Call, Deref, List};

    /// What ended: one session, or several at once for the same reason.
    pub const SESSION: &[u8] = b"session";
    /// What ended: one JWT.
    pub const TOKEN: &[u8] = b"token";
    /// What ended: all sessions and JWTs that there were.
    pub const USER: &[u8] = b"user";

    /// How many requests one [`Answer`] holds: as many as the host takes.
    pub const MAX_CALLS: usize = 8;

    /// One end of a user's access.
    pub struct Event<'a> {
        call: Call<'a>,
    }

    impl<'a> Deref for Event<'a> {
        type Target = Call<'a>;

        fn deref(&self) -> &Call<'a> {
            &self.call
        }
    }

    impl<'a> Event<'a> {
        pub(super) fn begin(length: u32) -> Self {
            Event { call: Call::begin(5, length) }
        }

        /// The event's id, `evt_…`: no other end has it.
        pub fn id(&self) -> &'a [u8] {
            self.call.field(48)
        }

        /// The realm's name.
        pub fn realm(&self) -> &'a [u8] {
            self.call.field(10)
        }

        /// The id of the user, `usr_…`.
        pub fn user_id(&self) -> &'a [u8] {
            self.call.field(11)
        }

        /// Who vouches for the user, empty if that is not known.
        pub fn issuer(&self) -> &'a [u8] {
            self.call.field(12)
        }

        /// The issuer's name for the user, empty if that is not known.
        pub fn subject(&self) -> &'a [u8] {
            self.call.field(13)
        }

        /// What ended: [`SESSION`], [`TOKEN`] or [`USER`].
        pub fn what(&self) -> &'a [u8] {
            self.call.field(53)
        }

        /// One of `logout`, `session_ended`, `logout_everywhere`,
        /// `deactivated`, `idle`, `absolute`, `token_ended` and `displaced`.
        pub fn why(&self) -> &'a [u8] {
            self.call.field(49)
        }

        /// Who ended it: `self`, `realm_admin`, `operator`, or `host` by a rule.
        pub fn by_rank(&self) -> &'a [u8] {
            self.call.field(50)
        }

        /// The user id or the operator's name of who it was; empty for the host.
        pub fn by_id(&self) -> &'a [u8] {
            self.call.field(51)
        }

        /// When it ended, in Unix milliseconds.
        pub fn at(&self) -> u64 {
            self.call.number(52)
        }

        /// The session's public id, `ses_…`, if one session ended.
        pub fn session_id(&self) -> &'a [u8] {
            self.call.field(17)
        }

        /// The public ids of the sessions that ended, as far as they are known.
        pub fn sessions(&self) -> List<'a> {
            List(self.call.field(54))
        }
    }

    /// What a handler wants sent, a plain value.
    #[derive(Clone, Copy)]
    pub struct Answer<'a> {
        reason: &'a [u8],
        calls: [Option<fetch::Request<'a>>; MAX_CALLS],
        count: usize,
    }

    impl<'a> Answer<'a> {
        /// Has nothing sent.
        pub fn nothing() -> Self {
            Answer { reason: b"", calls: [None; MAX_CALLS], count: 0 }
        }

        /// Has a request sent besides. What came of it nobody is told, and its
        /// state counts for nothing. Panics beyond [`MAX_CALLS`].
        pub fn send(mut self, request: fetch::Request<'a>) -> Self {
            fetch::declare();
            self.calls[self.count] = Some(request);
            self.count += 1;
            self
        }

        /// Sets a reason, for the log.
        pub fn reason(mut self, text: &'a [u8]) -> Self {
            self.reason = text;
            self
        }

        pub(super) fn encode(&self) -> u64 {
            let mut a = super::Answer::new();
            a.reason(self.reason);
            for r in self.calls.iter().flatten() {
                a.request(8, r);
            }
            a.finish(0)
        }
    }
}

// ---- What the host keeps ------------------------------------------------------------

/// What a key or an attribute has, or is to have. It is the length that says to
/// the host whether there is a value.
struct Value(*const u8, i32);

const NONE: Value = Value(null(), -1);
const ANY: Value = Value(null(), -2); // whatever it is

impl Value {
    fn some(text: &[u8]) -> Self {
        Value(text.as_ptr(), text.len() as i32)
    }
}

/// Keys of the plugin's own in the cache that all replicas share. The plugin's
/// entry grants it by the capability `{kv: {keys: 1000}}`.
///
/// ```ignore
/// let sum = kv::add(r.join(&[b"seen/", r.user_id()]), 1, kv::HOUR);
/// ```
///
/// A key has 1 to 256 bytes, a value up to 4096; what is past that fails the
/// call, as does a cache that does not answer: the request is answered 503. A
/// call takes a round trip or several, so few of them fit into one request.
/// They work in the hooks, not in `configure`. How long a key lives, `ttl`, is
/// in milliseconds, from 1 to 31 days.
pub mod kv {
    use super::{host_kv_add, host_kv_get, host_kv_set, Call, Value, ANY, NONE};

    pub const MILLISECOND: u64 = 1;
    pub const SECOND: u64 = 1000 * MILLISECOND;
    pub const MINUTE: u64 = 60 * SECOND;
    pub const HOUR: u64 = 60 * MINUTE;
    pub const DAY: u64 = 24 * HOUR;

    /// Why nothing has changed. (It has no `Debug`, so that no `unwrap` brings
    /// along what is larger than most plugins.)
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Error {
        /// The value was another. Of [`add`]: no number, or one to which this
        /// cannot be added.
        Other,
        /// As many keys live as are granted.
        Full,
    }

    /// The value of a key. It lives as long as the texts of `call`, which is the
    /// handler's request or event.
    pub fn get<'a>(call: &Call<'a>, key: &[u8]) -> Option<&'a [u8]> {
        call.read(|at, room| unsafe { host_kv_get(key.as_ptr(), key.len(), at, room) })
    }

    /// Makes `value` the value of a key, whatever it was. Fails with
    /// [`Error::Full`].
    pub fn put(key: &[u8], value: &[u8], ttl: u64) -> Result<(), Error> {
        set(key, ANY, Value::some(value), ttl)
    }

    /// Makes a key that is absent.
    pub fn create(key: &[u8], value: &[u8], ttl: u64) -> Result<(), Error> {
        set(key, NONE, Value::some(value), ttl)
    }

    /// Makes `next` the value of a key, and `ttl` count from now, if its value is
    /// `old`. Fails with [`Error::Other`].
    pub fn swap(key: &[u8], old: &[u8], next: &[u8], ttl: u64) -> Result<(), Error> {
        set(key, Value::some(old), Value::some(next), ttl)
    }

    /// Removes a key, present or not.
    pub fn delete(key: &[u8]) {
        let _ = set(key, ANY, NONE, 0); // there is nothing that it could be refused for
    }

    /// Removes a key if its value is `old`. Fails with [`Error::Other`].
    pub fn delete_if(key: &[u8], old: &[u8]) -> Result<(), Error> {
        set(key, Value::some(old), NONE, 0)
    }

    /// Adds `delta` to a number, kept as its decimal digits, and returns the
    /// sum, in one step with nobody in between. A key that is absent is made
    /// with `ttl`; one that is there keeps its deadline.
    pub fn add(key: &[u8], delta: i64, ttl: u64) -> Result<i64, Error> {
        let mut sum = 0;
        result(unsafe { host_kv_add(key.as_ptr(), key.len(), delta, ttl, &mut sum) })?;
        Ok(sum)
    }

    fn set(key: &[u8], old: Value, new: Value, ttl: u64) -> Result<(), Error> {
        result(unsafe { host_kv_set(key.as_ptr(), key.len(), old.0, old.1, new.0, new.1, ttl) })
    }

    fn result(status: i32) -> Result<(), Error> {
        match status {
            1 => Ok(()),
            -3 => Err(Error::Full),
            _ => Err(Error::Other),
        }
    }
}

/// What the session remembers in which the request came. The plugin's entry
/// grants it by the capability `session`. Attributes are shared by all plugins
/// that have it.
///
/// A request with a JWT alone, and an anonymous one, is in no session: nothing
/// is there, and nothing can be set. A session has at most 64 attributes of
/// 4 KiB in all; what is past that fails the call, as does a cache that does not
/// answer: the request is answered 503.
pub mod session {
    use super::{host_session_get, host_session_set, Call, Value, NONE};

    /// Why nothing has changed; as [`kv::Error`](super::kv::Error).
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Error {
        /// The value was another.
        Other,
        /// There is no live session.
        Ended,
    }

    /// An attribute. It lives as long as the texts of `call`, which is the
    /// handler's request.
    pub fn get<'a>(call: &Call<'a>, name: &[u8]) -> Option<&'a [u8]> {
        call.read(|at, room| unsafe { host_session_get(name.as_ptr(), name.len(), at, room) })
    }

    /// Makes an attribute that is absent.
    pub fn create(name: &[u8], value: &[u8]) -> Result<(), Error> {
        set(name, NONE, Value::some(value))
    }

    /// Makes `next` the value of an attribute if its value is `old`.
    pub fn swap(name: &[u8], old: &[u8], next: &[u8]) -> Result<(), Error> {
        set(name, Value::some(old), Value::some(next))
    }

    /// Removes an attribute if its value is `old`.
    pub fn delete(name: &[u8], old: &[u8]) -> Result<(), Error> {
        set(name, Value::some(old), NONE)
    }

    fn set(name: &[u8], old: Value, new: Value) -> Result<(), Error> {
        match unsafe { host_session_set(name.as_ptr(), name.len(), old.0, old.1, new.0, new.1) } {
            1 => Ok(()),
            -1 => Err(Error::Ended),
            _ => Err(Error::Other),
        }
    }
}

/// Counters. What a plugin counts is in the host's `/metrics` as
/// `authhost_plugin_metric_total`, with the plugin's name and the counter's.
///
/// ```ignore
/// counters!(REFUSED = b"refused", ADMITTED = b"admitted");
///
/// REFUSED.inc();
/// ```
pub mod metric {
    /// One number that only grows.
    #[derive(Clone, Copy)]
    pub struct Counter<'a>(&'a [u8]);

    impl<'a> Counter<'a> {
        /// A counter by its name: 1 to 64 of a-z, 0-9 and _. It is to be
        /// declared.
        pub const fn new(name: &'a [u8]) -> Self {
            Counter(name)
        }

        /// Declares the counter, at most 32 of a plugin, in the handler of
        /// `configure`; what [`counters!`] has made is declared. In the middle
        /// of a request it fails the call.
        pub fn declare(&self) {
            self.add(0);
        }

        /// Adds one.
        pub fn inc(&self) {
            self.add(1);
        }

        /// Adds `n`, at most `i64::MAX`.
        pub fn add(&self, n: u64) {
            unsafe { super::host_metric(self.0.as_ptr(), self.0.len(), n as i64) }
        }
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

/// For [`on_login!`].
pub fn serve_login(length: u32, handler: impl for<'a> FnOnce(&Request<'a>) -> login::Decision<'a>) -> u64 {
    handler(&Request::begin(4, length)).encode()
}

/// For [`on_logout!`].
pub fn serve_logout(length: u32, handler: impl for<'a> FnOnce(&logout::Event<'a>) -> logout::Answer<'a>) -> u64 {
    handler(&logout::Event::begin(length)).encode()
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

/// Declares the hook that says whether a session may be made, and its handler:
/// `fn<'a>(&Request<'a>) -> login::Decision<'a>`.
#[allow(unused_macros)]
macro_rules! on_login {
    ($handler:expr) => {
        #[no_mangle]
        pub extern "C" fn on_login(length: u32) -> u64 {
            $crate::authhost::serve_login(length, $handler)
        }
    };
}

/// Declares the hook that is told that access has ended, and its handler:
/// `fn<'a>(&Event<'a>) -> logout::Answer<'a>`.
#[allow(unused_macros)]
macro_rules! on_logout {
    ($handler:expr) => {
        #[no_mangle]
        pub extern "C" fn on_logout(length: u32) -> u64 {
            $crate::authhost::serve_logout(length, $handler)
        }
    };
}

/// Declares counters, once in a plugin, each a static
/// [`Counter`](metric::Counter): `counters!(REFUSED = b"refused");`.
#[allow(unused_macros)]
macro_rules! counters {
    ($($counter:ident = $name:expr),+ $(,)?) => {
        $(static $counter: $crate::authhost::metric::Counter = $crate::authhost::metric::Counter::new($name);)+

        #[no_mangle]
        pub extern "C" fn _initialize() {
            $($counter.declare();)+
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
