//! The echo guest of abi/conformance: its README says what it does.
#![no_std]

#[path = "../authhost.rs"]
#[macro_use]
mod authhost;

use authhost::{fetch, kv, log, login, logout, session, Call, Choice, Decision, Level, Request};

counters!(ECHO = b"echo");

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

fn decimal(text: &[u8]) -> u64 {
    text.iter().fold(0, |n, c| 10 * n + (c - b'0') as u64)
}

fn signed(text: &[u8]) -> i64 {
    match text {
        [b'-', digits @ ..] => (decimal(digits) as i64).wrapping_neg(),
        digits => decimal(digits) as i64,
    }
}

/// Splits a text at the first `c`.
fn cut(text: &[u8], c: u8) -> (&[u8], &[u8]) {
    let at = text.iter().position(|b| *b == c).expect("an order has all its operands");
    (&text[..at], &text[at + 1..])
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

fn identity(r: &Request) {
    named(b"user_id", r.user_id());
    named(b"issuer", r.issuer());
    named(b"subject", r.subject());
    r.roles().for_each(|role| item(b"role", role));
    r.groups().for_each(|group| item(b"group", group));
    named(b"email", r.email());
    named(b"session_id", r.session_id());
    named(b"credential", r.credential());
    number(b"expires", r.expires());
}

fn fetched(r: &Request) {
    let got = match r.fetched() {
        None => return,
        Some(got) => got,
    };
    log(Level::Debug, b"fetched");
    if let Ok(answer) = got {
        number(b"fetch_status", answer.status.into());
        named(b"fetch_body", answer.body);
    }
    named(b"fetch_blob", r.state());
    named(b"fetch_error", got.err().unwrap_or(b""));
}

/// Begins a request, or adds to it.
fn compose<'a>(asked: fetch::Request<'a>, order: &'a [u8]) -> fetch::Request<'a> {
    match order {
        [b'f', rest @ ..] => {
            let (method, url) = cut(rest, b' ');
            fetch::Request::new(method, url)
        }
        [b'+', b'h', rest @ ..] => {
            let (name, value) = cut(rest, b':');
            asked.header(name, value)
        }
        [b'+', b'b', body @ ..] => asked.body(body),
        [b'+', b's', state @ ..] => asked.keep(state),
        _ => panic!("unknown order"),
    }
}

fn found(order: &[u8], value: Option<&[u8]>) {
    log(Level::Debug, order);
    match value {
        Some(value) => log(Level::Info, value),
        None => log(Level::Warn, b""),
    }
}

/// Carries out what the hooks with a request know.
fn common(r: &Request, order: &[u8]) {
    if let [b'?', kind, index, name @ ..] = order {
        let index = (index - b'0') as u32;
        return found(order, match kind {
            b'1' => r.header(name, index),
            b'2' => r.cookie(name, index),
            b'3' => r.query_param(name, index),
            _ => r.claim(name),
        });
    }
    always(r, order)
}

/// Carries out what all hooks know.
fn always(call: &Call, order: &[u8]) {
    match order {
        [b'!', ..] => panic!("as told"),
        [b'l', level, line @ ..] => log([Level::Debug, Level::Info, Level::Warn, Level::Error][(level - b'0') as usize], line),
        [b'm', n @ ..] => ECHO.add(decimal(n)),
        [b'a', b'g', name @ ..] => found(order, session::get(call, name)),
        [b'k', b'g', key @ ..] => found(order, kv::get(call, key)),
        [b'k', b'd', key @ ..] => {
            kv::delete(key);
            log(Level::Debug, order);
        }
        [b'a', ..] => item(order, attribute(order)),
        [b'k', ..] => item(order, key(call, order)),
        _ => panic!("unknown order"),
    }
}

/// Changes an attribute of the session, and returns what came of it.
fn attribute(order: &[u8]) -> &'static [u8] {
    let (name, value) = cut(&order[2..], b':');
    let result = match order[1] {
        b'c' => session::create(name, value),
        b's' => {
            let (old, next) = cut(value, b':');
            session::swap(name, old, next)
        }
        b'd' => session::delete(name, value),
        _ => panic!("unknown order"),
    };
    match result {
        Ok(()) => b"done",
        Err(session::Error::Other) => b"other",
        Err(session::Error::Ended) => b"ended",
    }
}

/// Changes a key, likewise.
fn key<'a>(call: &Call<'a>, order: &[u8]) -> &'a [u8] {
    let (first, rest) = cut(&order[2..], b':');
    let result = if order[1] == b'i' {
        kv::delete_if(first, rest).map(|()| &b"done"[..])
    } else {
        let (ttl, (key, value)) = (decimal(first), cut(rest, b':'));
        match order[1] {
            b'p' => kv::put(key, value, ttl).map(|()| &b"done"[..]),
            b'c' => kv::create(key, value, ttl).map(|()| &b"done"[..]),
            b's' => {
                let (old, next) = cut(value, b':');
                kv::swap(key, old, next, ttl).map(|()| &b"done"[..])
            }
            b'a' => kv::add(key, signed(value), ttl).map(|sum| sign(call, sum)),
            _ => panic!("unknown order"),
        }
    };
    match result {
        Ok(done) => done,
        Err(kv::Error::Other) => b"other",
        Err(kv::Error::Full) => b"full",
    }
}

fn sign<'a>(call: &Call<'a>, n: i64) -> &'a [u8] {
    let digits = call.decimal(n.unsigned_abs());
    if n < 0 {
        return call.join(&[b"-", digits]);
    }
    digits
}

fn authorize<'a>(r: &Request<'a>) -> Decision<'a> {
    request(r);
    if r.anonymous() {
        log(Level::Debug, b"anonymous");
    }
    identity(r);
    fetched(r);

    let mut asked = fetch::get(b"");
    let mut d = Decision::abstain();
    let mut i = 0;
    while let Some(order) = r.header(b"X-Echo", i) {
        d = match order {
            b"=0" => Decision::abstain(),
            b"=1" => Decision::allow(),
            b"=2" => Decision::deny(b""),
            [b's', rest @ ..] => d.status(decimal(rest) as u32),
            [b'r', rest @ ..] => d.reason(rest),
            [b'h', rest @ ..] => {
                let (name, value) = cut(rest, b':');
                d.header(name, value)
            }
            [b'f' | b'+', ..] => {
                asked = compose(asked, order);
                Decision::fetch(asked)
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
    fetched(r);

    let mut asked = fetch::get(b"");
    let mut choice = Choice::abstain();
    let mut i = 0;
    while let Some(order) = r.header(b"X-Echo", i) {
        choice = match order {
            b"=0" => Choice::abstain(),
            b"=2" => Choice::stop(),
            [b'c', rest @ ..] => Choice::attempt(decimal(rest) as usize),
            [b'r', rest @ ..] => choice.reason(rest),
            [b'f' | b'+', ..] => {
                asked = compose(asked, order);
                Choice::fetch(asked)
            }
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

fn admit<'a>(r: &Request<'a>) -> login::Decision<'a> {
    request(r);
    identity(r);
    number(b"idle", r.idle());
    number(b"absolute", r.absolute());
    fetched(r);

    let mut asked = fetch::get(b"");
    let mut d = login::Decision::go_on();
    let mut i = 0;
    while let Some(order) = r.header(b"X-Echo", i) {
        d = match order {
            b"=0" => login::Decision::go_on(),
            b"=2" => login::Decision::refuse(b""),
            [b's', rest @ ..] => d.status(decimal(rest) as u32),
            [b'r', rest @ ..] => d.reason(rest),
            [b'h', rest @ ..] => {
                let (name, value) = cut(rest, b':');
                d.header(name, value)
            }
            [b'i', rest @ ..] => d.idle(decimal(rest)),
            [b'd', rest @ ..] => d.absolute(decimal(rest)),
            [b't', rest @ ..] => {
                let (name, value) = cut(rest, b':');
                d.attribute(name, value)
            }
            [b'f' | b'+', ..] => {
                asked = compose(asked, order);
                login::Decision::fetch(asked)
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
on_login!(admit);

fn tell<'a>(e: &logout::Event<'a>) -> logout::Answer<'a> {
    named(b"realm", e.realm());
    named(b"user_id", e.user_id());
    named(b"issuer", e.issuer());
    named(b"subject", e.subject());
    named(b"session_id", e.session_id());
    named(b"event_id", e.id());
    named(b"why", e.why());
    named(b"by_rank", e.by_rank());
    named(b"by_id", e.by_id());
    number(b"ended", e.at());
    named(b"what", e.what());
    e.sessions().for_each(|id| item(b"session", id));

    let mut answer = logout::Answer::nothing();
    let mut orders = e.sessions().filter(|id| !id.starts_with(b"ses_")).peekable();
    while let Some(order) = orders.next() {
        match order {
            [b'r', rest @ ..] => answer = answer.reason(rest),
            [b'f', ..] => {
                let mut asked = compose(fetch::get(b""), order);
                while let Some(more) = orders.next_if(|next| next.first() == Some(&b'+')) {
                    asked = compose(asked, more);
                }
                answer = answer.send(asked);
            }
            _ => always(e, order),
        }
    }
    answer
}
on_logout!(tell);

configure!(|config| {
    named(b"config", config);
    config.strip_prefix(b"refuse:").map_or(Ok(()), Err)
});
