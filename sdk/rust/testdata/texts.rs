//! A guest for tests: the texts that it makes are more than the arena has room
//! for, and each must still be what it was when all are made. A header has it
//! call its own hook from inside the handler, which safe code can do.
#![no_std]

#[path = "../authhost.rs"]
#[macro_use]
mod authhost;

use authhost::{equal, serve_authorize, Decision, Request};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

static AGAIN: AtomicBool = AtomicBool::new(false); // so that it would come to an end

fn decide<'a>(r: &Request<'a>) -> Decision<'a> {
    if let Some(&[length]) = r.header(b"X-Export", 0) {
        if !AGAIN.swap(true, Relaxed) {
            on_authorize(length.into());
        }
    }
    if let Some(&[length]) = r.header(b"X-Serve", 0) {
        serve_authorize(length.into(), |_| Decision::abstain());
    }
    let part = r.header(b"X-Part", 0).unwrap_or(b"");
    let mut texts: [&[u8]; 10] = [b""; 10];
    for (i, text) in texts.iter_mut().enumerate() {
        *text = r.join(&[r.decimal(i as u64), part, b"", b"."]);
    }
    for (i, text) in texts.iter().enumerate() {
        assert!(text.len() == part.len() + 2 && text[0] == b'0' + i as u8 && text[text.len() - 1] == b'.');
        assert!(equal(&text[1..text.len() - 1], part));
    }
    if !r.join(&[]).is_empty() || !r.join(&[b""]).is_empty() {
        return Decision::abstain();
    }
    Decision::allow().reason(r.join(&[r.decimal(0), b" ", r.decimal(u64::MAX)]))
}
on_authorize!(decide);
