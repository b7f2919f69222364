// The frame around the views: the text, the tabs, the formula, and the keyboard.

import { el, refill } from "./dom.js";
import { flat } from "./explain.js";
import { formulaPanel } from "./formula_panel.js";
import { percent, themeNow } from "./numbers.js";
import { tour } from "./tour.js";
import { views } from "./views.js";

export function openShell(app, root) {
  const panel = el("div", { id: "panel", role: "tabpanel", tabindex: "-1" });
  const formula = el("section", {
    class: "drawer",
    "aria-label": "formula",
    "aria-live": "polite",
  });
  const tourBox = el("div", { class: "tour-box", role: "status" });
  const strip = tokenStrip(app);
  const choice = nextChoice(app);
  const tabs = tabList(app);
  refill(
    root,
    head(app, tour(app, tourBox)),
    el(
      "main",
      {},
      strip.element,
      choice.element,
      tabs.element,
      tourBox,
      el("div", { class: "body" }, panel, formula),
    ),
  );
  const shown = { view: null, update: null, number: null };
  const update = () => {
    app.clamp();
    strip.update();
    choice.update();
    showView(app, panel, shown);
    tabs.update(shown.view);
    showFormula(app, formula, shown);
    app.painters = app.painters.filter(([canvas]) => canvas.isConnected);
  };
  app.state.listen(update);
  update();
}

function showView(app, panel, shown) {
  const view = views.find(({ name }) => name === app.state.get("view")) ?? views[0];
  if (view !== shown.view) {
    const content = el("div", { class: `view view-${view.name}` });
    refill(panel, el("h2", {}, view.title), el("p", { class: "hint" }, view.hint), content);
    panel.setAttribute("aria-labelledby", `tab-${view.name}`);
    shown.update = view.render(content, app);
    shown.view = view;
  }
  if (shown.update) shown.update();
}

// The formula of the clicked number; nothing where an address names a number that there is not.
function showFormula(app, formula, shown) {
  const number = app.state.get("number");
  if (number === shown.number) return;
  shown.number = number;
  const [name, at = ""] = number.split("@");
  const index = at.split(",").map(Number);
  const array = name in app.data.facts.makings ? app.data.array(`activations/${name}`) : null;
  const isThere =
    array !== null &&
    index.length === array.shape.length &&
    index.every((i, axis) => Number.isInteger(i) && i >= 0 && i < array.shape[axis]) &&
    flat(array.shape, index) < array.values.length;
  formula.hidden = !isThere;
  if (!isThere) return;
  const close = () => app.state.set({ number: "" });
  refill(
    formula,
    el(
      "button",
      { type: "button", class: "close", onclick: close, "aria-label": "close the formula" },
      "×",
    ),
    formulaPanel(app, name, index),
  );
}

function head(app, startTour) {
  const { name, described, has_weights: isSmall } = app.data.facts;
  const exact = isSmall ? "" : "; numbers of two or three digits, because the model is large";
  const theme = el("button", { type: "button", onclick: () => switchTheme(app) }, "light / dark");
  return el(
    "header",
    {},
    el(
      "div",
      {},
      el("h1", {}, "Inside ", el("bdi", {}, name)),
      el("p", { class: "note" }, described + exact),
    ),
    el(
      "div",
      { class: "buttons" },
      el("button", { type: "button", onclick: startTour }, "tour, two minutes"),
      theme,
    ),
  );
}

function switchTheme(app) {
  document.documentElement.dataset.theme = themeNow() === "dark" ? "light" : "dark";
  app.repaint();
}

// The text as its tokens, of which one is selected.
function tokenStrip(app) {
  const losses = app.data.array("losses").values;
  const options = app.data.facts.tokens.map((token, place) => {
    const loss = place ? losses[place - 1] : 0;
    const words = place ? `, expected with ${percent(Math.exp(-loss))}` : "";
    return el(
      "span",
      {
        role: "option",
        id: `token-${place}`,
        class: "token",
        "aria-label": `${place}: ${app.label(place)}${words}`,
        style: { "--share": `${Math.min(60, 12 * loss)}%` },
        onclick: () => app.state.set({ position: place }),
      },
      el("bdi", {}, app.label(place)),
    );
  });
  const element = el(
    "div",
    {
      role: "listbox",
      tabindex: "0",
      class: "tokens",
      "aria-label": "the tokens of the text; arrow keys move",
      onkeydown: (event) => moveBy(app, event),
    },
    options,
  );
  let before = null;
  return {
    element,
    update() {
      const place = app.state.get("position");
      if (place === before) return;
      if (before !== null) options[before].setAttribute("aria-selected", "false");
      options[place].setAttribute("aria-selected", "true");
      element.setAttribute("aria-activedescendant", `token-${place}`);
      // The strip scrolls by itself; the page stays where it is.
      const { offsetTop, offsetHeight } = options[place];
      if (offsetTop < element.scrollTop) element.scrollTop = offsetTop - 4;
      const end = offsetTop + offsetHeight - element.clientHeight;
      if (end > element.scrollTop) element.scrollTop = end + 4;
      before = place;
    },
  };
}

const STEPS = {
  ArrowRight: 1,
  ArrowDown: 1,
  ArrowLeft: -1,
  ArrowUp: -1,
  Home: -Infinity,
  End: Infinity,
};

function moveBy(app, event) {
  if (!(event.key in STEPS)) return;
  event.preventDefault();
  const last = app.data.facts.tokens.length - 1;
  const position = Math.min(last, Math.max(0, app.state.get("position") + STEPS[event.key]));
  app.state.set({ position });
}

// Which next token is explained.
function nextChoice(app) {
  const select = el("select", {
    id: "next",
    onchange: () => app.state.set({ token: Number(select.value) }),
  });
  let shown = -1;
  return {
    element: el(
      "p",
      { class: "choice" },
      el("label", { for: "next" }, "explained as the next token: "),
      select,
    ),
    update() {
      const place = app.state.get("position");
      if (place !== shown) {
        const came = app.data.facts.tokens[place + 1];
        refill(
          select,
          app
            .candidates(place)
            .map(({ id, probability }) =>
              el(
                "option",
                { value: id },
                `${app.word(id)}  ${percent(probability)}${came && came.id === id ? ", which came" : ""}`,
              ),
            ),
        );
        shown = place;
      }
      select.value = `${app.token()}`;
    },
  };
}

function tabList(app) {
  const tabs = views.map(({ name, title }) =>
    el(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${name}`,
        "aria-controls": "panel",
        onclick: () => app.state.set({ view: name }),
      },
      title,
    ),
  );
  const move = (event) => {
    if (!["ArrowRight", "ArrowLeft"].includes(event.key)) return;
    const at = views.findIndex(({ name }) => name === app.state.get("view"));
    const next = (at + (event.key === "ArrowRight" ? 1 : views.length - 1)) % views.length;
    app.state.set({ view: views[next].name });
    tabs[next].focus();
  };
  return {
    element: el(
      "div",
      { role: "tablist", class: "tabs", "aria-label": "views", onkeydown: move },
      tabs,
    ),
    update(view) {
      views.forEach((each, i) => {
        tabs[i].setAttribute("aria-selected", `${each === view}`);
        tabs[i].setAttribute("tabindex", each === view ? "0" : "-1");
      });
    },
  };
}
