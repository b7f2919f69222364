// Attention: how much of every earlier token each head takes.

import { sees } from "./derive.js";
import { el, refill, scrolling, table } from "./dom.js";
import { heat, paintWeights } from "./heat.js";
import { percent, show } from "./numbers.js";
import { defineView } from "./views.js";

const HINT =
  "Each row is a token that reads, each column one that is read; the stronger the colour, the more. " +
  "Grey is masked: no token sees a later one.";

defineView("attention", "Attention", HINT, (root, app) => {
  const { config } = app.data.facts;
  const large = el("section", { class: "large" });
  const small = el("div", { class: "multiples", role: "group", "aria-label": "all heads" });
  for (let layer = 0; layer < config.n_layers; layer++) {
    const heads = [];
    for (let head = 0; head < config.n_heads; head++) heads.push(smallMap(app, layer, head));
    small.append(
      el("div", { class: "row" }, el("span", { class: "note" }, `layer ${layer}`), heads),
    );
  }
  root.append(small, large);
  return () => {
    for (const button of small.querySelectorAll("button")) {
      const isChosen = button.dataset.at === `${app.state.get("layer")}.${app.state.get("head")}`;
      button.setAttribute("aria-pressed", isChosen);
    }
    refill(large, ...largeMap(app));
  };
});

function weightsOf(app, layer, head) {
  const array = app.data.array(`activations/blocks.${layer}.attention.weights`);
  const size = array.shape[1];
  return { size, values: array.values.subarray(head * size * size, (head + 1) * size * size) };
}

function painted(app, layer, head, label) {
  const { size, values } = weightsOf(app, layer, head);
  const window = app.data.facts.windows[layer];
  const canvas = heat(size, size, label, { class: "square" });
  app.paint(canvas, () => paintWeights(canvas, values, size, window));
  return canvas;
}

function smallMap(app, layer, head) {
  const label = `layer ${layer}, head ${head}`;
  const choose = () => app.state.set({ layer, head });
  return el(
    "button",
    {
      type: "button",
      class: "small",
      "data-at": `${layer}.${head}`,
      onclick: choose,
      "aria-label": label,
    },
    painted(app, layer, head, label),
  );
}

function largeMap(app) {
  const [layer, head, place] = ["layer", "head", "position"].map((key) => app.state.get(key));
  const { size, values } = weightsOf(app, layer, head);
  const row = values.subarray(place * size, (place + 1) * size);
  const canvas = painted(app, layer, head, `attention of layer ${layer}, head ${head}`);
  const note = el(
    "p",
    { class: "note", "aria-live": "polite" },
    "Point at a cell, or click it to select its row.",
  );
  const cellAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const at = (x, from, length) =>
      Math.min(size - 1, Math.max(0, Math.floor(((x - from) / length) * size)));
    return [at(event.clientY, box.top, box.height), at(event.clientX, box.left, box.width)];
  };
  canvas.addEventListener("pointermove", (event) => {
    const [i, j] = cellAt(event);
    const words = sees(i, j, app.data.facts.windows[layer])
      ? percent(values[i * size + j])
      : "masked";
    refill(
      note,
      el("bdi", {}, app.label(i)),
      ` (${i}) reads `,
      el("bdi", {}, app.label(j)),
      ` (${j}): ${words}`,
    );
  });
  canvas.addEventListener("click", (event) => app.state.set({ position: cellAt(event)[0] }));
  const marker = el("div", {
    class: "marker",
    "aria-hidden": "true",
    style: { top: `${(100 * place) / size}%`, height: `${100 / size}%` },
  });
  return [
    el("h3", {}, `layer ${layer}, head ${head}`),
    el(
      "div",
      { class: "columns" },
      el("div", { class: "map" }, el("div", { class: "frame" }, canvas, marker), note),
      el("div", {}, readBy(app, row, place), asTable(app, row, layer, head, place)),
    ),
    el(
      "p",
      { class: "caution" },
      "A map says where a head read, and not whether it mattered: weights can be changed much without " +
        "changing the output (Jain and Wallace 2019). Compare what happens without the head, under Why.",
    ),
  ];
}

// The row of the selected token, as the tokens with their share.
function readBy(app, row, place) {
  const most = [...row.subarray(0, place + 1)].map((weight, at) => ({ weight, at }));
  most.sort((a, b) => b.weight - a.weight);
  return el(
    "section",
    { class: "card" },
    el("h3", {}, el("bdi", { class: "piece" }, app.label(place)), " reads"),
    el(
      "ol",
      { class: "bars" },
      most
        .slice(0, 8)
        .map(({ weight, at }) =>
          el(
            "li",
            {},
            el("bdi", { class: "piece" }, app.label(at)),
            el("span", { class: "bar", style: { "--share": `${100 * weight}%` } }),
            el("span", { class: "number" }, percent(weight)),
          ),
        ),
    ),
  );
}

function asTable(app, row, layer, head, place) {
  const name = `blocks.${layer}.attention`;
  const scores = app.data.array(`activations/${name}.scores`);
  const size = scores.shape[1];
  const rows = [...row.subarray(0, place + 1)].map((weight, at) => {
    const score = scores.values[(head * size + place) * size + at];
    return [
      `${at}`,
      el("bdi", {}, app.label(at)),
      app.number(`${name}.scores`, [head, place, at], score),
      app.number(`${name}.weights`, [head, place, at], weight),
    ];
  });
  return el(
    "details",
    {},
    el("summary", {}, "scores and weights of this row"),
    scrolling(
      "scores and weights",
      table(
        `what token ${place} reads, ${show(row.length, 3)} tokens in all`,
        ["place", "token", "score", "weight"],
        rows,
      ),
    ),
  );
}
