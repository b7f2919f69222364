// What one step of training on this text would change.

import { el, refill, scrolling, table } from "./dom.js";
import { piece, pieceOf } from "./names.js";
import { percent, show, signed } from "./numbers.js";
import { defineView } from "./views.js";

const HINT =
  "Every weight takes a small step against its gradient. What was expected changes, a little.";

defineView("step", "One step", HINT, (root, app) => {
  const { step } = app.data.facts.backward;
  if (step === null) {
    root.append(el("p", {}, "A single token has no next one, so there is no loss to learn from."));
    return undefined;
  }
  const here = el("div", {});
  root.append(
    el("p", {}, `One step of plain gradient descent on this text, w ← w − ${step.rate} · gradient, `,
      `takes the loss from ${step.lossBefore.toFixed(5)} to ${step.lossAfter.toFixed(5)} nats a token.`),
    el("div", { class: "columns" }, here, largestTable(app, step)),
    tokensTable(app),
  );
  return () => refill(here, likelyHere(app));
});

// What may come after the selected token, before and after the step.
function likelyHere(app) {
  const place = app.state.get("position");
  const [ids, before, after] = ["likely", "before_of", "after_of"].map((name) =>
    app.data.array(`backward/${name}`));
  const width = ids.shape[1];
  const rows = Array.from({ length: width }, (_, i) => {
    const at = place * width + i;
    return [pieceOf(app, ids.values[at]), ...changed(before.values[at], after.values[at])];
  });
  return el("section", { class: "card" }, el("h3", {}, "After ", piece(app, place)),
    table("what may come next", ["token", "before", "after", "change"], rows));
}

function changed(before, after) {
  return [percent(before), percent(after), signed(after - before, 5)];
}

function largestTable(app, { largest, rate }) {
  const rows = largest.map(({ name, index, value, gradient }) => [
    el("span", {}, `${name}[${index.join(", ")}] `, ofToken(app, name, index)),
    show(value), show(gradient), show(-rate * gradient),
  ]);
  return el("section", { class: "card" }, el("h3", {}, "The steepest weights"),
    scrolling("The steepest weights",
      table("those with the largest gradients", ["weight", "value", "gradient", "its step"], rows)));
}

// Whose row of a table of tokens a weight is in.
function ofToken(app, name, [row]) {
  const isOfTokens = name === "token_embedding.weight" || name === "head.weight";
  return isOfTokens ? pieceOf(app, row) : null;
}

function tokensTable(app) {
  const [before, after] = ["before", "after"].map((name) => app.data.array(`backward/${name}`).values);
  const rows = Array.from(before, (p, i) => [`${i + 1}`, piece(app, i + 1), ...changed(p, after[i])]);
  return el("details", {}, el("summary", {}, "all tokens that came"),
    scrolling("all tokens that came",
      table("probability of each token that came", ["place", "token", "before", "after", "change"], rows)));
}
