// Side by side: the same text in two models, and where they differ.

import { el, refill, scrolling, table } from "./dom.js";
import { heat, paintSigned, paintWeights } from "./heat.js";
import { piece, pieceOf, streamName } from "./names.js";
import { largest, percent, show, signed } from "./numbers.js";
import { pickGrid } from "./pick_grid.js";
import { defineView } from "./views.js";

const HINT =
  "Two models read the same text. Blue tokens surprised the second one less, red ones more.";
const BOTH = ["one", "other"];

defineView("beside", "Side by side", HINT, (root, app) => {
  if (!app.data.facts.pair) {
    root.append(
      el(
        "p",
        {},
        "One model was given to this page. ",
        el("code", {}, "--beside OTHER"),
        " puts another one beside it: a later checkpoint, or what fine-tuning made of it.",
      ),
    );
    return undefined;
  }
  const [strip, maps, here] = [differences(app), attention(app), el("section", {})];
  root.append(summary(app), strip.element, here, maps.element);
  return () => {
    strip.update();
    refill(here, ...atPlace(app));
    maps.update();
  };
});

function summary({ data }) {
  const { names, one, other } = data.facts.pair;
  const divergence = data.array("pair/divergence").values;
  const mean = divergence.reduce((a, b) => a + b, 0) / divergence.length;
  const rows = [one, other].map(({ loss, layers, heads }, i) => [
    el("bdi", {}, names[i]),
    loss === null ? "" : loss.toFixed(4),
    `${layers}`,
    `${heads}`,
  ]);
  return el(
    "div",
    {},
    scrolling(
      "the two models",
      table("the two models", ["model", "loss, nats a token", "layers", "heads"], rows),
    ),
    el(
      "p",
      {},
      `What they expect next differs by ${show(mean)} nats a token (Kullback-Leibler divergence from the first to the second).`,
    ),
  );
}

// By how much more the second model was surprised by each token.
function differences(app) {
  const { tokens } = app.data.facts;
  const [one, other] = BOTH.map((name) => app.data.array(`pair/${name}/losses`).values);
  const values = Float32Array.from(tokens, (_, place) =>
    place ? other[place - 1] - one[place - 1] : 0,
  );
  const divergence = app.data.array("pair/divergence").values;
  const grid = pickGrid(
    2,
    tokens.length,
    "Upper row: how much more the second model was surprised; lower row: how far they are apart on what comes next",
    (_, place) => app.state.set({ position: place }),
  );
  const most = largest(values) || 1;
  const far = largest(divergence) || 1;
  const shown = Float32Array.from({ length: 2 * tokens.length }, (_, i) =>
    i < tokens.length ? values[i] / most : divergence[i - tokens.length] / far,
  );
  app.paint(grid.canvas, () => paintSigned(grid.canvas, shown, 1));
  const said = el("p", { "aria-live": "polite" });
  return {
    element: el(
      "section",
      {},
      el("h3", {}, "where they differ"),
      scrolling("where they differ", grid.element),
      said,
    ),
    update() {
      const place = app.state.get("position");
      grid.choose(0, place);
      const losses = place
        ? `: loss ${one[place - 1].toFixed(4)} and ${other[place - 1].toFixed(4)}, a change of ${signed(values[place])}`
        : ": nothing comes before it";
      refill(said, piece(app, place), losses);
    },
  };
}

// What both expect after the selected token, and how they come to it layer by layer.
function atPlace(app) {
  const place = app.state.get("position");
  const { names, targets } = app.data.facts.pair;
  const cards = BOTH.map((which, i) => {
    const [ids, chances] = ["tokens", "probabilities"].map((name) =>
      app.data.array(`pair/${which}/${name}`),
    );
    const width = ids.shape[1];
    const rows = Array.from({ length: width }, (_, k) => {
      const p = chances.values[place * width + k];
      return el(
        "li",
        {},
        pieceOf(app, ids.values[place * width + k]),
        el("span", { class: "bar", style: { "--share": `${100 * p}%` } }),
        el("span", { class: "number" }, percent(p)),
      );
    });
    return el(
      "section",
      { class: "card" },
      el("h3", {}, el("bdi", {}, names[i])),
      el("ol", { class: "bars" }, rows),
      lensTable(app, which, place),
    );
  });
  return [
    el("h3", {}, "after ", piece(app, place), ", target ", pieceOf(app, targets[place])),
    el("div", { class: "columns" }, cards),
  ];
}

function lensTable({ data }, which, place) {
  const { rows } = data.facts.pair[which];
  const size = data.facts.tokens.length;
  const [ids, chances, ofTarget] = ["lens_tokens", "lens_probabilities", "lens_of_target"].map(
    (name) => data.array(`pair/${which}/${name}`).values,
  );
  const lines = rows.map((name, row) => {
    const at = row * size + place;
    return [
      streamName(name),
      el("bdi", { class: "piece" }, data.facts.vocabulary[ids[at]]),
      percent(chances[at]),
      percent(ofTarget[at]),
    ];
  });
  return scrolling(
    `lens of ${which} model`,
    table("if each layer were the last", ["read behind", "likeliest", "p", "p of target"], lines),
  );
}

// The same head in both; of models with other heads, each its own count.
function attention(app) {
  const choices = ["layer", "head"].map((key) => choice(app, key));
  const maps = el("div", { class: "columns" });
  let shown = "";
  return {
    element: el(
      "section",
      {},
      el("h3", {}, "where one head looks in both"),
      el(
        "p",
        { class: "slider" },
        choices.map(({ element }) => element),
      ),
      maps,
    ),
    update() {
      const now = `${app.state.get("layer")} ${app.state.get("head")}`;
      if (now === shown) return;
      shown = now;
      for (const each of choices) each.update();
      refill(maps, bothMaps(app));
    },
  };
}

function bothMaps(app) {
  const { names, ...models } = app.data.facts.pair;
  const [layer, head] = [Math.max(0, app.state.get("layer")), app.state.get("head")];
  const size = app.data.facts.tokens.length;
  return BOTH.map((which, i) => {
    const { layers, heads, windows } = models[which];
    if (layer >= layers || head >= heads)
      return el("p", { class: "note" }, `${names[i]} has no layer ${layer} with a head ${head}.`);
    const { values } = app.data.array(`pair/${which}/attention/${layer}`);
    const canvas = heat(size, size, `${names[i]}, layer ${layer}, head ${head}`, {
      class: "square",
    });
    const weights = values.subarray(head * size * size, (head + 1) * size * size);
    const window = windows[layer];
    app.paint(canvas, () => paintWeights(canvas, weights, size, window));
    return el("figure", {}, canvas, el("figcaption", {}, el("bdi", {}, names[i])));
  });
}

function choice(app, key) {
  const { one } = app.data.facts.pair;
  const options = Array.from({ length: one[`${key}s`] }, (_, i) =>
    el("option", { value: i }, `${i}`),
  );
  const select = el(
    "select",
    { onchange: () => app.state.set({ [key]: Number(select.value) }) },
    options,
  );
  return {
    element: el("label", {}, `${key} `, select),
    update() {
      select.value = `${Math.max(0, app.state.get(key))}`;
    },
  };
}
