// The echo guest of abi/conformance: its README says what it does.
import {
  abstain, allow, attempt, authorize, Choice, choose, configured, Counter, Decision, deny, Fetch, goOn, KV, Level, List, log, login, LoginDecision,
  LoginRequest, logout, LogoutAnswer, LogoutEvent, nothing, pass, refuse, Request, Result, Session, stop, Text,
} from "../authhost";
export { authhost_abi_v1, authhost_buffer } from "../authhost";

const echo = new Counter("echo");

// ---- What it says --------------------------------------------------------------

function named(name: string, value: Text): void {
  if (value.length == 0) return;
  log(Level.Debug, name);
  log(Level.Info, value);
}

function number(name: string, n: u64): void {
  if (n == 0) return;
  log(Level.Debug, name);
  log(Level.Info, n.toString());
}

function items(name: string, list: List): void {
  for (let item = list.next(); item; item = list.next()) {
    log(Level.Debug, name);
    log(Level.Info, item);
  }
}

function request(r: Request): void {
  named("method", r.method);
  named("scheme", r.scheme);
  named("host", r.host);
  named("path", r.path);
  named("raw_path", r.rawPath);
  named("query", r.query);
  named("client", r.client);
  number("time", r.time);
  named("route", r.route);
  named("realm", r.realm);
}

function identity(r: Request): void {
  named("user_id", r.userID);
  named("issuer", r.issuer);
  named("subject", r.subject);
  items("role", r.roles);
  items("group", r.groups);
  named("email", r.email);
  named("session_id", r.sessionID);
  named("credential", r.credential);
  number("expires", r.expires);
}

function fetched(r: Request): void {
  const got = r.fetched;
  if (!got) return;
  log(Level.Debug, "fetched");
  number("fetch_status", got.status);
  named("fetch_body", got.body);
  named("fetch_blob", got.state);
  named("fetch_error", got.error);
}

// ---- Its orders ----------------------------------------------------------------

// Where they come from: a request, or a list of sessions.
let asked: Request | null = null;
let index: u32 = 0;
let sessions: List | null = null;
let ahead: Text | null = null; // an order that was read already

function begin(r: Request | null, list: List | null): void {
  asked = r;
  index = 0;
  sessions = list;
  ahead = null;
}

function next(): Text | null {
  const order = ahead;
  if (order) {
    ahead = null;
    return order;
  }
  const r = asked;
  if (r) return r.header("X-Echo", index++);
  const list = sessions;
  if (!list) return null;
  let item = list.next();
  while (item && item.length >= 4 && item.slice(0, 4).is("ses_")) item = list.next();
  return item;
}

// Operands are read off one after the other.
let operands!: Text;

function operand(end: u32 = 58): Text {
  let n: u32 = 0;
  while (operands.byte(n) != end) n++;
  const first = operands.slice(0, n);
  operands = operands.slice(n + 1);
  return first;
}

function decimal(text: Text): i64 {
  const negative = text.length > 0 && text.byte(0) == 45;
  let n: i64 = 0;
  for (let i: u32 = negative ? 1 : 0; i < text.length; i++) n = 10 * n + text.byte(i) - 48;
  return negative ? -n : n;
}

// wanted reads the request of an order "f", and the orders "+" that follow.
function wanted(order: Text): Fetch {
  operands = order.slice(1);
  const method = operand(32);
  const f = Fetch.request(method, operands);
  let more = next();
  for (; more && more.byte(0) == 43; more = next()) {
    operands = more.slice(2);
    switch (more.byte(1)) {
      case 104: { // h
        const name = operand();
        f.header(name, operands);
        break;
      }
      case 98: // b
        f.body(operands);
        break;
      case 115: // s
        f.keep(operands);
        break;
      default:
        throw new Error("unknown order");
    }
  }
  ahead = more;
  return f;
}

function found(order: Text, value: Text | null): void {
  log(Level.Debug, order);
  if (value) log(Level.Info, value);
  else log(Level.Warn, "");
}

function get(order: Text): Text | null {
  const r = asked;
  if (!r) throw new Error("there is no request");
  const i = order.byte(2) - 48, name = order.slice(3);
  switch (order.byte(1)) {
    case 49: return r.header(name, i);
    case 50: return r.cookie(name, i);
    case 51: return r.queryParam(name, i);
    default: return r.claim(name);
  }
}

function became(order: Text, result: Result): void {
  log(Level.Debug, order);
  switch (result) {
    case Result.Done: return log(Level.Info, "done");
    case Result.Other: return log(Level.Info, "other");
    case Result.Full: return log(Level.Info, "full");
    case Result.Ended: return log(Level.Info, "ended");
    default: throw new Error("unknown result");
  }
}

function attribute(order: Text): void {
  operands = order.slice(2);
  switch (order.byte(1)) {
    case 103: // g
      return found(order, Session.get(operands));
    case 99: { // c
      const name = operand();
      return became(order, Session.create(name, operands));
    }
    case 115: { // s
      const name = operand(), old = operand();
      return became(order, Session.swap(name, old, operands));
    }
    case 100: { // d
      const name = operand();
      return became(order, Session.delete(name, operands));
    }
    default:
      throw new Error("unknown order");
  }
}

function key(order: Text): void {
  operands = order.slice(2);
  switch (order.byte(1)) {
    case 103: // g
      return found(order, KV.get(operands));
    case 112: { // p
      const ttl = decimal(operand()), key = operand();
      return became(order, KV.put(key, operands, ttl));
    }
    case 99: { // c
      const ttl = decimal(operand()), key = operand();
      return became(order, KV.create(key, operands, ttl));
    }
    case 115: { // s
      const ttl = decimal(operand()), key = operand(), old = operand();
      return became(order, KV.swap(key, old, operands, ttl));
    }
    case 100: // d
      KV.delete(operands);
      return log(Level.Debug, order);
    case 105: { // i
      const key = operand();
      return became(order, KV.deleteIf(key, operands));
    }
    case 97: { // a
      const ttl = decimal(operand()), key = operand();
      const total = KV.add(key, decimal(operands), ttl);
      if (total.result != Result.Done) {
        if (total.sum != 0) throw new Error("a sum of nothing");
        return became(order, total.result);
      }
      log(Level.Debug, order);
      return log(Level.Info, total.sum.toString());
    }
    default:
      throw new Error("unknown order");
  }
}

// common carries out what all hooks know.
function common(order: Text): void {
  switch (order.byte(0)) {
    case 33: // !
      throw new Error("as told");
    case 108: // l
      return log(order.byte(1) - 48, order.slice(2));
    case 109: // m
      return echo.add(decimal(order.slice(1)));
    case 63: // ?
      return found(order, get(order));
    case 97: // a
      return attribute(order);
    case 107: // k
      return key(order);
    default:
      throw new Error("unknown order");
  }
}

// ---- The hooks -----------------------------------------------------------------

function decide(r: Request): Decision {
  request(r);
  if (r.anonymous) log(Level.Debug, "anonymous");
  identity(r);
  fetched(r);

  let d = abstain();
  begin(r, null);
  for (let order = next(); order; order = next()) {
    operands = order.slice(1);
    switch (order.byte(0)) {
      case 61: // =
        d = operands.is("0") ? abstain() : operands.is("1") ? allow() : deny("");
        break;
      case 115: // s
        d.status(<u32>decimal(operands));
        break;
      case 114: // r
        d.reason(operands);
        break;
      case 104: { // h
        const name = operand();
        d.header(name, operands);
        break;
      }
      case 102: // f
        d = Decision.fetch(wanted(order));
        break;
      default:
        common(order);
    }
  }
  return d;
}

function pick(r: Request): Choice {
  request(r);
  const candidates = r.candidates;
  for (let c = candidates.next(); c; c = candidates.next()) {
    log(Level.Debug, "candidate");
    number("source", c.source);
    number("kind", c.kind);
    number("verdict", c.verdict);
    named("name", c.name);
    named("user_id", c.userID);
  }
  fetched(r);

  let choice = pass();
  begin(r, null);
  for (let order = next(); order; order = next()) {
    operands = order.slice(1);
    switch (order.byte(0)) {
      case 61: // =
        choice = operands.is("0") ? pass() : stop();
        break;
      case 99: // c
        choice = attempt(<u32>decimal(operands));
        break;
      case 114: // r
        choice.reason(operands);
        break;
      case 102: // f
        choice = Choice.fetch(wanted(order));
        break;
      default:
        common(order);
    }
  }
  return choice;
}

function admit(r: LoginRequest): LoginDecision {
  request(r);
  identity(r);
  number("idle", r.idle);
  number("absolute", r.absolute);
  fetched(r);

  let d = goOn();
  begin(r, null);
  for (let order = next(); order; order = next()) {
    operands = order.slice(1);
    switch (order.byte(0)) {
      case 61: // =
        d = operands.is("0") ? goOn() : refuse("");
        break;
      case 115: // s
        d.status(<u32>decimal(operands));
        break;
      case 114: // r
        d.reason(operands);
        break;
      case 104: { // h
        const name = operand();
        d.header(name, operands);
        break;
      }
      case 105: // i
        d.idle(decimal(operands));
        break;
      case 100: // d
        d.absolute(decimal(operands));
        break;
      case 116: { // t
        const name = operand();
        d.attribute(name, operands);
        break;
      }
      case 102: // f
        d = LoginDecision.fetch(wanted(order));
        break;
      default:
        common(order);
    }
  }
  return d;
}

function tell(e: LogoutEvent): LogoutAnswer {
  named("realm", e.realm);
  named("user_id", e.userID);
  named("issuer", e.issuer);
  named("subject", e.subject);
  named("session_id", e.sessionID);
  named("event_id", e.id);
  named("why", e.why);
  named("by_rank", e.byRank);
  named("by_id", e.byID);
  number("ended", e.at);
  named("what", e.what);
  items("session", e.sessions);

  const answer = nothing();
  begin(null, e.sessions);
  for (let order = next(); order; order = next()) {
    switch (order.byte(0)) {
      case 114: // r
        answer.reason(order.slice(1));
        break;
      case 102: // f
        answer.send(wanted(order));
        break;
      default:
        common(order);
    }
  }
  return answer;
}

export function on_authorize(frame: i32): i64 {
  return authorize(frame, decide);
}

export function on_credential(frame: i32): i64 {
  return choose(frame, pick);
}

export function on_login(frame: i32): i64 {
  return login(frame, admit);
}

export function on_logout(frame: i32): i64 {
  return logout(frame, tell);
}

export function configure(frame: i32): i64 {
  return configured(frame, (config: Text): string => {
    named("config", config);
    return config.length > 7 && config.slice(0, 7).is("refuse:") ? config.slice(7).toString() : "";
  });
}
