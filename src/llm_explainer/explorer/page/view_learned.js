// As it learned: the same text at every state that the run has kept of its model.

import { sees } from "./derive.js";
import { el, refill, scrolling, svg, table } from "./dom.js";
import { heat, paintSigned, paintWeights } from "./heat.js";
import { piece, pieceOf, resultName } from "./names.js";
import { percent } from "./numbers.js";
import { pickGrid } from "./pick_grid.js";
import { defineView } from "./views.js";

const HINT = "Move through the steps of training: from a model that knew nothing to this one.";
const CHART = { width: 640, height: 160, left: 36, right: 12, top: 10, bottom: 26 };

defineView("learned", "As it learned", HINT, (root, app) => {
  if (!app.data.facts.history) {
    root.append(el("p", {}, "No earlier states of this model were given to the page: it takes the ",
      "folder of a run, and one that keeps milestones has the most to show (",
      el("code", {}, "--keep-milestones 6"), ")."));
    return undefined;
  }
  const { steps } = app.data.facts.history;
  const [chart, sample, strip, lens, maps] = Array.from({ length: 5 }, () => el("section", {}));
  const shown = el("output", { for: "moment" });
  const slider = el("input", {
    id: "moment", type: "range", min: 0, max: steps.length - 1, step: 1,
    oninput: () => app.state.set({ moment: Number(slider.value) }),
  });
  root.append(
    el("p", { class: "slider" }, el("label", { for: "moment" }, "step of training "), slider, shown),
    el("div", { class: "columns" }, chart, sample), strip, el("div", { class: "columns" }, lens, maps),
  );
  return () => {
    const moment = momentOf(app);
    slider.value = moment;
    slider.setAttribute("aria-valuetext", `step ${steps[moment]}`);
    refill(shown, `${steps[moment].toLocaleString("en")}`);
    refill(chart, lossChart(app, moment));
    refill(sample, el("h3", {}, "what it wrote then"),
      el("blockquote", { dir: "auto" }, app.data.facts.history.samples[moment]));
    refill(strip, tokenStrip(app, moment));
    refill(lens, lensGrid(app, moment));
    refill(maps, allMaps(app, moment));
  };
});

// Which state is shown: the last one, until somebody moves the slider.
export function momentOf(app) {
  const last = app.data.facts.history.steps.length - 1;
  const chosen = app.state.get("moment");
  return chosen >= 0 && chosen <= last ? chosen : last;
}

function meanLosses({ data }) {
  const { values, shape: [moments, tokens] } = data.array("history/losses");
  return Array.from({ length: moments }, (_, m) =>
    values.subarray(m * tokens, (m + 1) * tokens).reduce((a, b) => a + b, 0) / Math.max(1, tokens));
}

// The loss of this text by step; steps on a scale of logarithms, one more than each.
function lossChart(app, moment) {
  const { steps } = app.data.facts.history;
  const losses = meanLosses(app);
  const { width, height, left, right, top, bottom } = CHART;
  const most = Math.max(...losses);
  const far = Math.log(steps[steps.length - 1] + 1) || 1;
  const x = (step) => left + (Math.log(step + 1) / far) * (width - left - right);
  const y = (loss) => top + (1 - loss / most) * (height - top - bottom);
  const points = steps.map((step, i) => [x(step), y(losses[i])]);
  const label = `Loss of this text: ${steps.map((step, i) => `${losses[i].toFixed(2)} at step ${step}`).join(", ")}`;
  return el("figure", { class: "chart" },
    svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
      svg("line", { x1: left, x2: width - right, y1: y(0), y2: y(0), class: "axis" }),
      svg("polyline", { points: points.map((point) => point.join(",")).join(" "), class: "curve" }),
      points.map(([px, py], i) => svg("circle", { cx: px, cy: py, r: i === moment ? 6 : 3, class: i === moment ? "dot now" : "dot" })),
      svg("text", { x: left - 6, y: y(most) + 10, class: "tick end" }, most.toFixed(1)),
      svg("text", { x: left - 6, y: y(0), class: "tick end" }, "0"),
      ends(steps).map((i) => svg("text", { x: points[i][0], y: height - 6, class: i === steps.length - 1 ? "tick end" : "tick" }, steps[i].toLocaleString("en"))),
    ),
    el("figcaption", {}, `mean loss of this text by step: ${losses[moment].toFixed(4)} nats a token here`));
}

// The states whose steps have room below the axis: every one but those close to the end.
function ends(steps) {
  const last = steps.length - 1;
  return steps.map((_, i) => i).filter((i) => i === last || steps[i] * 1.6 < steps[last]);
}

function tokenStrip(app, moment) {
  const { values, shape: [, tokens] } = app.data.array("history/losses");
  const losses = values.subarray(moment * tokens, (moment + 1) * tokens);
  const pieces = app.data.facts.tokens.map((_, place) => {
    const loss = place ? losses[place - 1] : 0;
    const title = place ? `${percent(Math.exp(-loss))} likely then` : "nothing comes before it";
    return el("button", {
      type: "button", class: "shaded", title, "aria-pressed": String(place === app.state.get("position")),
      style: { "--share": `${Math.round(100 * Math.min(1, loss / 6))}%` },
      onclick: () => app.state.set({ position: place }),
    }, el("bdi", {}, app.label(place)));
  });
  return [el("h3", {}, "how surprising each token was"), el("div", { class: "then" }, pieces)];
}

// The lens at a moment: what comes next at each layer and place, and how sure of it the model is.
function lensGrid(app, moment) {
  const { rows, targets } = app.data.facts.history;
  const [ids, chances, ofTarget, ranks] = ["tokens", "probabilities", "of_target", "ranks"].map((name) =>
    app.data.array(`history/${name}`));
  const size = app.data.facts.tokens.length;
  const at = (row, place) => (moment * rows.length + row) * size + place;
  const shown = ofTarget.values.subarray(at(0, 0), at(rows.length, 0));
  const place = app.state.get("position");
  const grid = pickGrid(rows.length, size, "Probability of the token that came, rows layers, columns tokens",
    (_, column) => app.state.set({ position: column }));
  app.paint(grid.canvas, () => paintSigned(grid.canvas, shown, 1));
  grid.choose(rows.length - 1, place);
  const lines = rows.map((name, row) => {
    const k = at(row, place);
    return [resultName(name), pieceOf(app, ids.values[k]), percent(chances.values[k]),
      percent(ofTarget.values[k]), `${ranks.values[k] + 1}`];
  });
  return [
    el("h3", {}, "if each layer were the last"), grid.element,
    scrolling("lens", el("div", {}, el("p", { class: "note" }, "after ", piece(app, place), ", target ", pieceOf(app, targets[place])),
      table("the lens at the selected token", ["read behind", "likeliest", "p", "p of target", "rank"], lines))),
  ];
}

function allMaps(app, moment) {
  const { values, shape: [, layers, heads, size] } = app.data.array("history/attention");
  const maps = Array.from({ length: layers }, (_, layer) =>
    el("div", { class: "row" }, el("span", { class: "note" }, `layer ${layer}`), Array.from({ length: heads }, (_, head) => {
      const canvas = heat(size, size, `layer ${layer}, head ${head}`, { class: "square" });
      const from = ((moment * layers + layer) * heads + head) * size * size;
      const window = app.data.facts.windows[layer];
      const weights = values.subarray(from, from + size * size);
      app.paint(canvas, () => paintWeights(canvas, weights, size, (i, j) => sees(i, j, window)));
      return el("div", { class: "small" }, canvas);
    })));
  return [el("h3", {}, "where each head looked"), el("div", { class: "multiples" }, maps)];
}
