// A plugin on the bare ABI, see abi/SPEC.md: who has the role editor may call
// /api/gitops/sync. It abstains from all else.
#![no_std]

const PATH: u16 = 4;
const ROLES: u16 = 14;
const LAZY: u16 = 1;
const GET_FIELD: u32 = 5;
const ABSTAIN: u64 = 0;
const ALLOW: u64 = 1;
const ROOM: usize = 16384;

#[link(wasm_import_module = "authhost")]
extern "C" {
    fn get(kind: u32, name: *const u8, name_length: u32, index: u32, at: *mut u8, capacity: u32) -> u32;
}

static mut BUFFER: [u8; ROOM] = [0; ROOM];
static mut SPARE: [u8; ROOM] = [0; ROOM]; // for one field that does not fit

// What a rule must not do ends the call, and the host answers 503.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

#[no_mangle]
pub extern "C" fn authhost_abi_v1() {}

#[no_mangle]
pub extern "C" fn authhost_buffer() -> u64 {
    unsafe { (BUFFER.as_ptr() as u64) << 32 | ROOM as u64 }
}

#[no_mangle]
pub extern "C" fn on_authorize(length: u32) -> u64 {
    // The host runs one call at a time in an instance, which has one thread.
    let (frame, spare) = unsafe { (&BUFFER[..length as usize], &mut SPARE) };
    if decide(frame, spare).unwrap_or(false) {
        ALLOW
    } else {
        ABSTAIN
    }
}

fn decide(frame: &[u8], spare: &mut [u8]) -> Option<bool> {
    if field(frame, spare, PATH)? != b"/api/gitops/sync" {
        return Some(false);
    }
    let mut roles = field(frame, spare, ROLES)?;
    while !roles.is_empty() {
        let (head, rest) = roles.split_at(4);
        let (role, rest) = rest.split_at(read32(head) as usize);
        if role == b"editor" {
            return Some(true);
        }
        roles = rest;
    }
    Some(false)
}

fn field<'a>(frame: &'a [u8], spare: &'a mut [u8], id: u16) -> Option<&'a [u8]> {
    let entries = frame[8..].chunks_exact(12).take(read16(&frame[2..]) as usize);
    for entry in entries {
        if read16(entry) != id {
            continue;
        }
        let (at, length) = (read32(&entry[4..]) as usize, read32(&entry[8..]) as usize);
        if read16(&entry[2..]) & LAZY == 0 {
            return Some(&frame[at..at + length]);
        }
        let into = &mut spare[..length];
        let got = unsafe { get(GET_FIELD, core::ptr::null(), 0, id as u32, into.as_mut_ptr(), length as u32) };
        assert!(got as usize == length);
        return Some(into);
    }
    None
}

fn read16(b: &[u8]) -> u16 {
    u16::from_le_bytes([b[0], b[1]])
}

fn read32(b: &[u8]) -> u32 {
    u32::from_le_bytes([b[0], b[1], b[2], b[3]])
}
