// Results and tokens in words.

import { el } from "./dom.js";

// "blocks.2.attention.heads" as people say it: "block 2: attention, heads".
export function resultName(name) {
  const [first, number, ...rest] = name.split(".");
  if (first !== "blocks") return plain(name);
  const inside = rest.length ? rest.map(plain).join(", ") : "residual stream after it";
  return `block ${number}: ${inside}`;
}

function plain(name) {
  return name.replace("feed_forward", "feed-forward").replaceAll("_", " ");
}

// The token at a place of the text.
export function piece(app, place) {
  return el("bdi", { class: "piece" }, app.label(place));
}

// A token of the vocabulary.
export function pieceOf(app, id) {
  return el("bdi", { class: "piece" }, app.word(id));
}
