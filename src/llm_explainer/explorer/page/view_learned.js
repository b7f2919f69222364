// As it learned: the same text at every state that the run has kept of its model.

import { el, refill, scrolling, table } from "./dom.js";
import { heat, paintSigned, paintWeights } from "./heat.js";
import { lossChart } from "./loss_chart.js";
import { piece, pieceOf, streamName } from "./names.js";
import { percent } from "./numbers.js";
import { pickGrid } from "./pick_grid.js";
import { defineView } from "./views.js";

const HINT = "Move through the steps of training: from a model that knew nothing to this one.";

defineView("learned", "As it learned", HINT, (root, app) => {
  if (!app.data.facts.history) {
    root.append(
      el(
        "p",
        {},
        "No earlier states of this model were given to the page: it takes the folder of a ",
        "run, and one that keeps milestones has the most to show (",
        el("code", {}, "--keep-milestones 6"),
        ").",
      ),
    );
    return undefined;
  }
  const parts = [stepSlider, lossChart, sampleOf, tokenStrip, lensGrid, allMaps].map((make) =>
    make(app),
  );
  const [slider, chart, sample, strip, lens, maps] = parts.map(({ element }) => element);
  root.append(
    slider,
    el("div", { class: "columns" }, chart, sample),
    strip,
    el("div", { class: "columns" }, lens, maps),
  );
  return () => {
    const moment = momentOf(app);
    for (const part of parts) part.update(moment);
  };
});

// Which state is shown: the last one, until somebody moves the slider.
function momentOf(app) {
  const last = app.data.facts.history.steps.length - 1;
  const chosen = app.state.get("moment");
  return Number.isInteger(chosen) && chosen >= 0 && chosen <= last ? chosen : last;
}

function stepSlider(app) {
  const { steps } = app.data.facts.history;
  const shown = el("output", { for: "moment" });
  const slider = el("input", {
    id: "moment",
    type: "range",
    min: 0,
    max: steps.length - 1,
    step: 1,
    oninput: () => app.state.set({ moment: Number(slider.value) }),
  });
  return {
    element: el(
      "p",
      { class: "slider" },
      el("label", { for: "moment" }, "step of training "),
      slider,
      shown,
    ),
    update(moment) {
      slider.value = moment;
      slider.setAttribute("aria-valuetext", `step ${steps[moment]}`);
      refill(shown, steps[moment].toLocaleString("en"));
    },
  };
}

function sampleOf(app) {
  const { samples, continued } = app.data.facts.history;
  const sample = el("blockquote", { class: "sample", dir: "auto" });
  const rest = el("blockquote", { class: "continued", dir: "auto" });
  let shown = -1;
  return {
    element: el(
      "section",
      {},
      el("h3", {}, "what it wrote then"),
      sample,
      el("h3", {}, "how it went on with the text, by its likeliest tokens"),
      rest,
    ),
    update(moment) {
      if (moment === shown) return;
      shown = moment;
      refill(sample, samples[moment]);
      refill(rest, "… ", continued[moment]);
    },
  };
}

// The text again, each token as surprising as it was at the moment.
function tokenStrip(app) {
  const { values, shape } = app.data.array("history/losses");
  const pieces = app.data.facts.tokens.map((_, place) =>
    el(
      "button",
      {
        type: "button",
        class: "shaded",
        "aria-pressed": "false",
        onclick: () => app.state.set({ position: place }),
      },
      el("bdi", {}, app.label(place)),
    ),
  );
  let [shown, chosen] = [-1, 0];
  return {
    element: el(
      "section",
      {},
      el("h3", {}, "how surprising each token was"),
      el("div", { class: "then" }, pieces),
    ),
    update(moment) {
      pieces[chosen].setAttribute("aria-pressed", "false");
      chosen = app.state.get("position");
      pieces[chosen].setAttribute("aria-pressed", "true");
      if (moment === shown) return;
      shown = moment;
      pieces.forEach((button, place) => {
        const loss = place ? values[moment * shape[1] + place - 1] : 0;
        button.title = place
          ? `${percent(Math.exp(-loss))} likely then`
          : "nothing comes before it";
        button.style.setProperty("--share", `${Math.round(60 * Math.min(1, loss / 6))}%`);
      });
    },
  };
}

// The lens: what comes next at each layer and place, and how sure of it the model was.
function lensGrid(app) {
  const { rows, targets } = app.data.facts.history;
  const [ids, chances, ofTarget, ranks] = ["tokens", "probabilities", "of_target", "ranks"].map(
    (name) => app.data.array(`history/${name}`).values,
  );
  const size = app.data.facts.tokens.length;
  const label = "Probability of the token that came, rows layers, columns tokens";
  const grid = pickGrid(rows.length, size, label, (_, column) =>
    app.state.set({ position: column }),
  );
  let shown = 0;
  app.paint(grid.canvas, () => {
    const first = shown * rows.length * size;
    paintSigned(grid.canvas, ofTarget.subarray(first, first + rows.length * size), 1);
  });
  const lines = el("div", {});
  return {
    element: el(
      "section",
      {},
      el("h3", {}, "if each layer were the last"),
      scrolling("the lens", grid.element),
      lines,
    ),
    update(moment) {
      shown = moment;
      const place = app.state.get("position");
      paintSigned(
        grid.canvas,
        ofTarget.subarray(moment * rows.length * size, (moment + 1) * rows.length * size),
        1,
      );
      grid.choose(rows.length - 1, place);
      refill(
        lines,
        el(
          "p",
          { class: "note" },
          "after ",
          piece(app, place),
          ", target ",
          pieceOf(app, targets[place]),
        ),
        scrolling(
          "the lens at one token",
          table(
            "the lens at the selected token",
            ["read behind", "likeliest", "p", "p of target", "rank"],
            rows.map((name, row) => {
              const at = (moment * rows.length + row) * size + place;
              return [
                streamName(name),
                pieceOf(app, ids[at]),
                percent(chances[at]),
                percent(ofTarget[at]),
                `${ranks[at] + 1}`,
              ];
            }),
          ),
        ),
      );
    },
  };
}

// Every head's attention at the moment.
function allMaps(app) {
  const {
    values,
    shape: [, layers, heads, size],
  } = app.data.array("history/attention");
  let shown = 0;
  const painters = [];
  const rows = Array.from({ length: layers }, (_, layer) => {
    const window = app.data.facts.windows[layer];
    const maps = Array.from({ length: heads }, (__, head) => {
      const canvas = heat(size, size, `layer ${layer}, head ${head}`, { class: "square" });
      const painter = () => {
        const from = ((shown * layers + layer) * heads + head) * size * size;
        paintWeights(canvas, values.subarray(from, from + size * size), size, window);
      };
      painters.push(painter);
      app.paint(canvas, painter);
      return el("div", { class: "small" }, canvas);
    });
    return el("div", { class: "row" }, el("span", { class: "note" }, `layer ${layer}`), maps);
  });
  return {
    element: el(
      "section",
      {},
      el("h3", {}, "where each head looked"),
      el(
        "div",
        { class: "multiples", tabindex: "0", role: "group", "aria-label": "all heads" },
        rows,
      ),
    ),
    update(moment) {
      if (shown === moment) return;
      shown = moment;
      for (const painter of painters) painter();
    },
  };
}
