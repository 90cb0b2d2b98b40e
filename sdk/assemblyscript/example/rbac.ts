// The plugin rbac-gitops in miniature: which role may call which endpoint. Its
// configuration is a list of texts, a rule each, of which the first that covers
// method and path decides:
//
//   ["POST,PUT /api/gitops/sync editor", "* /api/clusters/*/nodes/** admin"]
//
// A "*" in a path is one segment, a final "/**" that path and all below. The
// roles are viewer, editor and admin, each including those before it.
import { abstain, allow, authorize, configured, Decision, deny, Request, Text } from "../authhost";
export { authhost_abi_v1, authhost_buffer } from "../authhost";

const MAX_RULES = 64;
const MAX_TEXT: u32 = 8192; // bytes, of the configuration
const ROLES = ["viewer", "editor", "admin"];
const REFUSALS = ["needs viewer", "needs editor", "needs admin"];
const SLASH: u32 = 47;
const STAR: u32 = 42;

class Rule {
  methods: string[] = []; // empty: all
  path: Uint8Array = new Uint8Array(0);
  need: i32 = 0;
}

let rules: Rule[] = [];

// parseRule reads "methods path role".
function parseRule(text: string): Rule | null {
  const parts = text.split(" ");
  if (parts.length != 3 || parts[0].length == 0 || !parts[1].startsWith("/") || text.includes("\\")) return null;
  const need = ROLES.indexOf(parts[2]);
  if (need < 0) return null;
  return { methods: parts[0] == "*" ? [] : parts[0].split(","), path: Uint8Array.wrap(String.UTF8.encode(parts[1])), need };
}

// readConfig reads a JSON list of texts that have no escapes.
function readConfig(config: Text): string {
  if (config.length > MAX_TEXT) return "more than 8192 bytes of configuration";
  const parts = config.toString().split('"'); // [ text , text ]
  const read: Rule[] = [];
  for (let i = 1; i < parts.length; i += 2) {
    if (parts[i - 1] != (i == 1 ? "[" : ",")) return "a list of rules is needed";
    const rule = parseRule(parts[i]);
    if (!rule || read.length == MAX_RULES) return 'a rule is not "METHODS /PATH ROLE"';
    read.push(rule);
  }
  if (read.length == 0 || parts[parts.length - 1] != "]") return "a list of rules is needed";
  rules = read;
  return "";
}

function coversMethod(methods: string[], method: Text): bool {
  for (let i = 0; i < methods.length; i++) if (method.is(methods[i])) return true;
  return methods.length == 0;
}

function coversPath(pattern: Uint8Array, path: Text): bool {
  const end = path.length;
  let i = 0, j: u32 = 0;
  while (true) {
    const left = pattern.length - i;
    if (left == 3 && pattern[i] == SLASH && pattern[i + 1] == STAR && pattern[i + 2] == STAR) {
      return j == end || path.byte(j) == SLASH;
    }
    if (left == 0 || j == end) return left == 0 && j == end;
    if (<u32>pattern[i] != path.byte(j++)) return false;
    if (pattern[i++] == SLASH && left > 1 && pattern[i] == STAR) { // a whole segment
      const start = j;
      while (j < end && path.byte(j) != SLASH) j++;
      if (j == start) return false;
      i++;
    }
  }
}

function decide(r: Request): Decision {
  const method = r.method, path = r.path;
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i];
    if (!coversMethod(rule.methods, method) || !coversPath(rule.path, path)) continue;
    for (let role = rule.need; role < ROLES.length; role++) {
      if (r.hasRole(ROLES[role])) return allow();
    }
    return deny(REFUSALS[rule.need]);
  }
  return abstain();
}

export function configure(frame: i32): i64 {
  return configured(frame, readConfig);
}

export function on_authorize(frame: i32): i64 {
  return authorize(frame, decide);
}
