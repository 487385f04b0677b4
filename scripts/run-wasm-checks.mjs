// Runs the checks that scripts/kernel-checks exports, one after the other.
import { readFileSync } from 'node:fs';

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const load = () => new WebAssembly.Instance(module, {}).exports;
const text = (wasm) =>
  new TextDecoder().decode(new Uint8Array(wasm.memory.buffer, wasm.text(), wasm.text_len()));

const first = load();
first.isas();
console.log(`instruction sets: ${text(first)}`);
let failed = 0;
for (let index = 0, count = first.checks(); index < count; index++) {
  const wasm = load(); // a trap leaves an instance unusable
  wasm.checks();
  wasm.name(index);
  const name = text(wasm);
  const start = performance.now();
  try {
    wasm.run(index);
    console.log(`ok     ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  } catch (trap) {
    failed += 1;
    console.log(`FAILED ${name}: ${text(wasm)} (${trap})`);
  }
}
process.exit(failed ? 1 : 0);
