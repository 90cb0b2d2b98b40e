//! The echo guest of abi/conformance: its README says what it does.
#![no_std]

#[path = "../authhost.rs"]
#[macro_use]
mod authhost;

use authhost::{log, Choice, Decision, Level, Request};

fn named(name: &[u8], value: &[u8]) {
    if !value.is_empty() {
        item(name, value);
    }
}

fn item(name: &[u8], value: &[u8]) {
    log(Level::Debug, name);
    log(Level::Info, value);
}

fn number(name: &[u8], mut n: u64) {
    let (mut digits, mut at) = ([0; 20], 20);
    while n > 0 {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
    }
    named(name, &digits[at..]);
}

fn decimal(text: &[u8]) -> u32 {
    text.iter().fold(0, |n, c| 10 * n + (c - b'0') as u32)
}

fn request(r: &Request) {
    named(b"method", r.method());
    named(b"scheme", r.scheme());
    named(b"host", r.host());
    named(b"path", r.path());
    named(b"raw_path", r.raw_path());
    named(b"query", r.query());
    named(b"client", r.client());
    number(b"time", r.time());
    named(b"route", r.route());
    named(b"realm", r.realm());
}

/// Carries out what both hooks know.
fn common(r: &Request, order: &[u8]) {
    match order {
        [b'!', ..] => panic!("as told"),
        [b'l', level, line @ ..] => log([Level::Debug, Level::Info, Level::Warn, Level::Error][(level - b'0') as usize], line),
        [b'?', kind, index, name @ ..] => {
            let index = (index - b'0') as u32;
            let value = match kind {
                b'1' => r.header(name, index),
                b'2' => r.cookie(name, index),
                b'3' => r.query_param(name, index),
                _ => r.claim(name),
            };
            log(Level::Debug, order);
            match value {
                Some(value) => log(Level::Info, value),
                None => log(Level::Warn, b""),
            }
        }
        _ => panic!("unknown order"),
    }
}

fn authorize<'a>(r: &Request<'a>) -> Decision<'a> {
    request(r);
    if r.anonymous() {
        log(Level::Debug, b"anonymous");
    }
    named(b"user_id", r.user_id());
    named(b"issuer", r.issuer());
    named(b"subject", r.subject());
    r.roles().for_each(|role| item(b"role", role));
    r.groups().for_each(|group| item(b"group", group));
    named(b"email", r.email());
    named(b"session_id", r.session_id());
    named(b"credential", r.credential());
    number(b"expires", r.expires());

    let mut d = Decision::abstain();
    let mut i = 0;
    while let Some(order) = r.header(b"X-Echo", i) {
        d = match order {
            b"=0" => Decision::abstain(),
            b"=1" => Decision::allow(),
            b"=2" => Decision::deny(b""),
            [b's', rest @ ..] => d.status(decimal(rest)),
            [b'r', rest @ ..] => d.reason(rest),
            [b'h', rest @ ..] => {
                let colon = rest.iter().position(|c| *c == b':').expect("a header has a colon");
                d.header(&rest[..colon], &rest[colon + 1..])
            }
            _ => {
                common(r, order);
                d
            }
        };
        i += 1;
    }
    d
}
on_authorize!(authorize);

fn choose<'a>(r: &Request<'a>) -> Choice<'a> {
    request(r);
    for c in r.candidates() {
        log(Level::Debug, b"candidate");
        number(b"source", c.source.into());
        number(b"kind", c.kind.into());
        number(b"verdict", c.verdict.into());
        named(b"name", c.name);
        named(b"user_id", c.user_id);
    }

    let mut choice = Choice::abstain();
    let mut i = 0;
    while let Some(order) = r.header(b"X-Echo", i) {
        choice = match order {
            b"=0" => Choice::abstain(),
            b"=2" => Choice::stop(),
            [b'c', rest @ ..] => Choice::attempt(decimal(rest) as usize),
            [b'r', rest @ ..] => choice.reason(rest),
            _ => {
                common(r, order);
                choice
            }
        };
        i += 1;
    }
    choice
}
on_credential!(choose);

configure!(|config| {
    named(b"config", config);
    config.strip_prefix(b"refuse:").map_or(Ok(()), Err)
});
