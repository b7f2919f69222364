// The way back: how long the gradient is at each result and token, and the rule that made it.

import { el, refill, scrolling, table } from "./dom.js";
import { numberPanel } from "./backward_number.js";
import { paintSigned } from "./heat.js";
import { show } from "./numbers.js";
import { pickGrid } from "./pick_grid.js";
import { piece, resultName } from "./names.js";
import { defineView } from "./views.js";

const ORDERS_SHOWN = 4; // of magnitude, from the longest gradient down

defineView(
  "backward",
  "Backward",
  "The gradient flows back from the target to the embeddings; every rule on its way can be seen.",
  render,
);

function render(root, app) {
  const { data, state } = app;
  const { nodes, rules } = data.facts.backward;
  const lengths = data.array("backward/lengths");
  const [rows, columns] = lengths.shape;
  const starts = firstWays(nodes);
  let row = 0;

  const grid = pickGrid(rows, columns, "Length of the gradient, rows results, columns tokens", (r, place) => {
    row = r;
    if (place === state.get("position")) update();
    else state.set({ position: place });
  });
  const shades = Float32Array.from(lengths.values, shade(lengths.values));
  app.paint(grid.canvas, () => paintSigned(grid.canvas, shades, 1));
  const names = el("ol", { class: "row-names" }, nodes.map(({ name }) => el("li", {}, resultName(name))));
  const panel = el("div", { class: "panel", "aria-live": "polite", tabindex: "-1" });
  const numbers = el("div", {});
  root.append(
    el("p", {}, beginning(app)),
    el("p", { class: "note" }, `The stronger the colour, the longer the gradient, over ${ORDERS_SHOWN} orders of magnitude. Read it from the top: that is the order of the way back.`),
    el("div", { class: "way-back" }, scrolling("The way back", el("div", { class: "named-grid" }, names, grid.element)), el("div", {}, panel, numbers)),
    parameterTable(app),
  );

  function go(name) {
    row = nodes.findIndex((node) => node.name === name);
    update();
    panel.focus({ preventScroll: true }); // the button that was pressed is gone
  }

  function update() {
    const place = state.get("position");
    const node = nodes[row];
    grid.choose(row, place);
    bringIntoView(grid.element, row, rows);
    [...names.children].forEach((name, i) => name.classList.toggle("now", i === row));
    refill(
      panel,
      el("h3", {}, resultName(node.name)),
      el("p", {}, `Its gradient at `, piece(app, place), ` is ${show(lengths.values[row * columns + place], 4)} long. `, whatItIs(node)),
      waysTable(app, node, starts[row], place, go),
      [...new Set(node.terms.map((term) => term.rule))].map((rule) => ruleText(rules[rule])),
    );
    refill(numbers, numberPanel(app, node, place));
  }

  update();
  return update;
}

// Scroll what the grid is in, and not the page, until a row is seen.
function bringIntoView(grid, row, rows) {
  const box = grid.closest(".scrolling");
  const height = grid.offsetHeight / rows;
  const end = (row + 1) * height - box.clientHeight;
  if (row * height < box.scrollTop) box.scrollTop = row * height;
  if (end > box.scrollTop) box.scrollTop = end;
}

// Where the way back begins, in words.
function beginning(app) {
  const { target, value } = app.data.facts;
  if (target.kind === "loss") return `The way back begins at the mean loss of the text, ${show(value, 4)} nats a token.`;
  const score = target.kind === "logit" ? "score" : "log-probability";
  return el("span", {}, `The way back begins at the ${score} of `, el("bdi", { class: "piece" }, app.word(target.token)), ` after place ${target.position}, which is ${show(value, 4)}.`);
}

// Of each result, where its ways begin among all ways.
function firstWays(nodes) {
  let first = 0;
  return nodes.map(({ terms }) => (first += terms.length) - terms.length);
}

// How strong a colour a length has: its order of magnitude below the longest.
function shade(values) {
  const most = Math.max(...values);
  return (x) => (x > 0 ? Math.max(0, 1 + Math.log10(x / most) / ORDERS_SHOWN) : 0);
}

function whatItIs({ terms }) {
  return terms.length === 1 ? "It came one way." : `${terms.length} ways lead from it to the target, and their gradients add up.`;
}

function waysTable({ data }, node, first, place, go) {
  const ways = data.array("backward/ways");
  const columns = ways.shape[1];
  const rows = node.terms.map((term, i) => [
    term.of ? el("button", { class: "link", onclick: () => go(term.of) }, resultName(term.of)) : "the target",
    term.rule,
    show(ways.values[(first + i) * columns + place], 4),
  ]);
  return table("By way of", ["from", "rule", "length here"], rows);
}

function ruleText({ words, formula, file, line, code }) {
  return el(
    "div",
    { class: "rule" },
    el("p", {}, `${words[0].toUpperCase()}${words.slice(1)}.`),
    el("p", { class: "formula-line" }, formula),
    el("figure", { class: "source" }, el("pre", {}, el("code", {}, code)),
      el("figcaption", {}, `${file}, line ${line}`)),
  );
}

function parameterTable({ data }) {
  const { parameters } = data.facts.backward;
  const rows = parameters.map(({ name, shape, length }) => [name, shape.join(" × "), show(length, 4)]);
  return el("details", {}, el("summary", {}, `Gradients of all ${rows.length} parameters`), scrolling("Gradients of parameters", table("What training would follow, downhill", ["parameter", "shape", "length of its gradient"], rows)));
}
