// predict.mjs: a model as a WebAssembly module, in Node; in a browser, fetch('lenet.wasm') takes the place of readFile.
// SPDX-License-Identifier: Apache-2.0
//
//   ingot compile ../lenet_fashion.yaml --target=wasm32 -o lenet.wasm
//   cp /usr/local/share/ingot/ingot.mjs . && node predict.mjs lenet.wasm
import { readFile } from 'node:fs/promises';
import { Model } from './ingot.mjs';

const model = await Model.load(readFile(process.argv[2]));
const image = Float32Array.from({ length: 28 * 28 }, (_, i) => (i % 28) / 28);
const { logits } = model.run({ image: { data: image, dims: [1, 1, 28, 28] } });
const best = logits.indexOf(Math.max(...logits));
console.log(`class ${best}: ${logits[best].toFixed(2)}`);
