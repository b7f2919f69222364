// The panel that shows a number's formula, terms and source.

import { explain } from "./explain.js";
import { el, scrolling, table } from "./dom.js";
import { show } from "./numbers.js";

const MOST_ROWS = 24; // shown at once; the rest opens

export function formulaPanel(app, name, index) {
  const found = explain(app, name, index);
  const { rule, terms } = found;
  return el(
    "section",
    {
      class: "formula",
      "aria-label": `How ${name}[${index}] is made`,
      "data-number": `${name}@${index}`,
    },
    el(
      "h3",
      {},
      `${name}[${index.join(", ")}] = `,
      el("output", {}, show(found.value, found.digits)),
    ),
    el("p", { class: "rule" }, rule.formula),
    found.making.inputs.length ? el("p", { class: "note" }, `with ${inputsOf(found)}`) : null,
    found.lines.map((line) => el("p", { class: "line" }, line)),
    terms.length ? termsTable(found) : null,
    terms.length > 1 || found.rest ? sumLine(found) : null,
    el(
      "figure",
      { class: "source" },
      el("pre", {}, el("code", {}, rule.code)),
      el("figcaption", {}, `${rule.file}, line ${rule.line}`),
    ),
  );
}

function inputsOf({ making }) {
  const parts = [...making.inputs];
  if (making.weight) parts.push(making.weight);
  if (making.bias) parts.push(making.bias);
  return parts.join(", ");
}

function termsTable({ terms, rest }) {
  const ordered = [...terms].sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  const rows = ordered.map((term) => [
    term.what,
    show(term.a),
    term.b === null ? "" : show(term.b, 3),
    show(term.product),
  ]);
  const heads = ["term", "one", "other", "product"];
  const caption = rest
    ? `the ${terms.length} largest of ${terms.length + rest.n} terms`
    : `${terms.length === 1 ? "one term" : `all ${terms.length} terms`}, the largest first`;
  const first = table(caption, heads, rows.slice(0, MOST_ROWS), { class: "terms" });
  if (rows.length <= MOST_ROWS) return scrolling("terms", first);
  return scrolling(
    "terms",
    first,
    el(
      "details",
      {},
      el("summary", {}, `${rows.length - MOST_ROWS} smaller terms`),
      table("the smaller terms", heads, rows.slice(MOST_ROWS), { class: "terms" }),
    ),
  );
}

// The sum, with as many digits as the kept weights can vouch for.
function sumLine({ terms, rest, value, digits }) {
  const sum = terms.reduce((total, term) => total + term.product, 0) + (rest ? rest.sum : 0);
  const hasWeights = terms.some((term) => term.what.includes("W["));
  const error = hasWeights ? Math.hypot(...terms.map((term) => term.product)) * 2 ** -11 : 0;
  const more = rest ? `, of which the other ${rest.n} are ${show(rest.sum)}` : "";
  return el(
    "p",
    { class: "sum" },
    "sum of the terms ",
    el("output", { "data-sum": sum, "data-error": error }, show(sum, digits)),
    more,
    hasWeights && Math.abs(sum - value) > Math.abs(value) * 10 ** -digits
      ? ` (weights are kept with three digits here: ± ${show(error, 1)})`
      : null,
  );
}
