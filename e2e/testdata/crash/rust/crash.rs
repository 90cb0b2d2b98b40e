//! A plugin that ends as its path says.
#![no_std]

#[path = "sdk/authhost.rs"]
#[macro_use]
mod authhost;

use authhost::{Decision, Request};
use core::ptr::{read_volatile, write_volatile};

static mut SINK: usize = 0;

#[inline(never)]
fn fall() {
    unsafe { SINK = [1usize, 2][read_volatile(&SINK) + 7] }
}

#[inline(never)]
fn reach() {
    unsafe { SINK = read_volatile(0xfffffff0 as *const u8) as usize }
}

#[inline(never)]
fn turn() {
    loop {
        unsafe { write_volatile(&mut SINK, 1) }
    }
}

fn decide<'a>(r: &Request<'a>) -> Decision<'a> {
    match r.path() {
        b"/fall" => fall(),
        b"/reach" => reach(),
        b"/turn" => turn(),
        _ => (),
    }
    Decision::abstain()
}
on_authorize!(decide);
