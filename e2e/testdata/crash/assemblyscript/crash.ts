// A plugin that ends as its path says.
import { abstain, authorize, Decision, Request } from "./sdk/authhost";
export { authhost_abi_v1, authhost_buffer } from "./sdk/authhost";

let sink: i32 = 0;

export function on_authorize(frame: i32): i64 {
  return authorize(frame, decide);
}

function decide(r: Request): Decision {
  if (r.path.is("/fall")) throw new Error("as told");
  if (r.path.is("/reach")) sink = load<u8>(0xfffffff0);
  if (r.path.is("/turn")) for (;;) sink++;
  return abstain();
}
