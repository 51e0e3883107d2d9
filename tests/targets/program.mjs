// program.mjs: what program.c does, for a WebAssembly module in Node: made-up inputs, outputs as millionths.
// SPDX-License-Identifier: Apache-2.0
//   node program.mjs MODULE.wasm [WEIGHTS]
import { readFile } from 'node:fs/promises';
import { Model } from '../../runtime/js/ingot.mjs';

const made = {
  f32: (n, next) => Float32Array.from({ length: n }, () => Math.fround(Math.fround((next() >>> 16) / 32768) - 1)),
  i32: (n, next) => Int32Array.from({ length: n }, () => next() >>> 29),
  i64: (n, next) => BigInt64Array.from({ length: n }, () => BigInt(next() >>> 29)),
  u8: (n, next) => Uint8Array.from({ length: n }, () => next() >>> 25),
  i8: (n, next) => Int8Array.from({ length: n }, () => (next() >>> 25)),
  bool: (n, next) => Uint8Array.from({ length: n }, () => next() >>> 31),
};

const [file, weights] = process.argv.slice(2);
const model = await Model.load(readFile(file), weights ? { weights: readFile(weights) } : {});
const inputs = {};
model.inputs.forEach((t, i) => {
  let seed = i + 1;
  const next = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0);
  inputs[t.name] = made[t.dtype](t.dims.reduce((n, d) => n * d.bound, 1), next);
});
try {
  model.run({ nonsense: new Float32Array(1) });
  process.exit(1);
} catch (e) {
  if (!e.message.startsWith("no input 'nonsense'")) throw e;
}
for (let runs = model.x.ingot_state_bytes(model.model) > 16n ? 2 : 1; runs > 0; runs--)
  for (const t of Object.values(model.run(inputs)))
    for (const v of t.slice(0, 4096)) console.log(t instanceof Float32Array ? Math.trunc(Math.fround(v * 1e6)) : Number(v));
