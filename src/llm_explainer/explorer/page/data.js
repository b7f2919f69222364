// Unpacks what Python packed (packing.py): facts as JSON, and arrays by name.

import { fromBase85 } from "./base85.js";

// Significant digits that an array of each kind can show.
const DIGITS = { float32: 5, float24: 4, float16: 3, int8: 2, uint32: 10 };

export class Data {
  // bytes: a Uint8Array, inflated.
  constructor(bytes) {
    const length = new DataView(bytes.buffer).getUint32(0, true);
    this.facts = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    this.bytes = bytes.subarray(4 + length);
    this.index = new Map(Object.entries(this.facts.arrays));
    this.known = new Map();
    this.recipes = []; // functions (name) -> array or null, for what is computed here
  }

  // The array {name, shape, values, digits} of this name, or null.
  array(name) {
    if (!this.known.has(name)) {
      let found = this.index.has(name) ? this.decode(name) : null;
      for (const recipe of this.recipes) found = found ?? recipe(name);
      this.known.set(name, found);
    }
    return this.known.get(name);
  }

  has(name) {
    return this.array(name) !== null;
  }

  decode(name) {
    const { shape, kind, at, scale } = this.index.get(name);
    const size = shape.reduce((a, b) => a * b, 1);
    const bytes = this.bytes.subarray(at);
    const values =
      kind === "int8" ? inSteps(bytes, size, shape) : decoders[kind](bytes, size, scale);
    return { name, shape, values, digits: DIGITS[kind] };
  }
}

// n numbers of so many bytes each, which lie plane by plane, as numbers of four bytes.
function whole(bytes, n, width) {
  const out = new Uint8Array(4 * n);
  for (let plane = 0; plane < width; plane++) {
    const from = plane * n;
    for (let i = 0, to = plane + 4 - width; i < n; i++, to += 4) out[to] = bytes[from + i];
  }
  return out.buffer;
}

const decoders = {
  uint32: (bytes, n) => new Uint32Array(whole(bytes, n, 4)),
  float32: (bytes, n) => new Float32Array(whole(bytes, n, 4)),
  float24: (bytes, n) => new Float32Array(whole(bytes, n, 3)), // the missing byte is 0
  float16: (bytes, n, scale) => {
    const table = halves();
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = table[bytes[i] | (bytes[n + i] << 8)] * scale;
    return out;
  },
};

let halfTable = null;

// The value of each of the 65,536 half-precision numbers (IEEE 754, section 3.4).
function halves() {
  if (halfTable === null) {
    halfTable = new Float32Array(1 << 16);
    for (let bits = 0; bits < 1 << 16; bits++) {
      const exponent = (bits >> 10) & 31;
      const fraction = bits & 1023;
      const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
      halfTable[bits] = bits >> 15 ? -size : size;
    }
  }
  return halfTable;
}

function inSteps(bytes, size, shape) {
  const width = shape[shape.length - 1];
  const rows = size / width;
  const steps = new Float32Array(bytes.slice(0, 4 * rows).buffer);
  const counts = new Int8Array(bytes.buffer, bytes.byteOffset + 4 * rows, size);
  return Float32Array.from(counts, (count, i) => count * steps[Math.floor(i / width)]);
}

// The content of this page: base85 of deflated bytes.
export async function unpack() {
  const text = document.getElementById("content").textContent;
  const stream = new Blob([fromBase85(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Data(new Uint8Array(await new Response(stream).arrayBuffer()));
}
