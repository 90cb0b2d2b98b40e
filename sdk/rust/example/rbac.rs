//! The plugin rbac-gitops in miniature: which role may call which endpoint. Its
//! configuration is a list of texts, a rule each, of which the first that
//! covers method and path decides:
//!
//! ```json
//! ["POST,PUT /api/gitops/sync editor", "* /api/clusters/*/nodes/** admin"]
//! ```
//!
//! A `*` in a path is one segment, a final `/**` that path and all below. The
//! roles are viewer, editor and admin, each including those before it.
#![no_std]

#[path = "../authhost.rs"]
#[macro_use]
mod authhost;

use authhost::{equal, Decision, Request};

const MAX_RULES: usize = 64;
const MAX_TEXT: usize = 8192; // bytes, of the configuration
const ROLES: [&[u8]; 3] = [b"viewer", b"editor", b"admin"];
const REFUSALS: [&[u8]; 3] = [b"needs viewer", b"needs editor", b"needs admin"];

#[derive(Clone, Copy)]
struct Rule {
    methods: &'static [u8],
    path: &'static [u8],
    need: usize,
}

// Written once, in configure, which the host calls before any other hook.
static mut TEXT: [u8; MAX_TEXT] = [0; MAX_TEXT];
static mut RULES: [Rule; MAX_RULES] = [Rule { methods: b"", path: b"", need: 0 }; MAX_RULES];
static mut COUNT: usize = 0;

/// Splits a text at the first `c`.
fn cut(text: &[u8], c: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|b| *b == c) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

/// Reads "methods path role".
fn parse_rule(text: &'static [u8]) -> Option<Rule> {
    let (methods, rest) = cut(text, b' ');
    let (path, role) = cut(rest, b' ');
    let need = ROLES.iter().position(|r| equal(r, role))?;
    if methods.is_empty() || path.first() != Some(&b'/') || text.contains(&b'\\') {
        return None;
    }
    Some(Rule { methods, path, need })
}

/// Reads a JSON list of texts that have no escapes.
fn read_config(config: &[u8]) -> Result<(), &[u8]> {
    if config.len() > MAX_TEXT {
        return Err(b"more than 8192 bytes of configuration");
    }
    let (rules, mut rest) = unsafe {
        TEXT[..config.len()].copy_from_slice(config);
        (&mut RULES, &TEXT[..config.len()])
    };
    let mut count = 0;
    loop {
        let (head, tail) = cut(rest, b'"');
        if head == b"]" && count > 0 {
            break;
        }
        if head != b"[" && head != b"," {
            return Err(b"a list of rules is needed");
        }
        let (text, tail) = cut(tail, b'"');
        match parse_rule(text) {
            Some(rule) if count < MAX_RULES => rules[count] = rule,
            _ => return Err(b"a rule is not \"METHODS /PATH ROLE\""),
        }
        count += 1;
        rest = tail;
    }
    unsafe { COUNT = count };
    Ok(())
}

fn covers_method(methods: &[u8], method: &[u8]) -> bool {
    methods == b"*" || methods.split(|c| *c == b',').any(|m| equal(m, method))
}

fn covers_path(mut pattern: &[u8], mut path: &[u8]) -> bool {
    loop {
        if pattern == b"/**" {
            return path.is_empty() || path[0] == b'/';
        }
        match (pattern, path) {
            ([], []) => return true,
            ([want, ..], [got, ..]) if want == got => (),
            _ => return false,
        }
        path = &path[1..];
        if pattern.starts_with(b"/*") {
            // a whole segment
            let length = path.iter().position(|c| *c == b'/').unwrap_or(path.len());
            if length == 0 {
                return false;
            }
            path = &path[length..];
            pattern = &pattern[2..];
        } else {
            pattern = &pattern[1..];
        }
    }
}

fn decide<'a>(r: &Request<'a>) -> Decision<'a> {
    let (method, path) = (r.method(), r.path());
    let rules = unsafe { &RULES[..COUNT] };
    match rules.iter().find(|rule| covers_method(rule.methods, method) && covers_path(rule.path, path)) {
        None => Decision::abstain(),
        Some(rule) if ROLES[rule.need..].iter().any(|role| r.has_role(role)) => Decision::allow(),
        Some(rule) => Decision::deny(REFUSALS[rule.need]),
    }
}

configure!(read_config);
on_authorize!(decide);
