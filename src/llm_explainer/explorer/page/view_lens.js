// The logit lens: what the head would say if it read the residual stream at each layer.

import { el, refill, scrolling } from "./dom.js";
import { percent } from "./numbers.js";
import { defineView } from "./views.js";

const HINT =
  "Each cell: the likeliest next token, had the model ended there. The last row is what it says. " +
  "That an early layer “thinks” of a token is a way of speaking: nothing trained it to be read.";

defineView("lens", "Lens", HINT, (root, app) => {
  const story = el("section", {});
  const grid = el("section", {});
  root.append(story, grid);
  return () => {
    refill(story, ...followed(app));
    refill(grid, lensTable(app));
  };
});

function readingsAt(app, row, place) {
  const top = app.data.array("lens/top");
  const probabilities = app.data.array("lens/probabilities");
  const [, size, k] = top.shape;
  const start = (row * size + place) * k;
  return Array.from({ length: k }, (_, i) => ({
    id: top.values[start + i],
    probability: probabilities.values[start + i],
  }));
}

function rowName(name) {
  if (name === "embeddings") return "embeddings";
  return name.endsWith(".residual")
    ? `${name.split(".")[1]}, after attention`
    : `after layer ${name.split(".")[1]}`;
}

function lensTable(app) {
  const rows = app.data.facts.lens;
  const place = app.state.get("position");
  const heads = app.data.facts.tokens.map((_, i) =>
    el(
      "th",
      { scope: "col", class: i === place ? "chosen" : null },
      el("bdi", { class: "piece" }, app.label(i)),
    ),
  );
  const body = rows.map((name, row) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, rowName(name)),
      heads.map((_, i) => {
        const [first] = readingsAt(app, row, i);
        const style = { "--share": `${Math.round(70 * first.probability)}%` };
        const choose = () => app.state.set({ position: i });
        return el(
          "td",
          {
            class: i === place ? "chosen" : null,
            style,
            onclick: choose,
            title: percent(first.probability),
          },
          el("bdi", {}, app.word(first.id)),
        );
      }),
    ),
  );
  return scrolling(
    "what each layer would say at each token",
    el(
      "table",
      { class: "lens" },
      el(
        "caption",
        {},
        "what each layer would say next, at each token; the deeper the colour, the surer",
      ),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "read at"), heads)),
      el("tbody", {}, body),
    ),
  );
}

// The chosen next token, layer by layer.
function followed(app) {
  const place = app.state.get("position");
  const token = app.token();
  const at = app.candidates(place).findIndex(({ id }) => id === token);
  const probabilities = app.data.array("lens/candidates");
  const ranks = app.data.array("lens/ranks");
  const [, size, k] = ranks.shape;
  const lines = app.data.facts.lens.map((name, row) => {
    const i = (row * size + place) * k + at;
    const others = readingsAt(app, row, place);
    return el(
      "li",
      {},
      el("span", { class: "place" }, rowName(name)),
      el("span", { class: "bar", style: { "--share": `${100 * probabilities.values[i]}%` } }),
      el("span", { class: "number" }, percent(probabilities.values[i])),
      el(
        "span",
        { class: "note" },
        `rank ${ranks.values[i] + 1}; first: `,
        others
          .slice(0, 3)
          .map(({ id, probability }) => [el("bdi", {}, app.word(id)), ` ${percent(probability)} `])
          .flat(),
      ),
    );
  });
  return [
    el(
      "h3",
      {},
      el("bdi", { class: "piece" }, app.word(token)),
      " as the token after ",
      el("bdi", { class: "piece" }, app.label(place)),
    ),
    el("ol", { class: "bars wide" }, lines),
  ];
}
