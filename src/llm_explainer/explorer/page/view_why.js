// Why this token? Its score as a sum, and what is left of it without each head.

import { el, refill, scrolling, svg, table } from "./dom.js";
import { largest, signed } from "./numbers.js";
import { defineView } from "./views.js";

const HINT =
  "Left: the score as a sum of what was written into the stream, with the final norm's scale held. " +
  "Right: how the score changes when a part writes nothing. They differ, because parts read each other.";

const MOST_BARS = 40;
const HEIGHT = 22;
const LEFT = 182; // where the names end

// Narrow where the screen is, so that the letters stay as large.
const width = () => Math.min(640, Math.max(360, document.getElementById("panel").clientWidth - 8));

defineView("why", "Why", HINT, (root, app) => {
  const sums = el("section", {});
  const without = el("section", {});
  const caution = el(
    "p",
    { class: "caution" },
    "Attribution counts what a part wrote straight into the score; what it did through later parts is " +
      "theirs. Ablation counts all that follows, but others may make up for what is gone. An attention " +
      "map proves neither: it shows where a head read, not what came of it.",
  );
  root.append(el("div", { class: "columns" }, sums, without), caution);
  return () => {
    refill(sums, ...waterfall(app));
    refill(without, ...ablation(app));
  };
});

function chosen(app) {
  const place = app.state.get("position");
  const token = app.token();
  const candidates = app.candidates(place);
  const at = candidates.findIndex(({ id }) => id === token);
  return { place, token, at, k: candidates.length, logit: candidates[at].logit };
}

function partName(name) {
  const path = name.split(".");
  if (path[0] !== "blocks") return name.replaceAll("_", " ");
  const rest = path.slice(2).join(".").replace("attention.heads.", "head ").replaceAll("_", " ");
  return `layer ${path[1]} ${rest}`;
}

function waterfall(app) {
  const { place, token, at, k, logit } = chosen(app);
  const names = app.data.facts.parts;
  const all = app.data.array("parts").values;
  const start = (place * k + at) * names.length;
  const parts = names.map((name, i) => ({ name: partName(name), value: all[start + i] }));
  const sum = parts.reduce((total, { value }) => total + value, 0);
  const heading = el(
    "h3",
    {},
    "the score of ",
    el("bdi", { class: "piece" }, app.word(token)),
    " after ",
    el("bdi", { class: "piece" }, app.label(place)),
  );
  return [
    heading,
    bars(shortened(parts), "attribution, from top to bottom"),
    el(
      "p",
      { class: "sum" },
      "sum of the parts ",
      el("output", { "data-sum": sum }, signed(sum)),
      "; the model's logit ",
      el("output", { "data-logit": logit }, signed(logit)),
    ),
    asTable(app, "attribution", parts),
  ];
}

// The largest parts in their order, and the rest as one, where there are too many to draw.
function shortened(parts) {
  if (parts.length <= MOST_BARS) return parts;
  const sizes = parts.map(({ value }) => Math.abs(value)).sort((a, b) => b - a);
  const least = sizes[MOST_BARS - 2];
  const kept = parts.filter(({ value }) => Math.abs(value) >= least);
  const rest = parts.filter(({ value }) => Math.abs(value) < least);
  return [
    ...kept,
    {
      name: `${rest.length} smaller parts`,
      value: rest.reduce((sum, { value }) => sum + value, 0),
    },
  ];
}

// Bars that begin where the one before ended.
function bars(parts, label) {
  let end = 0;
  const ends = parts.map(({ value }) => (end += value));
  const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const full = width();
  const x = (value) => LEFT + 8 + ((value - low) / (high - low || 1)) * (full - LEFT - 70);
  const height = HEIGHT * parts.length;
  const rows = parts.map(({ name, value }, i) => {
    const [from, to] = [ends[i] - value, ends[i]];
    const y = i * HEIGHT;
    return svg(
      "g",
      {},
      svg("text", { x: LEFT, y: y + 15, class: "left" }, name),
      svg("rect", {
        x: Math.min(x(from), x(to)),
        y: y + 3,
        height: HEIGHT - 6,
        rx: 2,
        width: Math.max(1, Math.abs(x(to) - x(from))),
        class: value < 0 ? "down" : "up",
      }),
      svg("text", { x: Math.max(x(from), x(to)) + 6, y: y + 15 }, signed(value, 3)),
    );
  });
  const zero = svg("line", { x1: x(0), x2: x(0), y1: 0, y2: height, class: "zero" });
  return svg(
    "svg",
    { viewBox: `0 0 ${full} ${height}`, role: "img", "aria-label": label, class: "waterfall" },
    zero,
    rows,
  );
}

// The effects of leaving parts out; of a large model they are known for the last places only.
function ablation(app) {
  const { place, at, k } = chosen(app);
  const array = app.data.array("ablation");
  const [layers, parts, places] = array.shape;
  const row = place - (app.data.facts.tokens.length - places);
  const heading = el("h3", {}, "without it, the score changes by");
  if (row < 0)
    return [
      heading,
      el("p", { class: "note" }, "The model is large: this is known for the last token only."),
    ];
  const found = [];
  for (let layer = 0; layer < layers; layer++) {
    for (let part = 0; part < parts; part++) {
      const name = part < parts - 1 ? `layer ${layer} head ${part}` : `layer ${layer} feed forward`;
      found.push({ name, value: array.values[((layer * parts + part) * places + row) * k + at] });
    }
  }
  return [heading, apart(found), asTable(app, "ablation", found)];
}

// Bars that all begin at zero.
function apart(parts) {
  const sizes = parts.map(({ value }) => Math.abs(value)).sort((a, b) => b - a);
  const least = sizes[Math.min(MOST_BARS, sizes.length) - 1];
  const shown = parts.filter(({ value }) => Math.abs(value) >= least);
  const most = largest(shown.map(({ value }) => value)) || 1;
  const full = width();
  const x = (value) => LEFT + 8 + ((value / most + 1) / 2) * (full - LEFT - 70);
  const rows = shown.map(({ name, value }, i) =>
    svg(
      "g",
      {},
      svg("text", { x: LEFT, y: i * HEIGHT + 15, class: "left" }, name),
      svg("rect", {
        x: Math.min(x(0), x(value)),
        y: i * HEIGHT + 3,
        height: HEIGHT - 6,
        rx: 2,
        width: Math.max(1, Math.abs(x(value) - x(0))),
        class: value < 0 ? "down" : "up",
      }),
      svg("text", { x: Math.max(x(0), x(value)) + 6, y: i * HEIGHT + 15 }, signed(value, 3)),
    ),
  );
  const height = HEIGHT * shown.length;
  const zero = svg("line", { x1: x(0), x2: x(0), y1: 0, y2: height, class: "zero" });
  return svg(
    "svg",
    { viewBox: `0 0 ${full} ${height}`, role: "img", "aria-label": "ablation", class: "waterfall" },
    zero,
    rows,
  );
}

function asTable(app, name, parts) {
  const rows = parts.map((part) => [part.name, signed(part.value)]);
  return el(
    "details",
    {},
    el("summary", {}, `${name} as a table`),
    scrolling(name, table(name, ["part", "share"], rows)),
  );
}
