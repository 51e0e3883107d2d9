// ingot.mjs: runs models that Ingot compiled to WebAssembly, in browsers and in Node.
// SPDX-License-Identifier: Apache-2.0
//
//   import { Model } from './ingot.mjs';
//   const model = await Model.load(fetch('net.wasm'));         // or bytes; { weights: bytes } for --weights-file
//   const { logits } = model.run({ image: new Float32Array(784) });
//
// Offsets below are those of the structs of ingot.h on wasm32.

// Typed arrays by element type; f16 and bf16 come as their bits.
const arrays = [null, Uint8Array, Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array,
  BigInt64Array, BigUint64Array, Uint16Array, Uint16Array, Float32Array, Float64Array];
const dtypes = ['none', 'bool', 'i8', 'u8', 'i16', 'u16', 'i32', 'u32', 'i64', 'u64', 'f16', 'bf16', 'f32', 'f64'];
const OPTIONS_SIZE = 104, MAX_RANK = 16, PAGE = 65536;

const bytesOf = async (source) => {
  source = await source;
  if (source.arrayBuffer) source = await source.arrayBuffer(); // a Response or Blob
  return source instanceof Uint8Array ? source : new Uint8Array(source);
};

export class Model {
  // `source`: the module's bytes, or a Response. options: weights (as source), model (name; default: the only one).
  static async load(source, options = {}) {
    const { instance } = await WebAssembly.instantiate(await bytesOf(source), {});
    const weights = options.weights ? await bytesOf(options.weights) : null;
    return new Model(instance.exports, weights, options.model);
  }

  constructor(exports, weights, name) {
    this.x = exports;
    const key = Object.keys(exports).find((k) => (name ? k === `ingot_model_${name}` : k.startsWith('ingot_model_') && exports[k] instanceof WebAssembly.Global));
    if (!key) throw new Error('not a model that ingot compiled');
    this.model = exports[key].value;
    this.top = exports.__heap_base.value;
    this.name = this.text(this.x.ingot_model_name(this.model));
    this.inputs = this.list('input');
    this.outputs = this.list('output');
    this.context = this.createContext(weights);
  }

  get view() { return new DataView(this.x.memory.buffer); }

  text(at) {
    const bytes = new Uint8Array(this.x.memory.buffer, at);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }

  // Memory that is never given back: everything is set up once.
  take(bytes) {
    const at = Math.ceil(this.top / 128) * 128; // beyond 2 GiB too, where & would not do
    this.top = at + Number(bytes);
    const missing = this.top - this.x.memory.buffer.byteLength;
    if (missing > 0) this.x.memory.grow(Math.ceil(missing / PAGE));
    return at;
  }

  // Descriptions: { name, dtype, dims: [{ bound, symbol }], bytes, at }.
  list(kind) {
    const all = [];
    for (let i = 0; i < this.x[`ingot_${kind}_count`](this.model); i++) {
      const at = this.x[`ingot_${kind}_info`](this.model, i), v = this.view, dims = [];
      for (let d = 0; d < v.getInt32(at + 16, true); d++) {
        const dim = v.getUint32(at + 8, true) + 16 * d;
        dims.push({ bound: Number(v.getBigInt64(dim, true)), symbol: v.getInt32(dim + 8, true) });
      }
      const dtype = v.getInt32(at + 12, true);
      all.push({ name: this.text(v.getUint32(at, true)), dtype: dtypes[dtype], type: dtype, dims, bytes: Number(v.getBigInt64(at + 24, true)) });
    }
    return all;
  }

  createContext(weights) {
    const options = this.take(OPTIONS_SIZE), error = this.take(256), handle = this.take(8);
    new Uint8Array(this.x.memory.buffer, options, OPTIONS_SIZE).fill(0);
    const set32 = (at, v) => this.view.setUint32(options + at, v, true);
    const set64 = (at, v) => this.view.setBigUint64(options + at, BigInt(v), true);
    set64(0, OPTIONS_SIZE), set32(8, 1), set32(56, error), set64(64, 256);
    if (weights) {
      const at = this.take(weights.length - PAGE); // what follows the file's header
      new Uint8Array(this.x.memory.buffer, at).set(weights.subarray(PAGE));
      set32(48, at);
    }
    const bytes = this.x.ingot_ctx_bytes(this.model, options), memory = this.take(bytes);
    set32(88, memory), set64(96, bytes);
    for (const t of [...this.inputs, ...this.outputs]) t.at = this.take(t.bytes);
    const code = this.x.ingot_ctx_create(this.model, options, handle);
    if (code) throw new Error(this.text(error) || this.text(this.x.ingot_error_text(this.model, code)));
    return this.view.getUint32(handle, true);
  }

  check(code) {
    if (code) throw new Error(this.text(this.x.ingot_last_error(this.context)));
  }

  // Extents where they vary: given as { data, dims }, else those of the description.
  bind(i, value) {
    const t = this.inputs[i], data = value.data ?? value, dims = value.dims ?? t.dims.map((d) => d.bound);
    if (!(data instanceof arrays[t.type])) throw new TypeError(`input '${t.name}' wants a ${arrays[t.type].name} (${t.dtype})`);
    if (data.byteLength > t.bytes) throw new RangeError(`input '${t.name}': ${data.byteLength} bytes given, ${t.bytes} at most`);
    new arrays[t.type](this.x.memory.buffer, t.at, data.length).set(data);
    const at = this.take(0);
    dims.forEach((n, d) => this.view.setBigInt64(at + 8 * d, BigInt(n), true));
    this.check(this.x.ingot_set_input(this.context, i, t.at, t.type, dims.length, at, BigInt(data.byteLength)));
  }

  // Inputs by name -> outputs by name: typed arrays with their extents as `dims`.
  run(inputs) {
    const scratch = this.top;
    this.take(8 * MAX_RANK), this.top = scratch; // room for extents beyond what is taken
    for (const name of Object.keys(inputs)) {
      const i = this.inputs.findIndex((t) => t.name === name);
      if (i < 0) throw new Error(`no input '${name}'; it has: ${this.inputs.map((t) => t.name).join(', ')}`);
      this.bind(i, inputs[name]);
    }
    this.outputs.forEach((t, i) => this.check(this.x.ingot_set_output(this.context, i, t.at, BigInt(t.bytes))));
    this.check(this.x.ingot_run(this.context));
    return Object.fromEntries(this.outputs.map((t, i) => [t.name, this.output(t, i)]));
  }

  output(t, i) {
    const at = this.take(0), dims = [];
    this.check(this.x.ingot_output_shape(this.context, i, at));
    for (let d = 0; d < t.dims.length; d++) dims.push(Number(this.view.getBigInt64(at + 8 * d, true)));
    const n = dims.reduce((a, b) => a * b, 1);
    const data = new arrays[t.type](this.x.memory.buffer, t.at, n).slice();
    data.dims = dims;
    return data;
  }
}
