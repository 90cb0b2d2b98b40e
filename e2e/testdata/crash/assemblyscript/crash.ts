// A plugin that ends as its path says.
import { abstain, authorize, Decision, Request } from "./sdk/authhost";
export { authhost_abi_v1, authhost_buffer } from "./sdk/authhost";

let sink: i32 = 0;

export function on_authorize(frame: i32): i64 {
  return authorize(frame, decide);
}

function fall(): void { throw new Error("as told"); }
function reach(): void { sink = load<u8>(0xfffffff0); }
function turn(): void { for (;;) sink++; }

// The compiler inlines what is called at one place; not what is called by number.
const ends: StaticArray<() => void> = [fall, reach, turn];

function decide(r: Request): Decision {
  if (r.path.is("/fall")) ends[0]();
  if (r.path.is("/reach")) ends[1]();
  if (r.path.is("/turn")) ends[2]();
  return abstain();
}
