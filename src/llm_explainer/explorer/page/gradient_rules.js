// A number of a gradient, put together again by the rule that made it: see tracing/rules.py.

// The terms of one way back for the number at an index: {terms: [{text, value}], scale}. Their sum,
// times the scale, is that way's share. Null where the page lacks a number that the rule needs.
export function termsOfWay(data, term, index) {
  const find = (path) => data.array(path);
  const dy = term.rule === "target" ? true : find(`gradients/${term.of}`);
  const inputs = term.inputs.map((input) => find(`activations/${input}`));
  const weight = term.weight ? find(`parameters/${term.weight}`) : true;
  if (!dy || !weight || inputs.some((input) => !input)) return null;
  const config = data.facts.config;
  return RULES[term.rule]({ data, term, index, dy, inputs, weight, config });
}

const RULES = {
  target: ofTarget,
  same: ({ dy, index }) => one([["dy", at(dy, index)]]),
  linear: ofLinear,
  norm: ofNorm,
  rotate: ofRotation,
  queries: ({ dy, inputs, index: [h, t, i], config }) => {
    const kv = group(h, inputs[0], config);
    const terms = range(t + 1).map((s) => product(`ds[${s}] · k[${s}]`, at(dy, [h, t, s]), at(inputs[0], [kv, s, i])));
    return { terms, scale: 1 / Math.sqrt(config.head_dim) };
  },
  keys: ({ dy, inputs, index: [kv, s, i], config }) => {
    const terms = overHeads(kv, s, dy, config, (h, t) => product(`ds[${h}, ${t}] · q[${h}, ${t}]`, at(dy, [h, t, s]), at(inputs[0], [h, t, i])));
    return { terms, scale: 1 / Math.sqrt(config.head_dim) };
  },
  values: ({ dy, inputs, index: [kv, s, i], config }) => ({
    terms: overHeads(kv, s, dy, config, (h, t) => product(`w[${h}, ${t}] · dh[${h}, ${t}]`, at(inputs[0], [h, t, s]), at(dy, [h, t, i]))),
    scale: 1,
  }),
  weights: ({ dy, inputs, index: [h, t, s], config }) => {
    const kv = group(h, inputs[0], config);
    const terms = range(config.head_dim).map((i) => product(`dh[${i}] · v[${i}]`, at(dy, [h, t, i]), at(inputs[0], [kv, s, i])));
    return { terms, scale: 1 };
  },
  softmax: ({ dy, inputs, index: [h, t, s] }) => {
    const own = at(inputs[0], [h, t, s]);
    const mean = sum(range(t + 1).map((j) => at(inputs[0], [h, t, j]) * at(dy, [h, t, j])));
    return { terms: [term("dw", at(dy, [h, t, s])), term("- Σ w · dw", -mean)], scale: own };
  },
  slope: ({ dy, inputs, index, config }) => {
    const x = at(inputs[0], index);
    const slope = SLOPES[config.activation === "swiglu" ? "silu" : config.activation](x);
    return { terms: [product("dy · f'(x)", at(dy, index), slope)], scale: 1 };
  },
  times: ({ dy, inputs, index }) => one([["dy · b", at(dy, index) * at(inputs[0], index)]]),
};

const SLOPES = {
  relu: (x) => (x > 0 ? 1 : 0),
  silu: (x) => {
    const sigmoid = 1 / (1 + Math.exp(-x));
    return sigmoid + x * sigmoid * (1 - sigmoid);
  },
  gelu: (x) => {
    const c = Math.sqrt(2 / Math.PI);
    const tanh = Math.tanh(c * (x + 0.044715 * x ** 3));
    return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh ** 2) * c * (1 + 3 * 0.044715 * x ** 2);
  },
};

function ofTarget({ data, index: [t, v] }) {
  const { target, tokens } = data.facts;
  const logits = data.array("activations/logits");
  if (!logits) return null;
  const isLoss = target.kind === "loss";
  const isHere = isLoss ? t < tokens.length - 1 : t === target.position;
  if (!isHere) return one([["not part of the target", 0]]);
  const came = isLoss ? tokens[t + 1].id : target.token;
  const own = term(came === v ? "the token itself" : "another token", came === v ? 1 : 0);
  if (target.kind === "logit") return { terms: [own], scale: 1 };
  const row = range(logits.shape[1]).map((i) => at(logits, [t, i]));
  const largest = row.reduce((a, b) => Math.max(a, b));
  const p = Math.exp(row[v] - largest) / sum(row.map((z) => Math.exp(z - largest)));
  if (!isLoss) return { terms: [own, term("- p", -p)], scale: 1 };
  return { terms: [term("p", p), { ...own, value: -own.value }], scale: 1 / (tokens.length - 1) };
}

function ofLinear({ term: way, index, dy, weight, config }) {
  // The outputs may be heads, side by side; so may the inputs, which out_proj reads.
  const t = index[index.length - 2];
  const i = index[index.length - 1];
  const column = index.length === 2 ? i : index[0] * config.head_dim + i;
  const outputs = dy.shape.length === 2 ? range(dy.shape[1]).map((o) => [t, o]) : headRows(dy, t);
  const terms = outputs.map((where, o) => {
    const row = way.first_row + o;
    return product(`dy[${o}] · W[${row}, ${column}]`, at(dy, where), at(weight, [row, column]));
  });
  return { terms, scale: 1 };
}

function ofNorm({ term: way, index, dy, inputs, weight, config }) {
  const row = index.slice(0, -1);
  const i = index[index.length - 1];
  const n = dy.shape[dy.shape.length - 1];
  const x = range(n).map((j) => sum(inputs.map((input) => at(input, [...row, j]))));
  const isRms = config.norm === "rmsnorm" || way.weight.includes(".attention.");
  const mean = isRms ? 0 : sum(x) / n;
  const std = Math.sqrt(sum(x.map((v) => (v - mean) ** 2)) / n + config.norm_eps);
  const hat = x.map((v) => (v - mean) / std);
  const dhat = range(n).map((j) => at(dy, [...row, j]) * weight.values[j]);
  const along = sum(dhat.map((v, j) => v * hat[j])) / n;
  const terms = [term("dx̂ = dy · w", dhat[i])];
  if (!isRms) terms.push(term("- mean(dx̂)", -sum(dhat) / n));
  terms.push(term("- x̂ · mean(dx̂ · x̂)", -hat[i] * along));
  return { terms, scale: 1 / std };
}

function ofRotation({ data, index: [h, t, i], dy }) {
  const { frequencies, strength } = data.facts.rotation;
  const half = frequencies.length;
  const angle = t * frequencies[i % half];
  const [cos, sin] = [strength * Math.cos(angle), strength * Math.sin(angle)];
  const first = at(dy, [h, t, i % half]);
  const second = at(dy, [h, t, (i % half) + half]);
  const [own, other] = i < half ? [first, second] : [second, -first];
  return { terms: [product("dy · cos", own, cos), product("± its pair · sin", other, sin)], scale: 1 };
}

function headRows(dy, t) {
  const [heads, , width] = dy.shape;
  return range(heads).flatMap((h) => range(width).map((i) => [h, t, i]));
}

function overHeads(kv, s, dy, config, make) {
  const each = config.n_heads / config.n_kv_heads;
  const tokens = dy.shape[1];
  return range(each).flatMap((j) => range(tokens - s).map((d) => make(kv * each + j, s + d)));
}

function group(h, array, config) {
  return Math.floor(h / (config.n_heads / array.shape[0]));
}

// The number at an index of an array.
export function at({ shape, values }, index) {
  return values[index.reduce((place, i, axis) => place * shape[axis] + i, 0)];
}

function term(text, value) {
  return { text, value };
}

function product(text, a, b) {
  return { text, value: a * b, factors: [a, b] };
}

function one(pairs) {
  return { terms: pairs.map(([text, value]) => term(text, value)), scale: 1 };
}

function range(n) {
  return Array.from({ length: n }, (_, i) => i);
}

function sum(numbers) {
  return numbers.reduce((a, b) => a + b, 0);
}
