// The whole pass as one picture, from ids to probabilities, for the selected token.

import { el, refill } from "./dom.js";
import { heat, paintSigned } from "./heat.js";
import { largest } from "./numbers.js";
import { nextCard } from "./view_tokens.js";
import { defineView } from "./views.js";

const HINT =
  "Downwards: what becomes of the selected token. Each strip is its vector, one cell a channel. " +
  "Open a strip for its numbers, and click a number for its formula.";

const WORDS = {
  token_embedding: "its row of the table",
  position_embedding: "its place",
  embeddings: "the residual stream begins",
  attention_norm: "brought to size, for attention",
  "attention.q": "query: what it looks for",
  "attention.k": "key: what it offers to be found by",
  "attention.v": "value: what it hands over",
  "attention.q_norm": "query, brought to size",
  "attention.k_norm": "key, brought to size",
  "attention.q_rotated": "query, turned by its place",
  "attention.k_rotated": "key, turned by its place",
  "attention.scores": "query times key of each token",
  "attention.weights": "softmax of the scores it sees",
  "attention.heads": "the values it gathered",
  attention: "what all heads write",
  residual: "the stream, with that added",
  feed_forward_norm: "brought to size, for the network",
  "feed_forward.gate_proj": "gate: how much may pass",
  "feed_forward.up_proj": "widened",
  "feed_forward.activated": "silu of the gate",
  "feed_forward.hidden": "what is passed on",
  feed_forward: "what the network writes",
  final_norm: "brought to size, for the head",
  logits: "a score for every token",
};

defineView("pass", "Whole pass", HINT, (root, app) => {
  const list = el("div", { class: "pass" });
  root.append(list);
  return () => refill(list, ...pictures(app));
});

function pictures(app) {
  const { makings, config, tokens } = app.data.facts;
  const names = Object.keys(makings);
  const place = app.state.get("position");
  const parts = [
    el(
      "div",
      { class: "ends" },
      "token ",
      el("bdi", { class: "piece" }, app.label(place)),
      `, id ${tokens[place].id}, place ${place}`,
    ),
    ...names
      .filter((name) => name.endsWith("embedding") || name === "embeddings")
      .map((name) => node(app, name)),
  ];
  for (let layer = 0; layer < config.n_layers; layer++) {
    parts.push(
      block(
        app,
        layer,
        names.filter((name) => name.startsWith(`blocks.${layer}.`)),
      ),
    );
  }
  if ("final_norm" in makings) parts.push(node(app, "final_norm"));
  if (app.data.has("activations/logits")) parts.push(node(app, "logits"));
  parts.push(nextCard(app, place));
  return parts;
}

// A layer: one unfolds at a time.
function block(app, layer, names) {
  const isOpen = app.state.get("layer") === layer;
  const toggle = () => app.state.set({ layer: isOpen ? -1 : layer });
  return el(
    "section",
    { class: "block", "aria-label": `layer ${layer}` },
    el(
      "button",
      {
        type: "button",
        class: "unfold",
        "aria-expanded": `${isOpen}`,
        onclick: toggle,
        "data-layer": layer,
      },
      `layer ${layer}: attention, then the feed-forward network`,
    ),
    isOpen ? [heads(app), names.map((name) => node(app, name))] : null,
    node(app, `blocks.${layer}`),
  );
}

function heads(app) {
  const { n_heads: count } = app.data.facts.config;
  const choose = (event) => app.state.set({ head: Number(event.target.value) });
  const options = Array.from({ length: count }, (_, head) =>
    el("option", { value: head, selected: head === app.state.get("head") }, `head ${head}`),
  );
  return el(
    "label",
    { class: "heads" },
    "of the heads, show ",
    el("select", { onchange: choose }, options),
  );
}

// The numbers of a result that belong to the selected token, and of which index each is.
function vector(app, name) {
  const array = app.data.array(`activations/${name}`);
  const place = app.state.get("position");
  const [size, width] = array.shape.slice(-2);
  if (array.shape.length === 2) {
    return {
      array,
      values: array.values.subarray(place * width, (place + 1) * width),
      at: [place],
    };
  }
  const group = app.data.facts.config.n_heads / array.shape[0];
  const head = Math.floor(Math.max(0, app.state.get("head")) / group);
  const start = (head * size + place) * width;
  const isSquare = name.endsWith(".scores") || name.endsWith(".weights");
  return {
    array,
    values: array.values.subarray(start, start + (isSquare ? place + 1 : width)),
    at: [head, place],
  };
}

function node(app, name) {
  if (!app.data.has(`activations/${name}`)) return null;
  const { array, values, at } = vector(app, name);
  const short = name.replace(/^blocks\.\d+\.?/, "");
  const isOpen = app.state.get("node") === name;
  const strip = heat(1, values.length, `${values.length} numbers of ${name}`, { class: "strip" });
  app.paint(strip, () => paintSigned(strip, values, largest(values)));
  const toggle = () => app.state.set({ node: isOpen ? "" : name });
  return el(
    "div",
    { class: `node${app.data.facts.makings[name].rule === "added" ? " stream" : ""}` },
    el(
      "button",
      {
        type: "button",
        class: "open",
        "aria-expanded": `${isOpen}`,
        onclick: toggle,
        "data-node": name,
      },
      el("span", { class: "name" }, short || `blocks.${name.split(".")[1]}`),
      el(
        "span",
        { class: "note" },
        `${WORDS[short] ?? "the stream after the layer"} · ${values.length}`,
      ),
    ),
    strip,
    isOpen ? grid(app, name, array, values, at) : null,
  );
}

// All numbers of a vector; of the logits the largest.
function grid(app, name, array, values, at) {
  const order =
    values.length > 400
      ? Array.from(values.keys())
          .sort((a, b) => values[b] - values[a])
          .slice(0, 60)
      : Array.from(values.keys());
  const label = (i) => {
    if (name === "logits") return app.word(i);
    return name.endsWith(".scores") || name.endsWith(".weights") ? app.label(i) : `${i}`;
  };
  return el(
    "div",
    { class: "grid", role: "group", "aria-label": `numbers of ${name}` },
    order.map((i) =>
      el(
        "span",
        { class: "cell" },
        el("bdi", { class: "note" }, label(i)),
        app.number(name, [...at, i], values[i], array.digits),
      ),
    ),
    order.length < values.length
      ? el("p", { class: "note" }, `the ${order.length} largest of ${values.length}`)
      : null,
  );
}
