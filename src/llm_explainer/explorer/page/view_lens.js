// The logit lens: what the head would say if it read the residual stream at each layer.

import { el, refill, scrolling } from "./dom.js";
import { percent } from "./numbers.js";
import { defineView } from "./views.js";

const ASIDE = 3; // columns on either side of the chosen one that have room on paper

const HINT =
  "Each cell: the likeliest next token, had the model ended there. The last row is what it says. " +
  "That an early layer “thinks” of a token is a way of speaking: nothing trained it to be read.";

defineView("lens", "Lens", HINT, (root, app) => {
  const story = el("section", {});
  const grid = lensTable(app);
  root.append(story, grid);
  return () => {
    refill(story, ...followed(app));
    // The table is large and always the same; only its chosen column moves.
    for (const cell of grid.querySelectorAll(".near")) cell.classList.remove("chosen", "near");
    const place = app.state.get("position");
    for (const row of grid.querySelectorAll("tr")) {
      const last = Math.min(row.cells.length - 1, Math.max(place + 1 + ASIDE, 1 + 2 * ASIDE));
      const first = Math.max(1, last - 2 * ASIDE);
      for (let i = first; i <= last; i++) row.cells[i].classList.add("near");
      row.cells[place + 1].classList.add("chosen");
    }
    for (const head of grid.querySelectorAll("th button")) choosable(head, false);
    const head = grid.querySelector("th.chosen");
    choosable(head.firstChild, true);
    if (grid.isConnected) reveal(grid, head);
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

// Scroll the table, and not the page, to where the chosen column can be seen.
function reveal(grid, head) {
  const left = head.offsetLeft - head.parentElement.cells[0].offsetWidth;
  const right = head.offsetLeft + head.offsetWidth - grid.clientWidth;
  if (left < grid.scrollLeft) grid.scrollLeft = left;
  else if (right > grid.scrollLeft) grid.scrollLeft = right;
}

// The tab key reaches the head of the chosen column; arrow keys go on from there.
function choosable(head, isChosen) {
  head.setAttribute("tabindex", isChosen ? "0" : "-1");
  head.setAttribute("aria-pressed", `${isChosen}`);
}

function moveBetween(app, heads, event) {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  if (!step) return;
  event.preventDefault();
  const place = app.state.get("position") + step;
  const position = Math.min(heads.length - 1, Math.max(0, place));
  app.state.set({ position });
  heads[position].firstChild.focus();
}

function lensTable(app) {
  const rows = app.data.facts.lens;
  const heads = app.data.facts.tokens.map((_, i) =>
    el(
      "th",
      { scope: "col" },
      el(
        "button",
        { type: "button", class: "piece", onclick: () => app.state.set({ position: i }) },
        el("bdi", {}, app.label(i)),
      ),
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
          { style, onclick: choose, title: percent(first.probability) },
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
        "what each layer would say next, at each token; the deeper the colour, the surer; ",
        el("span", { class: "keys" }, "arrow keys on a token above choose another"),
      ),
      el(
        "thead",
        { onkeydown: (event) => moveBetween(app, heads, event) },
        el("tr", {}, el("th", { scope: "col" }, "read at"), heads),
      ),
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
