// The echo guest of abi/conformance: its README says what it does.
import {
  abstain, allow, attempt, authorize, Choice, choose, configured, Decision, deny, Level, List, log, pass, Request, stop, Text,
} from "../authhost";
export { authhost_abi_v1, authhost_buffer } from "../authhost";

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

function decimal(text: Text): u32 {
  let n: u32 = 0;
  for (let i: u32 = 0; i < text.length; i++) n = 10 * n + text.byte(i) - 48;
  return n;
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

function get(r: Request, kind: u32, index: u32, name: Text): Text | null {
  switch (kind) {
    case 49: return r.header(name, index);
    case 50: return r.cookie(name, index);
    case 51: return r.queryParam(name, index);
    default: return r.claim(name);
  }
}

// common carries out what both hooks know.
function common(r: Request, order: Text): void {
  switch (order.byte(0)) {
    case 33: // !
      throw new Error("as told");
    case 108: // l
      log(order.byte(1) - 48, order.slice(2));
      return;
    case 63: { // ?
      const value = get(r, order.byte(1), order.byte(2) - 48, order.slice(3));
      log(Level.Debug, order);
      if (value) log(Level.Info, value);
      else log(Level.Warn, "");
      return;
    }
    default:
      throw new Error("unknown order");
  }
}

function decide(r: Request): Decision {
  request(r);
  if (r.anonymous) log(Level.Debug, "anonymous");
  named("user_id", r.userID);
  named("issuer", r.issuer);
  named("subject", r.subject);
  items("role", r.roles);
  items("group", r.groups);
  named("email", r.email);
  named("session_id", r.sessionID);
  named("credential", r.credential);
  number("expires", r.expires);

  let d = abstain();
  let i: u32 = 0;
  for (let order = r.header("X-Echo", i); order; order = r.header("X-Echo", ++i)) {
    const rest = order.slice(1);
    switch (order.byte(0)) {
      case 61: // =
        d = rest.is("0") ? abstain() : rest.is("1") ? allow() : deny("");
        break;
      case 115: // s
        d.status(decimal(rest));
        break;
      case 114: // r
        d.reason(rest);
        break;
      case 104: { // h
        let colon: u32 = 0;
        while (rest.byte(colon) != 58) colon++;
        d.header(rest.slice(0, colon), rest.slice(colon + 1));
        break;
      }
      default:
        common(r, order);
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

  let choice = pass();
  let i: u32 = 0;
  for (let order = r.header("X-Echo", i); order; order = r.header("X-Echo", ++i)) {
    const rest = order.slice(1);
    switch (order.byte(0)) {
      case 61: // =
        choice = rest.is("0") ? pass() : stop();
        break;
      case 99: // c
        choice = attempt(decimal(rest));
        break;
      case 114: // r
        choice.reason(rest);
        break;
      default:
        common(r, order);
    }
  }
  return choice;
}

export function on_authorize(frame: i32): i64 {
  return authorize(frame, decide);
}

export function on_credential(frame: i32): i64 {
  return choose(frame, pick);
}

export function configure(frame: i32): i64 {
  return configured(frame, (config: Text): string => {
    named("config", config);
    return config.length > 7 && config.slice(0, 7).is("refuse:") ? config.slice(7).toString() : "";
  });
}
