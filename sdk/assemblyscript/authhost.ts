/**
 * The AssemblyScript SDK for authhost plugins, ABI version 1: abi/SPEC.md.
 *
 * ```ts
 * import { abstain, authorize, Decision, deny, Request } from "./authhost";
 * export { authhost_abi_v1, authhost_buffer } from "./authhost";
 *
 * export function on_authorize(frame: i32): i64 {
 *   return authorize(frame, decide);
 * }
 *
 * function decide(r: Request): Decision {
 *   if (r.method.is("DELETE") && !r.hasRole("admin")) return deny("deleting needs admin");
 *   return abstain();
 * }
 * ```
 *
 * A plugin's hooks are the functions that it exports. Texts, lists and answers
 * are no objects of the heap but lie in an arena of 32 KiB that each call uses
 * anew: they hold until the handler returns, and nothing is allocated. What
 * the arena has no room for takes more memory once, which is used again. What
 * a handler throws ends the call and the instance: the host logs it and
 * answers 503.
 */

// @ts-ignore: decorator
@external("authhost", "get")
declare function hostGet(kind: u32, name: usize, nameLength: u32, index: u32, at: usize, capacity: u32): i32;

// @ts-ignore: decorator
@external("authhost", "log")
declare function hostLog(level: u32, at: usize, length: u32): void;

// @ts-ignore: decorator
@external("authhost", "metric")
declare function hostMetric(name: usize, nameLength: u32, delta: i64): void;

// @ts-ignore: decorator
@external("authhost", "session_get")
declare function hostSessionGet(name: usize, nameLength: u32, at: usize, capacity: u32): i32;

// @ts-ignore: decorator
@external("authhost", "session_set")
declare function hostSessionSet(name: usize, nameLength: u32, old: usize, oldLength: i32, next: usize, nextLength: i32): i32;

// @ts-ignore: decorator
@external("authhost", "kv_get")
declare function hostKVGet(key: usize, keyLength: u32, at: usize, capacity: u32): i32;

// @ts-ignore: decorator
@external("authhost", "kv_set")
declare function hostKVSet(key: usize, keyLength: u32, old: usize, oldLength: i32, next: usize, nextLength: i32, ttl: i64): i32;

// @ts-ignore: decorator
@external("authhost", "kv_add")
declare function hostKVAdd(key: usize, keyLength: u32, delta: i64, ttl: i64, sum: usize): i32;

// It does nothing: importing it declares that something is fetched.
// @ts-ignore: decorator
@external("authhost", "fetch")
declare function hostFetch(): void;

const HEAD: u32 = 8; // u16 hook, u16 count, u32 length
const ENTRY: u32 = 12; // u16 field, u16 flags, u32 offset, u32 length
const LAZY: u32 = 1;
const MAX_ANSWER: u32 = 16384;
const MAX_REASON: u32 = 1024;
const ARENA: u32 = 32768;

const BUFFER = memory.data(16384); // shared with the host
const OUT = memory.data(16384); // an answer is laid out here: its texts may be views of the buffer
const FIXED = memory.data(32768); // the arena
const HINTS = memory.data(512); // where in the table each field was last
const EMPTY = memory.data(8); // a text without bytes, which stands for none
const NOTHING = memory.data(8); // what has no state of its own, such as the request

/** The marker of the ABI. A plugin exports it. */
export function authhost_abi_v1(): void {}

/** Where frames and answers go. A plugin exports it. */
export function authhost_buffer(): i64 {
  return (<i64>BUFFER << 32) | MAX_ANSWER;
}

// ---- The arena -----------------------------------------------------------------

let used: u32 = 0; // of the arena, in this call
let more: usize = 0; // memory beyond it
let moreSize: u32 = 0;
let moreUsed: u32 = 0;

// take returns room until the call ends. Beyond the arena so much is taken
// that another call like this one, and then some, does with it.
function take(n: u32): usize {
  if (n <= ARENA - used) {
    used += n;
    return FIXED + used - n;
  }
  if (n > moreSize - moreUsed) {
    moreSize = max(moreUsed + n, 2 * moreSize);
    more = heap.alloc(moreSize);
    moreUsed = 0;
  }
  moreUsed += n;
  return more + moreUsed - n;
}

// ---- Texts ---------------------------------------------------------------------

/** A run of bytes. What a client sent, such as a path, need not be UTF-8. */
@unmanaged
export class Text {
  /** The address of the first byte. */
  at: usize;
  /** How many bytes. */
  length: u32;

  /** Whether these are the bytes of a string in UTF-8. */
  is(s: string): bool {
    return same(this.at, this.length, s);
  }

  /** Whether the bytes are the same. */
  equals(other: Text): bool {
    return equal(this.at, this.length, other.at, other.length);
  }

  /** The i-th byte. */
  byte(i: u32): u32 {
    if (i >= this.length) throw new Error("a byte beyond the text");
    return load<u8>(this.at + i);
  }

  /** The part from one byte to before another. */
  slice(from: u32, to: u32 = this.length): Text {
    if (from > to || to > this.length) throw new Error("a part beyond the text");
    return view(this.at + from, to - from);
  }

  /** A copy as a string, which is allocated. */
  toString(): string {
    return String.UTF8.decodeUnsafe(this.at, this.length);
  }
}

function view(at: usize, length: u32): Text {
  const text = changetype<Text>(take(offsetof<Text>()));
  text.at = at;
  text.length = length;
  return text;
}

// text returns a string's bytes in UTF-8, or a Text as it is.
function text<T>(value: T): Text {
  if (isString(value)) {
    const s = changetype<string>(value);
    const room = take(3 * s.length);
    return view(room, <u32>String.UTF8.encodeUnsafe(changetype<usize>(s), s.length, room));
  }
  return changetype<Text>(value);
}

function same(at: usize, length: u32, s: string): bool {
  if (<u32>s.length > length) return false;
  const end = at + length;
  let p = changetype<usize>(s);
  const q = p + (<usize>s.length << 1);
  while (p < q) {
    let c = <u32>load<u16>(p);
    p += 2;
    if (c < 0x80) {
      if (at == end || load<u8>(at++) != c) return false;
      continue;
    }
    if ((c & 0xfc00) == 0xd800 && p < q) {
      c = 0x10000 + ((c & 0x3ff) << 10) + (load<u16>(p) & 0x3ff);
      p += 2;
    }
    const n: u32 = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (end - at < n) return false;
    if (load<u8>(at) != (((0xf00 >> n) & 0xff) | (c >> (6 * (n - 1))))) return false;
    for (let i: u32 = 1; i < n; i++) {
      if (load<u8>(at + i) != (0x80 | ((c >> (6 * (n - 1 - i))) & 0x3f))) return false;
    }
    at += n;
  }
  return at == end;
}

// equal compares eight bytes at a time, the last eight perhaps twice: a loop is
// the most expensive thing that a metered guest can do.
function equal(a: usize, n: u32, b: usize, m: u32): bool {
  if (n != m) return false;
  let i: u32 = 0;
  if (n >= 8) {
    for (; i < n - 8; i += 8) if (load<u64>(a + i) != load<u64>(b + i)) return false;
    return load<u64>(a + n - 8) == load<u64>(b + n - 8);
  }
  for (; i < n; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
  return true;
}

// ---- The log -------------------------------------------------------------------

/** How loud a line of the log is. */
export enum Level {
  Debug = 0,
  Info = 1,
  Warn = 2,
  Error = 3,
}

/** Writes a line, a string or a Text, to the host's log, which adds the plugin's name. */
export function log<T>(level: Level, line: T): void {
  const t = text<T>(line);
  hostLog(level, t.at, t.length);
}

/**
 * What a throw becomes: `--use abort=authhost/fail`. It logs the message and
 * where it was, and ends the call.
 */
export function fail(message: string | null, file: string | null, line: u32, column: u32): void {
  laid = 0;
  write(message ? message : "failed");
  write(" at ");
  write(file ? file : "an unknown place");
  write(":");
  writeNumber(line);
  hostLog(Level.Error, OUT, laid);
  unreachable();
}

// write puts as much of a string as may be a line's into OUT, which has room
// for some of these.
function write(s: string): void {
  laid += <u32>String.UTF8.encodeUnsafe(changetype<usize>(s), min(s.length, 1024), OUT + laid);
}

function writeNumber(n: u32): void {
  if (n >= 10) writeNumber(n / 10);
  store<u8>(OUT + laid++, 48 + (n % 10));
}

// ---- The frame -----------------------------------------------------------------

let length: u32 = 0; // of the frame
let table: u32 = 0; // where its table ends

// Lazy fields that were read in this call, in the arena.
@unmanaged
class Fetched {
  next: Fetched | null;
  id: u32;
  value: Text;
}

let fetched: Fetched | null = null;

function begin(hook: u32, n: u32): void {
  used = 0;
  moreUsed = 0;
  fetched = null;
  if (n < HEAD || n > MAX_ANSWER || load<u32>(BUFFER, 4) != n) throw new Error("malformed frame");
  length = n;
  table = HEAD + <u32>load<u16>(BUFFER, 2) * ENTRY;
  if (table > n) throw new Error("malformed frame");
  if (load<u16>(BUFFER) != hook) throw new Error("a frame of another hook");
}

// field returns a field's bytes, lazy or not; EMPTY itself if absent.
function field(id: u32): Text {
  const hint = HINTS + ((id & 255) << 1);
  let at: u32 = load<u16>(hint);
  if (at < HEAD || at >= table || load<u16>(BUFFER + at) != id) {
    for (at = HEAD; at < table && load<u16>(BUFFER + at) != id; ) at += ENTRY;
    if (at == table) return changetype<Text>(EMPTY);
    store<u16>(hint, at);
  }
  const entry = BUFFER + at;
  if (load<u16>(entry, 2) & LAZY) return lazyField(id);
  const start = load<u32>(entry, 4), n = load<u32>(entry, 8);
  if (start < table || start > length || n > length - start) throw new Error("malformed frame");
  return view(BUFFER + start, n);
}

function lazyField(id: u32): Text {
  let f = fetched;
  while (f) {
    if (f.id == id) return f.value;
    f = f.next;
  }
  const value = get(5, BUFFER, 0, id);
  if (!value) throw new Error("the host does not give a field of its own frame");
  const read = changetype<Fetched>(take(offsetof<Fetched>()));
  read.next = fetched;
  read.id = id;
  read.value = value;
  fetched = read;
  return value;
}

function absent(value: Text): bool {
  return changetype<usize>(value) == EMPTY;
}

function number(id: u32): u64 {
  const value = field(id);
  if (absent(value)) return 0;
  if (value.length != 8) throw new Error("malformed frame");
  return load<u64>(value.at);
}

function get(kind: u32, name: usize, nameLength: u32, index: u32): Text | null {
  let at = FIXED + used;
  const room = ARENA - used;
  const n = hostGet(kind, name, nameLength, index, at, room);
  if (n < 0) return null;
  if (<u32>n > room) {
    at = take(n);
    if (hostGet(kind, name, nameLength, index, at, n) != n) throw new Error("the host gives another length than it said");
  } else {
    used += n;
  }
  return view(at, n);
}

function getNamed<T>(kind: u32, name: T, index: u32): Text | null {
  const t = text<T>(name);
  return get(kind, t.at, t.length, index);
}

/** A list of texts: `for (let role = roles.next(); role; role = roles.next())`. */
@unmanaged
export class List {
  private at: usize;
  private left: u32;

  /** The next item, null at the end. */
  next(): Text | null {
    const n = item(this.at, this.left);
    if (n < 0) return null;
    const at = this.at + 4;
    this.at = at + n;
    this.left -= 4 + n;
    return view(at, n);
  }
}

// list returns a list to go through, each time a new one.
function list(id: u32): List {
  const value = field(id);
  return changetype<List>(view(value.at, value.length));
}

// item returns the length of a list's first item, -1 at the end.
function item(at: usize, left: u32): i32 {
  if (left == 0) return -1;
  if (left < 4) throw new Error("malformed frame");
  const n = load<u32>(at);
  if (n > left - 4) throw new Error("malformed frame");
  return n;
}

function has(list: Text, wanted: string): bool {
  let at = list.at, left = list.length;
  for (let n = item(at, left); n >= 0; n = item(at, left)) {
    if (same(at + 4, n, wanted)) return true;
    at += 4 + n;
    left -= 4 + n;
  }
  return false;
}

// ---- The request ---------------------------------------------------------------

/**
 * The request that a hook is asked about, as the gateway will forward it.
 * on_credential has candidates and no identity, the others the reverse; what a
 * request has not is empty. Names that are read by can be a string or a Text.
 */
@unmanaged
export class Request {
  /** The method, an upper-case token. */
  get method(): Text { return field(1); }
  /** http or https. */
  get scheme(): Text { return field(2); }
  /** The host in lower case, without port and final dot. */
  get host(): Text { return field(3); }
  /** The path decoded once: the one to judge. */
  get path(): Text { return field(4); }
  /** The path as it will be forwarded. */
  get rawPath(): Text { return field(5); }
  /** The raw query without "?" and without credentials. */
  get query(): Text { return field(6); }
  /** The client's IP address, the one behind the gateways. */
  get client(): Text { return field(7); }
  /** When the request came, in Unix seconds. */
  get time(): u64 { return number(8); }
  /** The path pattern of the route that matched. */
  get route(): Text { return field(9); }
  /** The realm's name. */
  get realm(): Text { return field(10); }

  /**
   * A request header by its name in any case; of those that repeat, the
   * index-th from 0. One that carries credentials is not there.
   */
  header<T>(name: T, index: u32 = 0): Text | null { return getNamed<T>(1, name, index); }
  /** A cookie; not one that is a credential. */
  cookie<T>(name: T, index: u32 = 0): Text | null { return getNamed<T>(2, name, index); }
  /** A query parameter, decoded; not one that is a credential. */
  queryParam<T>(name: T, index: u32 = 0): Text | null { return getNamed<T>(3, name, index); }
  /**
   * A claim of the JWT by its name or, beginning with "/", by its JSON Pointer:
   * a string as it is, anything else as JSON.
   */
  claim<T>(name: T): Text | null { return getNamed<T>(4, name, 0); }

  /** Nobody is known: the route's authentication is optional. */
  get anonymous(): bool { return field(11).length == 0; }
  /** The id of the user, usr_…. */
  get userID(): Text { return field(11); }
  /** Who vouches for the user. */
  get issuer(): Text { return field(12); }
  /** The issuer's name for the user. */
  get subject(): Text { return field(13); }
  /** The user's roles. */
  get roles(): List { return list(14); }
  /** Whether the user has exactly that role. */
  hasRole(role: string): bool { return has(field(14), role); }
  /** The user's groups. */
  get groups(): List { return list(15); }
  /** Whether the user is in exactly that group. */
  hasGroup(group: string): bool { return has(field(15), group); }
  /** The user's address if the issuer says that it is verified. */
  get email(): Text { return field(16); }
  /** The session's public id, ses_…. */
  get sessionID(): Text { return field(17); }
  /** Source/kind of the credential that counted, such as header/jwt. */
  get credential(): Text { return field(18); }
  /** When the credential ends, in Unix seconds. */
  get expires(): u64 { return number(19); }

  /**
   * What came of the request that the handler wanted to have sent when it was
   * asked before; null when it is asked for the first time.
   */
  get fetched(): Response | null {
    return absent(field(66)) ? null : changetype<Response>(NOTHING);
  }

  /** The request's credentials, in the realm's order. */
  get candidates(): Candidates {
    const c = changetype<Candidates>(take(offsetof<Candidates>()));
    c.list = list(32);
    c.index = 0;
    return c;
  }
}

/** The request to log in, and whom its JWT stands for. It has no route. */
@unmanaged
export class LoginRequest extends Request {
  /** The first moment at which the session ends unless it is used, in Unix milliseconds. */
  get idle(): u64 { return number(40); }
  /** The moment at which the session ends in any case, in Unix milliseconds. */
  get absolute(): u64 { return number(41); }
}

/** One end of a user's access. */
@unmanaged
export class LogoutEvent {
  /** The event's id, evt_…: no other end has it. */
  get id(): Text { return field(48); }
  /** The realm's name. */
  get realm(): Text { return field(10); }
  /** The id of the user, usr_…. */
  get userID(): Text { return field(11); }
  /** Who vouches for the user, empty if that is not known. */
  get issuer(): Text { return field(12); }
  /** The issuer's name for the user, empty if that is not known. */
  get subject(): Text { return field(13); }
  /**
   * What ended: session (one, or several at once for the same reason), token
   * (one JWT), or user (all sessions and JWTs that there were).
   */
  get what(): Text { return field(53); }
  /**
   * One of logout, session_ended, logout_everywhere, deactivated, idle,
   * absolute, token_ended and displaced.
   */
  get why(): Text { return field(49); }
  /** Who ended it: self, realm_admin, operator, or host by a rule. */
  get byRank(): Text { return field(50); }
  /** The user id or the operator's name of who it was; empty for the host. */
  get byID(): Text { return field(51); }
  /** When it ended, in Unix milliseconds. */
  get at(): u64 { return number(52); }
  /** The session's public id, ses_…, if one session ended. */
  get sessionID(): Text { return field(17); }
  /** The public ids of the sessions that ended, as far as they are known. */
  get sessions(): List { return list(54); }
}

// ---- Candidates ----------------------------------------------------------------

export enum Source {
  Header = 1,
  Cookie = 2,
  Query = 3,
}

export enum Kind {
  Malformed = 0,
  JWT = 1,
  Session = 2,
  AccessToken = 3,
}

export enum Verdict {
  Untried = 0,
  Valid = 1, // never seen: a valid one ends the search
  Malformed = 2,
  BadSignature = 3,
  Expired = 4,
  NotYetValid = 5,
  WrongIssuer = 6,
  WrongAudience = 7,
  Unknown = 8,
  Revoked = 9,
}

/** One credential of the request; its value is never shown. */
@unmanaged
export class Candidate {
  /** Its place in the list, from 0. */
  index: u32;
  source: Source;
  kind: Kind;
  verdict: Verdict;
  /** The name of the header, cookie or query parameter. */
  name: Text;
  /** Whom a properly signed one names, tried or not; else empty. */
  userID: Text;
}

/** The list of candidates: `for (let c = candidates.next(); c; c = candidates.next())`. */
@unmanaged
export class Candidates {
  list: List;
  index: u32;

  /** The next one, null at the end. */
  next(): Candidate | null {
    const b = this.list.next();
    if (!b) return null;
    if (b.length < 4) throw new Error("malformed frame");
    const c = changetype<Candidate>(take(offsetof<Candidate>()));
    c.index = this.index++;
    c.source = load<u8>(b.at);
    c.kind = load<u8>(b.at, 1);
    c.verdict = load<u8>(b.at, 2);
    c.name = short(b, 4);
    c.userID = short(b, 6 + c.name.length);
    return c;
  }
}

// short reads a text behind its 16-bit length.
function short(b: Text, at: u32): Text {
  if (at > b.length || b.length - at < 2) throw new Error("malformed frame");
  const n = <u32>load<u16>(b.at + at);
  if (n > b.length - at - 2) throw new Error("malformed frame");
  return view(b.at + at + 2, n);
}

// ---- Answers -------------------------------------------------------------------

// Chunk is what was laid out of an answer, ahead of time; its bytes follow it.
@unmanaged
class Chunk {
  next: Chunk | null;
  length: u32;
}

@unmanaged
class Chunks {
  first: Chunk | null;
  last: Chunk | null;
}

@unmanaged
class Answer extends Chunks {
  code: u32;
  answerStatus: u32;
  text: Text;
}

// answer returns one of a kind, given its size.
function answer(size: usize, code: u32): usize {
  const at = take(<u32>size);
  const a = changetype<Answer>(at);
  a.first = null;
  a.last = null;
  a.code = code;
  a.answerStatus = 0;
  a.text = changetype<Text>(EMPTY);
  return at;
}

/** The answer of on_authorize. */
@unmanaged
export class Decision extends Answer {
  /**
   * Instead of a decision: has something fetched and the handler asked again,
   * which finds it as the request's `fetched`.
   */
  static fetch(wanted: Fetch): Decision {
    const d = decision(3);
    layFetch(d, wanted);
    return d;
  }

  /** Makes a deny answer 401, 403, 404 or 429. */
  status(status: u32): Decision {
    if (this.code != 2) throw new Error("only a deny has a status");
    if (status != 401 && status != 403 && status != 404 && status != 429) {
      throw new Error("the status of a deny is 401, 403, 404 or 429");
    }
    this.answerStatus = status;
    return this;
  }

  /** Sets the reason; unless the decision is a deny, only the log has it. */
  reason<T>(reason: T): Decision {
    this.text = text<T>(reason);
    return this;
  }

  /**
   * Sets a header: on the request that goes upstream, or with a deny on the
   * answer to the client. The plugin's configuration must name it; a deny may
   * also set Retry-After and WWW-Authenticate.
   */
  header<N, V>(name: N, value: V): Decision {
    layHeader<N, V>(this, name, value);
    return this;
  }
}

function decision(code: u32): Decision {
  return changetype<Decision>(answer(offsetof<Decision>(), code));
}

/** Leaves the decision to the plugins that follow and to the route. */
export function abstain(): Decision {
  return decision(0);
}

/** Lets the request pass unless a plugin that follows denies it. */
export function allow(): Decision {
  return decision(1);
}

/**
 * Refuses the request with 403, or 401 when it is anonymous, and ends the
 * chain. The reason, a string or a Text, is shown to the client: at most 1024
 * bytes in one line, more is cut, and what is not text is replaced.
 */
export function deny<T>(reason: T): Decision {
  return decision(2).reason<T>(reason);
}

/** The answer of on_credential. */
@unmanaged
export class Choice extends Answer {
  /** Instead of a choice: see Decision. */
  static fetch(wanted: Fetch): Choice {
    const c = choice(3);
    layFetch(c, wanted);
    return c;
  }

  /** Sets a reason for the log. */
  reason<T>(reason: T): Choice {
    this.text = text<T>(reason);
    return this;
  }
}

function choice(code: u32): Choice {
  return changetype<Choice>(answer(offsetof<Choice>(), code));
}

/** Leaves the choice to the plugins that follow. If all do, it is 401. */
export function pass(): Choice {
  return choice(0);
}

/** Has the host try that candidate next, which must be untried. */
export function attempt(candidate: u32): Choice {
  const c = choice(1);
  laid = 0;
  layNumber(4, candidate);
  keep(c);
  return c;
}

/** Refuses the request with 401, whatever other plugins would say. */
export function stop(): Choice {
  return choice(2);
}

/** The answer of on_login. */
@unmanaged
export class LoginDecision extends Answer {
  idleAt: u64;
  absoluteAt: u64;

  /** Instead of a decision: see Decision. */
  static fetch(wanted: Fetch): LoginDecision {
    const d = loginDecision(3);
    layFetch(d, wanted);
    return d;
  }

  /** Makes a refusal answer 401, 403 or 429. */
  status(status: u32): LoginDecision {
    this.refuses();
    if (status != 401 && status != 403 && status != 429) throw new Error("the status of a refusal is 401, 403 or 429");
    this.answerStatus = status;
    return this;
  }

  /** Sets the reason; unless the decision is a refusal, only the log has it. */
  reason<T>(reason: T): LoginDecision {
    this.text = text<T>(reason);
    return this;
  }

  /**
   * Sets a header of a refusal's answer: Retry-After, WWW-Authenticate, or one
   * that the plugin's configuration names.
   */
  header<N, V>(name: N, value: V): LoginDecision {
    this.refuses();
    layHeader<N, V>(this, name, value);
    return this;
  }

  /**
   * Brings the session's first idle deadline forward, to Unix milliseconds, and
   * lets it never lie unused for longer than until then. One that is later than
   * the request's, or past, fails the call.
   */
  idle(ms: u64): LoginDecision {
    this.agrees(ms);
    this.idleAt = ms;
    return this;
  }

  /** Brings the moment forward at which the session ends in any case, likewise. */
  absolute(ms: u64): LoginDecision {
    this.agrees(ms);
    this.absoluteAt = ms;
    return this;
  }

  /**
   * Has the session remember a value under a name of 1 to 256 bytes, set once by
   * one plugin. A session holds 64 attributes of 4096 bytes in all; more fails
   * the call.
   */
  attribute<N, V>(name: N, value: V): LoginDecision {
    this.agrees();
    layPair(7, this, text<N>(name), text<V>(value));
    return this;
  }

  private refuses(): void {
    if (this.code != 2) throw new Error("only a refusal has a status and headers");
  }

  private agrees(deadline: u64 = 1): void {
    if (this.code != 0) throw new Error("only a session that is agreed to has terms");
    if (!deadline) throw new Error("a deadline of 0 is past");
  }
}

function loginDecision(code: u32): LoginDecision {
  const d = changetype<LoginDecision>(answer(offsetof<LoginDecision>(), code));
  d.idleAt = 0;
  d.absoluteAt = 0;
  return d;
}

/** Agrees to the session, unless a plugin that follows refuses it. */
export function goOn(): LoginDecision {
  return loginDecision(0);
}

/**
 * Refuses the session with 403 and ends the chain. The reason is shown to the
 * client, as that of a deny.
 */
export function refuse<T>(reason: T): LoginDecision {
  return loginDecision(2).reason<T>(reason);
}

/** The answer of on_logout. */
@unmanaged
export class LogoutAnswer extends Answer {
  /** Has a request sent, too: up to 8 in all. */
  send(request: Fetch): LogoutAnswer {
    hostFetch();
    laid = 0;
    layRequest(8, request);
    keep(this);
    return this;
  }

  /** Sets a reason, for the log. */
  reason<T>(reason: T): LogoutAnswer {
    this.text = text<T>(reason);
    return this;
  }
}

/** Has nothing sent. */
export function nothing(): LogoutAnswer {
  return changetype<LogoutAnswer>(answer(offsetof<LogoutAnswer>(), 0));
}

/**
 * Has a request sent, until it is answered with 200 to 299, for a week. It has
 * the header Idempotency-Key. What came of it nobody is told: its state counts
 * for nothing.
 */
export function send(request: Fetch): LogoutAnswer {
  return nothing().send(request);
}

// ---- Fetch ---------------------------------------------------------------------

/**
 * What is to be fetched. A URL begins with https://, or http:// where the grant
 * {http: {hosts: […]}} says private, and names a host that is granted. What may
 * not be sent comes back with the error refused; what is too long, or no request
 * at all, fails the call. There are at most 3 fetches for one request, of 5
 * seconds in all.
 *
 * ```ts
 * const got = r.fetched;
 * if (!got) return Decision.fetch(Fetch.get("https://policy.example/users/" + r.userID.toString()));
 * if (got.status == 404) return deny("the policy server does not know you");
 * if (got.status != 200) throw new Error("the policy server is away"); // 503: it cannot be decided
 * return allow();
 * ```
 *
 * The handler that is asked again may be that of another instance, and knows
 * what it kept and nothing else. Texts can be strings or Texts.
 */
@unmanaged
export class Fetch extends Chunks {
  method: Text;
  url: Text;
  content: Text;
  state: Text;
  headers: u32;

  /** A request for a URL. */
  static get<U>(url: U): Fetch {
    return Fetch.request<string, U>("GET", url);
  }

  /** A request that sends a body of that type. */
  static post<U, T, B>(url: U, contentType: T, body: B): Fetch {
    return Fetch.request<string, U>("POST", url).header<string, T>("Content-Type", contentType).body<B>(body);
  }

  /** Any request: GET, HEAD, POST, PUT, PATCH or DELETE. */
  static request<M, U>(method: M, url: U): Fetch {
    const f = changetype<Fetch>(take(offsetof<Fetch>()));
    f.first = null;
    f.last = null;
    f.method = text<M>(method);
    f.url = text<U>(url);
    f.content = changetype<Text>(EMPTY);
    f.state = changetype<Text>(EMPTY);
    f.headers = 0;
    return f;
  }

  /** Adds a header, up to 32. */
  header<N, V>(name: N, value: V): Fetch {
    laid = 0;
    layShort(text<N>(name));
    layShort(text<V>(value));
    keep(this);
    this.headers++;
    return this;
  }

  /** Sets the body. */
  body<B>(body: B): Fetch {
    this.content = text<B>(body);
    return this;
  }

  /** Sets what the handler wants to know again, up to 4096 bytes. */
  keep<S>(state: S): Fetch {
    this.state = text<S>(state);
    return this;
  }
}

/** What came of a request. */
@unmanaged
export class Response {
  /** 0: there was no answer. Redirects are not followed. */
  get status(): u32 { return <u32>number(66); }
  /** The answer's body, up to 64 KiB. */
  get body(): Text { return field(67); }
  /**
   * Why there is no answer: refused (not granted, not allowed, or of the wrong
   * form), unreachable (no name, no connection, no trust, no HTTP), timeout, or
   * too_large (a body beyond 64 KiB).
   */
  get error(): Text { return field(69); }
  /** What the handler kept. */
  get state(): Text { return field(68); }
}

// ---- Layout --------------------------------------------------------------------

let laid: u32 = 0; // bytes of OUT

function lay(n: u32): usize {
  if (n > MAX_ANSWER - laid) throw new Error("the answer is longer than 16384 bytes");
  laid += n;
  return OUT + laid - n;
}

function layBytes(at: usize, n: u32): void {
  memory.copy(lay(n), at, n);
}

function layHead(field: u32, n: u32): void {
  const at = lay(8);
  store<u32>(at, field);
  store<u32>(at, n, 4);
}

function layNumber(field: u32, n: u32): void {
  layHead(field, 4);
  store<u32>(lay(4), n);
}

function layMoment(field: u32, ms: u64): void {
  layHead(field, 8);
  store<u64>(lay(8), ms);
}

function layShort(t: Text): void {
  if (t.length > 0xffff) throw new Error("a name or a text of a request is longer than 65535 bytes");
  store<u16>(lay(2), t.length);
  layBytes(t.at, t.length);
}

// keep takes what is laid out for a part of what is laid out later.
function keep(part: Chunks): void {
  const chunk = changetype<Chunk>(take(<u32>offsetof<Chunk>() + laid));
  chunk.next = null;
  chunk.length = laid;
  memory.copy(changetype<usize>(chunk) + offsetof<Chunk>(), OUT, laid);
  const last = part.last;
  if (last) last.next = chunk;
  else part.first = chunk;
  part.last = chunk;
}

function layKept(part: Chunks): void {
  let chunk = part.first;
  while (chunk) {
    layBytes(changetype<usize>(chunk) + offsetof<Chunk>(), chunk.length);
    chunk = chunk.next;
  }
}

function layHeader<N, V>(a: Answer, name: N, value: V): void {
  layPair(3, a, text<N>(name), text<V>(value));
}

// layPair keeps a field of a name and a value.
function layPair(field: u32, a: Answer, name: Text, value: Text): void {
  laid = 0;
  layHead(field, 2 + name.length + value.length);
  layShort(name);
  layBytes(value.at, value.length);
  keep(a);
}

function layRequest(field: u32, f: Fetch): void {
  layHead(field, 0);
  layShort(f.method);
  layShort(f.url);
  store<u16>(lay(2), f.headers);
  layKept(f);
  layBytes(f.content.at, f.content.length);
  store<u32>(OUT, laid - 8, 4);
}

function layFetch(a: Answer, f: Fetch): void {
  hostFetch();
  laid = 0;
  layRequest(9, f);
  if (f.state.length) {
    layHead(10, f.state.length);
    layBytes(f.state.at, f.state.length);
  }
  keep(a);
}

// plain says whether all of a text is printable ASCII.
function plain(at: usize, n: u32): bool {
  const each: u64 = 0x0101010101010101;
  let i: u32 = 0;
  for (; i + 8 <= n; i += 8) {
    const x = load<u64>(at + i);
    if ((x | (x + each) | (x - 0x20 * each)) & (0x80 * each)) return false;
  }
  for (; i < n; i++) {
    const c = load<u8>(at + i);
    if (c < 0x20 || c > 0x7e) return false;
  }
  return true;
}

// runeLength returns the length of a character, 0 if it is not UTF-8.
function runeLength(at: usize, left: u32): u32 {
  const b = <u32>load<u8>(at);
  const n: u32 = b < 0x80 ? 1 : b < 0xc2 ? 0 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : b < 0xf5 ? 4 : 0;
  if (n > left) return 0;
  for (let i: u32 = 1; i < n; i++) if ((load<u8>(at + i) & 0xc0) != 0x80) return 0;
  if (n > 2) {
    const c = <u32>load<u8>(at, 1);
    if ((b == 0xe0 && c < 0xa0) || (b == 0xed && c > 0x9f) || (b == 0xf0 && c < 0x90) || (b == 0xf4 && c > 0x8f)) return 0;
  }
  return n;
}

// isControl says whether a character may not be in a reason.
function isControl(at: usize, n: u32): bool {
  const b = <u32>load<u8>(at);
  if (n == 1) return b < 0x20 || b == 0x7f;
  if (n == 2) return b == 0xc2 && load<u8>(at, 1) < 0xa0;
  return n == 3 && b == 0xe2 && load<u8>(at, 1) == 0x80 && (load<u8>(at, 2) & 0xfe) == 0xa8;
}

// layReason cuts a reason to what the host takes. A blank stands for a line end
// and a tab, U+FFFD for each byte or character that is no text: reasons often
// quote what a client sent, which must not fail the call.
function layReason(reason: Text): void {
  let at = reason.at;
  const end = at + reason.length;
  if (at == end) return;
  layHead(2, reason.length);
  if (reason.length <= MAX_REASON && plain(at, reason.length)) return layBytes(at, reason.length);
  const start = laid;
  while (at < end) {
    const n = runeLength(at, <u32>(end - at));
    const c = load<u8>(at);
    const blank = c == 0x09 || c == 0x0a || c == 0x0d;
    const odd = !blank && (n == 0 || isControl(at, n));
    const shown: u32 = odd ? 3 : n;
    if (shown > MAX_REASON - (laid - start)) break;
    if (odd) {
      const to = lay(3);
      store<u16>(to, 0xbfef);
      store<u8>(to, 0xbd, 2);
    } else if (blank) {
      store<u8>(lay(1), 0x20);
    } else {
      layBytes(at, n);
    }
    at += max(n, 1);
  }
  store<u32>(OUT + start - 4, laid - start);
}

// layFirst lays out what every answer begins with.
function layFirst(a: Answer): void {
  laid = 0;
  if (a.answerStatus) layNumber(1, a.answerStatus);
  layReason(a.text);
}

function finish(a: Answer): i64 {
  layKept(a);
  memory.copy(BUFFER, OUT, laid);
  return (<i64>laid << 32) | a.code;
}

// ---- What is kept and counted --------------------------------------------------

/** What became of a change of a key or an attribute. */
export enum Result {
  /** It was made. */
  Done = 1,
  /**
   * Nothing has changed, for the value was another. Of KV.add: no number, or one
   * to which this cannot be added.
   */
  Other = 0,
  /** Of Session: there is no live session. */
  Ended = -1,
  /** Of KV: nothing has changed, for as many keys live as are granted. */
  Full = -3,
}

// Lengths that stand for no value.
const NONE: i32 = -1;
const ANY: i32 = -2;

/** A sum, which is 0 unless the result is Done. */
@unmanaged
export class Sum {
  sum: i64;
  result: Result;
}

/**
 * Keys of the plugin's own in the cache that all replicas share. Using it
 * declares the wish; the plugin's entry grants it by the capability
 * {kv: {keys: 1000}}.
 *
 * ```ts
 * const seen = KV.add("seen/" + r.userID.toString(), 1, KV.Hour);
 * ```
 *
 * A key has 1 to 256 bytes, a value up to 4096, each a string or a Text; a ttl,
 * how long a key lives, is 1 millisecond to 31 days. What is past that fails the
 * call, as does a cache that does not answer: the request is answered 503. A call
 * takes a round trip or several, so few of them fit into one request. They work
 * in a hook that begins with on_ only.
 */
export abstract class KV {
  static readonly Millisecond: i64 = 1;
  static readonly Second: i64 = 1000;
  static readonly Minute: i64 = 60_000;
  static readonly Hour: i64 = 3_600_000;
  static readonly Day: i64 = 86_400_000;

  /** The value of a key, null if it is absent. */
  static get<K>(key: K): Text | null {
    return read(text<K>(key), hostKVGet);
  }

  /** Makes value the value of a key, whatever it was: Done or Full. */
  static put<K, V>(key: K, value: V, ttl: i64): Result {
    const v = text<V>(value);
    return setKey(text<K>(key), 0, ANY, v.at, v.length, ttl);
  }

  /** Makes a key that is absent: Done, Other or Full. */
  static create<K, V>(key: K, value: V, ttl: i64): Result {
    const v = text<V>(value);
    return setKey(text<K>(key), 0, NONE, v.at, v.length, ttl);
  }

  /**
   * Makes next the value of a key, and ttl count from now, if its value is old:
   * Done or Other.
   */
  static swap<K, O, V>(key: K, old: O, next: V, ttl: i64): Result {
    const o = text<O>(old), v = text<V>(next);
    return setKey(text<K>(key), o.at, o.length, v.at, v.length, ttl);
  }

  /** Removes a key, present or not. */
  static delete<K>(key: K): void {
    setKey(text<K>(key), 0, ANY, 0, NONE, 0);
  }

  /** Removes a key if its value is old: Done or Other. */
  static deleteIf<K, O>(key: K, old: O): Result {
    const o = text<O>(old);
    return setKey(text<K>(key), o.at, o.length, 0, NONE, 0);
  }

  /**
   * Adds delta to a number, kept as its decimal digits, in one step with nobody
   * in between. A key that is absent is made with ttl; one that is there keeps
   * its deadline.
   */
  static add<K>(key: K, delta: i64, ttl: i64): Sum {
    const k = text<K>(key);
    const s = changetype<Sum>(take(offsetof<Sum>()));
    s.result = hostKVAdd(k.at, k.length, delta, ttl, changetype<usize>(s));
    if (s.result != Result.Done) s.sum = 0;
    return s;
  }
}

function setKey(key: Text, old: usize, oldLength: i32, next: usize, nextLength: i32, ttl: i64): Result {
  return hostKVSet(key.at, key.length, old, oldLength, next, nextLength, ttl);
}

/**
 * What the session remembers in which the request came. Using it declares the
 * wish; the plugin's entry grants it by the capability session. Attributes are
 * shared by all plugins that have it.
 *
 * A request with a JWT alone, and an anonymous one, is in no session: nothing is
 * there, and nothing can be set. A session has at most 64 attributes of 4 KiB in
 * all; what is past that fails the call, as does a cache that does not answer.
 */
export abstract class Session {
  /** An attribute, null if it is absent. */
  static get<N>(name: N): Text | null {
    return read(text<N>(name), hostSessionGet);
  }

  /** Makes an attribute that is absent: Done, Other or Ended. */
  static create<N, V>(name: N, value: V): Result {
    const v = text<V>(value);
    return setAttribute(text<N>(name), 0, NONE, v.at, v.length);
  }

  /** Makes next the value of an attribute if its value is old. */
  static swap<N, O, V>(name: N, old: O, next: V): Result {
    const o = text<O>(old), v = text<V>(next);
    return setAttribute(text<N>(name), o.at, o.length, v.at, v.length);
  }

  /** Removes an attribute if its value is old. */
  static delete<N, O>(name: N, old: O): Result {
    const o = text<O>(old);
    return setAttribute(text<N>(name), o.at, o.length, 0, NONE);
  }
}

function setAttribute(name: Text, old: usize, oldLength: i32, next: usize, nextLength: i32): Result {
  return hostSessionSet(name.at, name.length, old, oldLength, next, nextLength);
}

// read reads a value that may be another, and longer, at each look.
function read(name: Text, from: (name: usize, nameLength: u32, at: usize, capacity: u32) => i32): Text | null {
  let at = FIXED + used, room = ARENA - used, shared = true;
  let n = from(name.at, name.length, at, room);
  while (n > <i32>room) {
    room = n;
    at = take(room);
    shared = false;
    n = from(name.at, name.length, at, room);
  }
  if (n < 0) return null;
  if (shared) used += n;
  return view(at, n);
}

/**
 * One number that only grows, shown in the host's /metrics as
 * authhost_plugin_metric_total with the names of plugin and counter.
 *
 * ```ts
 * const denied = new Counter("denied");
 * ```
 *
 * A counter is declared before the plugin serves: in a global, or in the handler
 * of configure.
 */
@unmanaged
export class Counter {
  private name: usize;
  private length: u32;

  /**
   * Declares it: 1 to 64 of a-z, 0-9 and _, at most 32 of a plugin. In the middle
   * of a request a new name fails the call.
   */
  constructor(name: string) {
    this.name = heap.alloc(3 * name.length);
    this.length = <u32>String.UTF8.encodeUnsafe(changetype<usize>(name), name.length, this.name);
    this.add(0);
  }

  /** Adds one. */
  inc(): void {
    this.add(1);
  }

  /** Adds n, which must not be negative. */
  add(n: i64): void {
    hostMetric(this.name, this.length, n);
  }
}

// ---- Hooks ---------------------------------------------------------------------

/** Answers on_authorize: may the request pass? */
export function authorize(frame: i32, handler: (r: Request) => Decision): i64 {
  begin(3, frame);
  const d = handler(changetype<Request>(NOTHING));
  layFirst(d);
  return finish(d);
}

/** Answers on_credential: a credential failed, which is to be tried next? */
export function choose(frame: i32, handler: (r: Request) => Choice): i64 {
  begin(2, frame);
  const c = handler(changetype<Request>(NOTHING));
  layFirst(c);
  return finish(c);
}

/**
 * Answers on_login: a client has shown a valid JWT and wants a session; may it
 * have one, and on which terms?
 */
export function login(frame: i32, handler: (r: LoginRequest) => LoginDecision): i64 {
  begin(4, frame);
  const d = handler(changetype<LoginRequest>(NOTHING));
  layFirst(d);
  if (d.idleAt) layMoment(5, d.idleAt); // these come before the attributes
  if (d.absoluteAt) layMoment(6, d.absoluteAt);
  return finish(d);
}

/**
 * Answers on_logout: access has ended, and whoever must know is to be told. The
 * end cannot be undone, and whoever logged out does not wait. The handler is
 * asked again when it fails, and sometimes when it did not; the event's id tells.
 */
export function logout(frame: i32, handler: (e: LogoutEvent) => LogoutAnswer): i64 {
  begin(5, frame);
  const a = handler(changetype<LogoutEvent>(NOTHING));
  layFirst(a);
  return finish(a);
}

/**
 * Answers configure, which every instance is asked before anything else. The
 * handler is given the configuration as JSON and returns "", or why it is
 * refused; that is shown to the operator.
 */
export function configured(frame: i32, handler: (config: Text) => string): i64 {
  begin(1, frame);
  const refused = handler(field(64));
  const a = changetype<Answer>(answer(offsetof<Answer>(), refused.length > 0 ? 2 : 0));
  a.text = text<string>(refused);
  layFirst(a);
  return finish(a);
}
