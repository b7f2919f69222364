// A tour of about two minutes: seven stops, each a sentence or two beside the view that it shows.

import { el, refill } from "./dom.js";

const STOPS = [
  [
    "tokens",
    "The model reads no letters but tokens. Choose one above, or walk through them with the arrow keys. Below: what it is, and what the model expected next.",
  ],
  [
    "tokens",
    "A token's colour is its loss. Where the text went as expected it is pale; a surprise is strong. Training lowers the mean of these.",
  ],
  [
    "pass",
    "A token becomes a vector, and each layer adds to it. Unfold a layer, open a strip, click a number: its formula appears, with the line of code that computes it.",
  ],
  [
    "attention",
    "Only here do tokens hear of each other: each gathers values from itself and those before it. Choose a head to see what it reads.",
  ],
  [
    "lens",
    "The head can read the vector at any layer. Going down, the guess becomes what the model says: the last row is its output.",
  ],
  [
    "why",
    "A score is a sum. The bars show who wrote how much of it; beside them, what happens when a part is left out.",
  ],
  [
    "why",
    "That is all. The address of this page always leads back to what you see, so a link can show it to somebody else.",
  ],
];

// Returns a function that starts the tour.
export function tour(app, box) {
  let stop = 0;
  const end = () => refill(box);
  const showStop = () => {
    const [view, words] = STOPS[stop];
    app.state.set({ view });
    const isLast = stop === STOPS.length - 1;
    const next = el(
      "button",
      { type: "button", onclick: () => (isLast ? end() : go(1)) },
      isLast ? "done" : "next",
    );
    refill(
      box,
      el(
        "section",
        { class: "tour", "aria-label": "tour" },
        el("p", {}, words),
        el(
          "p",
          { class: "buttons" },
          el("span", { class: "note" }, `${stop + 1} of ${STOPS.length}`),
          stop ? el("button", { type: "button", onclick: () => go(-1) }, "back") : null,
          next,
          isLast ? null : el("button", { type: "button", onclick: end }, "end the tour"),
        ),
      ),
    );
    next.focus();
  };
  const go = (by) => {
    stop += by;
    showStop();
  };
  return () => {
    stop = 0;
    showStop();
  };
}
