// One number of a gradient, with the numbers that its rule made it of.

import { el, refill, table } from "./dom.js";
import { at, termsOfWay } from "./gradient_rules.js";
import { paintSigned } from "./heat.js";
import { piece, pieceOf, resultName } from "./names.js";
import { largest, show } from "./numbers.js";
import { pickGrid } from "./pick_grid.js";

const TERMS_SHOWN = 8;

// The numbers of a result's gradient at one token as a picture, one of them taken apart.
export function numberPanel(app, node, place) {
  const gradient = app.data.array(`gradients/${node.name}`);
  if (gradient === null) {
    return el("p", { class: "note" }, "Of so large a model the page holds the lengths, not the numbers themselves.");
  }
  const isInHeads = gradient.shape.length === 3;
  const width = gradient.shape[gradient.shape.length - 1];
  const rows = isInHeads ? gradient.shape[0] : 1;
  const values = new Float32Array(rows * width);
  const indexOf = (row, i) => (isInHeads ? [row, place, i] : [place, i]);
  for (let k = 0; k < values.length; k++) values[k] = at(gradient, indexOf(Math.floor(k / width), k % width));
  const panel = el("div", { class: "panel", "aria-live": "polite" });
  const take = (row, i) => refill(panel, apart(app, node, gradient, indexOf(row, i)));
  const grid = pickGrid(rows, width, `The ${values.length} numbers of that gradient${isInHeads ? ", a row for each head" : ""}`, take);
  grid.element.classList.add("vector");
  const most = largest(values);
  app.paint(grid.canvas, () => paintSigned(grid.canvas, values, most));
  const first = values.reduce((best, x, k) => (Math.abs(x) > Math.abs(values[best]) ? k : best), 0);
  grid.choose(Math.floor(first / width), first % width);
  take(Math.floor(first / width), first % width);
  return el("section", {}, el("h4", {}, "Its numbers at ", piece(app, place)), grid.element, panel);
}

// A number, and all that it is the sum of.
function apart(app, node, gradient, index) {
  const value = at(gradient, index);
  const ways = node.terms.map((term) => ({ term, made: termsOfWay(app.data, term, index) }));
  const of = node.name === "logits" ? pieceOf(app, index[1]) : null;
  const heading = el("h4", {}, `${resultName(node.name)}[${index.join(", ")}] `, of, ` has the gradient ${show(value, gradient.digits)}`);
  if (ways.some(({ made }) => made === null)) {
    return [heading, el("p", { class: "note" }, "The page lacks the weights, or the results, that this rule needs: the model is too large for them.")];
  }
  const total = ways.reduce((sum, { made }) => sum + share(made), 0);
  const sum = el("p", { class: "sum", "data-total": total, "data-value": value }, `Put together again: ${show(total, gradient.digits)}`);
  return [heading, ...ways.map(({ term, made }) => wayPanel(term, made)), sum];
}

function share({ terms, scale }) {
  return scale * terms.reduce((sum, { value }) => sum + value, 0);
}

function wayPanel(term, made) {
  const from = term.of ? resultName(term.of) : "the target";
  const times = made.scale === 1 ? "" : `, times ${show(made.scale, 4)}`;
  const sorted = [...made.terms].sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const shown = sorted.slice(0, TERMS_SHOWN);
  const rest = sorted.slice(TERMS_SHOWN);
  const rows = shown.map(({ text, value, factors }) => [text, factors ? factors.map((x) => show(x, 4)).join(" · ") : "", show(value, 4)]);
  if (rest.length) rows.push([`${rest.length} smaller ones`, "", show(rest.reduce((sum, { value }) => sum + value, 0), 4)]);
  return table(`From ${from} by the rule “${term.rule}”: ${show(share(made), 4)}, the sum${times}, of`, ["term", "numbers", "product"], rows);
}
