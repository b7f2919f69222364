// Results that follow from others by a rule without sums over channels: they are computed here,
// which keeps the file small.

const silu = (x) => x / (1 + Math.exp(-x));
const siluSlope = (x) => {
  const s = 1 / (1 + Math.exp(-x));
  return s + x * s * (1 - s);
};
const GELU = Math.sqrt(2 / Math.PI);
const bends = {
  silu,
  relu: (x) => Math.max(x, 0),
  gelu: (x) => 0.5 * x * (1 + Math.tanh(GELU * (x + 0.044715 * x ** 3))),
};

export function bend(rule, x) {
  return bends[rule](x);
}

// The first key that the query at place i sees in a layer with this window (0: none).
export function firstSeen(i, window) {
  return window ? Math.max(0, i - window + 1) : 0;
}

// Whether the query at place i sees the key at place j.
export function sees(i, j, window) {
  return j <= i && j >= firstSeen(i, window);
}

// A recipe for Data: activations and gradients that are left out of the file.
export function recipe(data) {
  return (name) => {
    const slash = name.indexOf("/");
    const [kind, result] = [name.slice(0, slash), name.slice(slash + 1)];
    if (kind === "activations") return activation(data, name, result);
    if (kind === "gradients") return gradient(data, name, result);
    return null;
  };
}

function activation(data, name, result) {
  const making = data.facts.makings[result];
  if (result === "probabilities") return softmaxed(data, name);
  if (!making) return null;
  const inputs = making.inputs.map((input) => data.array(`activations/${input}`));
  if (inputs.some((input) => input === null)) return null;
  if (making.rule in bends) return mapped(name, inputs, (x) => bend(making.rule, x));
  if (making.rule === "times") return mapped(name, inputs, (a, b) => a * b);
  if (making.rule === "weights") return weights(data, name, inputs[0]);
  return null;
}

function mapped(name, arrays, f) {
  const values = new Float32Array(arrays[0].values.length);
  for (let i = 0; i < values.length; i++) values[i] = f(...arrays.map((array) => array.values[i]));
  return { name, shape: arrays[0].shape, values, digits: Math.min(...arrays.map((a) => a.digits)) };
}

// exp(score) / sum, over the keys that are seen.
function weights(data, name, scores) {
  const [heads, size] = scores.shape;
  const window = data.facts.windows[Number(name.split(".")[1])];
  const values = new Float32Array(scores.values.length);
  for (let row = 0; row < heads * size; row++) {
    const at = row * size;
    const place = row % size;
    const first = window ? Math.max(0, place - window + 1) : 0;
    exponentials(scores.values, values, at + first, at + place + 1);
  }
  return { name, shape: scores.shape, values, digits: scores.digits };
}

// Softmax of numbers from..to.
function exponentials(from, to, start, end) {
  let most = -Infinity;
  let sum = 0;
  for (let i = start; i < end; i++) most = Math.max(most, from[i]);
  for (let i = start; i < end; i++) sum += Math.exp(from[i] - most);
  for (let i = start; i < end; i++) to[i] = Math.exp(from[i] - most) / sum;
}

function softmaxed(data, name) {
  const logits = data.array("activations/logits");
  if (logits === null) return null;
  const [rows, width] = logits.shape;
  const values = new Float32Array(logits.values.length);
  for (let row = 0; row < rows; row++) {
    exponentials(logits.values, values, row * width, (row + 1) * width);
  }
  return { ...logits, name, values };
}

function gradient(data, name, result) {
  if (result === "logits") return ofTarget(data, name);
  const block = result.slice(0, result.lastIndexOf("."));
  const of = (kind, part) => data.array(`${kind}/${block}.${part}`);
  if (!result.includes(".feed_forward.") || of("gradients", "hidden") === null) return null;
  const hidden = of("gradients", "hidden");
  if (result.endsWith(".activated")) {
    return mapped(name, [hidden, of("activations", "up_proj")], (d, up) => d * up);
  }
  if (data.facts.config.activation !== "swiglu") return null;
  if (result.endsWith(".up_proj")) {
    return mapped(name, [hidden, of("activations", "activated")], (d, a) => d * a);
  }
  if (result.endsWith(".gate_proj")) {
    const inputs = [of("gradients", "activated"), of("activations", "gate_proj")];
    return mapped(name, inputs, (d, gate) => d * siluSlope(gate));
  }
  return null;
}

// Where the way back begins: the gradient of the target by the logits (tracing/target.py).
function ofTarget(data, name) {
  const probabilities = data.array("activations/probabilities");
  if (probabilities === null) return null;
  const { target, tokens } = data.facts;
  const [rows, width] = probabilities.shape;
  const values = new Float32Array(rows * width);
  if (target.kind === "loss") {
    for (let row = 0; row + 1 < rows; row++) {
      for (let i = 0; i < width; i++)
        values[row * width + i] = probabilities.values[row * width + i];
      values[row * width + tokens[row + 1].id] -= 1;
    }
    for (let i = 0; i < values.length; i++) values[i] /= rows - 1;
  } else {
    const at = target.position * width;
    if (target.kind === "log_probability") {
      for (let i = 0; i < width; i++) values[at + i] = -probabilities.values[at + i];
    }
    values[at + target.token] += 1;
  }
  return { ...probabilities, name, values };
}
