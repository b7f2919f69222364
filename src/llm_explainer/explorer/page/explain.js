// How one number came about: its formula with the numbers put in.

import { sees } from "./derive.js";
import { show } from "./numbers.js";

// What explain() returns: terms {what, a, b, product} that add up to the number, or lines of text;
// rest {n, sum} where only the largest terms are known.

export function explain(app, name, index) {
  const { data } = app;
  const array = data.array(`activations/${name}`);
  const value = array.values[flat(array.shape, index)];
  const probability = { rule: "weights", inputs: ["logits"] };
  const making = name === "probabilities" ? probability : data.facts.makings[name];
  const rule = data.facts.rules[making.rule];
  const made = makers[making.rule](app, making, index, name);
  return { name, index, value, digits: array.digits, rule, making, lines: [], terms: [], ...made };
}

export function flat(shape, index) {
  return shape.reduce((at, size, axis) => at * size + index[axis], 0);
}

// The numbers of a result at a place: (T, D), or (heads, T, H) with the heads side by side.
export function rowAt(array, place) {
  const [, size, width] = array.shape;
  if (array.shape.length === 2) return array.values.subarray(place * size, (place + 1) * size);
  const row = new Float32Array(array.shape[0] * width);
  for (let head = 0; head < array.shape[0]; head++) {
    const at = (head * size + place) * width;
    row.set(array.values.subarray(at, at + width), head * width);
  }
  return row;
}

// A result's channel as its weight counts rows: heads stand side by side.
function channelOf(shape, index) {
  return shape.length === 2 ? index[1] : index[0] * shape[2] + index[2];
}

function placeOf(index) {
  return index[index.length - 2];
}

function input(app, name) {
  return app.data.array(`activations/${name}`);
}

function parameter(app, name) {
  return app.data.array(`parameters/${name}`);
}

function numberAt(array, index) {
  return array.values[flat(array.shape, index)];
}

function product(what, a, b) {
  return { what, a, b, product: a * b };
}

const makers = {
  embedding(app, making, index) {
    const token = app.data.facts.tokens[index[0]].id;
    return { lines: [`row ${token} of ${making.weight}, channel ${index[1]}`] };
  },
  place(app, making, index) {
    return { lines: [`row ${index[0]} of ${making.weight}, channel ${index[1]}`] };
  },
  sinusoid(app, making, [place, channel]) {
    const width = app.data.facts.config.d_model;
    const name = channel % 2 ? "cos" : "sin";
    return { lines: [`${name}(${place} / 10000^(${channel - (channel % 2)}/${width}))`] };
  },
  same(app, making, index) {
    return { lines: [`as it is in ${making.inputs[0]}, channel ${index[1]}`] };
  },
  normed(app, making, index) {
    return { lines: [`as it is in ${making.inputs[0]}, channel ${index[1]}`] };
  },
  placed: added,
  added,
  layernorm: norm,
  rmsnorm: norm,
  linear,
  rotate,
  scores,
  weights,
  heads,
  relu: bent,
  gelu: bent,
  silu: bent,
  times(app, making, index) {
    const [a, b] = making.inputs.map((name) => numberAt(input(app, name), index));
    return { terms: [product("activated · up", a, b)] };
  },
};

function added(app, making, index) {
  return {
    terms: making.inputs.map((name) => {
      const x = numberAt(input(app, name), index);
      return { what: name, a: x, b: null, product: x };
    }),
  };
}

function bent(app, making, index) {
  const x = numberAt(input(app, making.inputs[0]), index);
  const names = { relu: "max(x, 0)", gelu: "gelu(x)", silu: "x · sigmoid(x)" };
  return { lines: [`${names[making.rule]} with x = ${show(x)}`] };
}

function norm(app, making, index) {
  const arrays = making.inputs.map((name) => input(app, name));
  const vectors = arrays.map((array) => normedRow(array, index));
  const x = Float64Array.from(vectors[0], (_, i) => vectors.reduce((sum, v) => sum + v[i], 0));
  const { norm_eps: eps } = app.data.facts.config;
  const channel = index[index.length - 1];
  const mean = making.rule === "layernorm" ? x.reduce((a, b) => a + b, 0) / x.length : 0;
  const square = x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length;
  const scale = Math.sqrt(square + eps);
  const w = parameter(app, making.weight);
  const b = making.bias ? parameter(app, making.bias) : null;
  const lines = making.rule === "layernorm" ? [`mean = ${show(mean)}`] : [];
  lines.push(`root of the mean square = ${show(scale)}`);
  const top = mean ? `(${show(x[channel])} − ${show(mean)})` : show(x[channel]);
  const factor = w ? show(w.values[channel], w.digits) : "w";
  const more = b ? ` + ${show(b.values[channel], b.digits)}` : "";
  lines.push(`${top} / ${show(scale)} · ${factor}${more}`);
  const result = w
    ? ((x[channel] - mean) / scale) * w.values[channel] + (b ? b.values[channel] : 0)
    : null;
  return { lines, result };
}

// What a norm reads for this number: the channels of its token, of a head's query or key its own.
function normedRow(array, index) {
  if (array.shape.length === 2) return rowAt(array, index[0]);
  const at = flat(array.shape, [index[0], index[1], 0]);
  return array.values.subarray(at, at + array.shape[2]);
}

function linear(app, making, index, name) {
  const place = placeOf(index);
  const shape = input(app, name).shape;
  const row = making.first_row + channelOf(shape, index);
  const w = parameter(app, making.weight);
  const x = rowAt(input(app, making.inputs[0]), place);
  if (w === null) return largestTerms(app, making, name, place, channelOf(shape, index));
  const terms = Array.from(x, (xi, i) =>
    product(`x[${i}] · W[${row}, ${i}]`, xi, w.values[row * x.length + i]),
  );
  const b = making.bias ? parameter(app, making.bias) : null;
  if (b) terms.push({ what: `b[${row}]`, a: b.values[row], b: null, product: b.values[row] });
  return { terms };
}

// Of a large model the largest terms alone are on the page, for the last token.
function largestTerms(app, making, name, place, channel) {
  const kept = app.data.array(`largest/${name}/products`);
  if (kept === null || place !== app.data.facts.tokens.length - 1) {
    return {
      lines: ["the terms of this sum are kept for the last token only: the model is large"],
    };
  }
  const [, n] = kept.shape;
  const which = app.data.array(`largest/${name}/inputs`).values;
  const x = rowAt(input(app, making.inputs[0]), place);
  const terms = [];
  for (let i = channel * n; i < (channel + 1) * n; i++) {
    terms.push({
      what: `x[${which[i]}] · w`,
      a: x[which[i]],
      b: kept.values[i] / x[which[i]],
      product: kept.values[i],
    });
  }
  const row = rowAt(input(app, name), place);
  const sum = terms.reduce((total, term) => total + term.product, 0);
  return { terms, rest: { n: x.length - n, sum: row[channel] - sum } };
}

function rotate(app, making, [head, place, channel]) {
  const x = input(app, making.inputs[0]);
  const half = x.shape[2] / 2;
  const { frequencies, strength } = app.data.facts.rotation;
  const pair = channel % half;
  const angle = place * frequencies[pair];
  const first = numberAt(x, [head, place, pair]);
  const second = numberAt(x, [head, place, pair + half]);
  const [cos, sin] = [strength * Math.cos(angle), strength * Math.sin(angle)];
  const line = `the angle is ${place} · ${show(frequencies[pair])} = ${show(angle)}`;
  const terms =
    channel < half
      ? [product("first · cos", first, cos), product("− second · sin", second, -sin)]
      : [product("second · cos", second, cos), product("first · sin", first, sin)];
  return { lines: [line], terms };
}

function scores(app, making, [head, query, key], name) {
  const window = app.data.facts.windows[Number(name.split(".")[1])];
  if (!sees(query, key, window)) return { lines: ["masked: the token is not seen"] };
  const [q, k] = making.inputs.map((name) => input(app, name));
  const group = q.shape[0] / k.shape[0];
  const scale = 1 / Math.sqrt(q.shape[2]);
  const terms = [];
  for (let i = 0; i < q.shape[2]; i++) {
    const a = numberAt(q, [head, query, i]);
    terms.push(
      product(
        `q[${i}] · k[${i}] / √${q.shape[2]}`,
        a,
        numberAt(k, [Math.floor(head / group), key, i]) * scale,
      ),
    );
  }
  return { terms };
}

function weights(app, making, index, name) {
  const of = input(app, making.inputs[0]);
  const [place, at] = index.slice(-2);
  const width = of.shape[of.shape.length - 1];
  const start = flat(of.shape, [...index.slice(0, -1), 0]);
  const row = of.values.subarray(start, start + width);
  const isAttention = name !== "probabilities";
  const window = isAttention ? app.data.facts.windows[Number(name.split(".")[1])] : 0;
  if (isAttention && !sees(place, at, window))
    return { lines: ["masked: the token is not seen"], result: 0 };
  let most = -Infinity;
  let sum = 0;
  const isIn = (j) => !isAttention || sees(place, j, window);
  row.forEach((x, j) => {
    if (isIn(j)) most = Math.max(most, x);
  });
  row.forEach((x, j) => {
    if (isIn(j)) sum += Math.exp(x - most);
  });
  const result = Math.exp(row[at] - most) / sum;
  return {
    lines: [
      `the largest score is ${show(most)}; it goes first, so that exp cannot overflow`,
      `exp(${show(row[at])} − ${show(most)}) / ${show(sum)} = ${show(Math.exp(row[at] - most))} / ${show(sum)}`,
    ],
    result,
  };
}

function heads(app, making, [head, query, channel], name) {
  const [w, v] = making.inputs.map((x) => input(app, x));
  const group = w.shape[0] / v.shape[0];
  const window = app.data.facts.windows[Number(name.split(".")[1])];
  const terms = [];
  for (let key = 0; key <= query; key++) {
    if (!sees(query, key, window)) continue;
    const weight = numberAt(w, [head, query, key]);
    const value = numberAt(v, [Math.floor(head / group), key, channel]);
    terms.push(product(`${app.label(key)} (${key})`, weight, value));
  }
  return { terms };
}
