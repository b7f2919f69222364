// The tokens: what each is, how surprised the model was by it, and how its merges went.

import { el, refill, scrolling, table } from "./dom.js";
import { percent } from "./numbers.js";
import { defineView } from "./views.js";

const HINT = "What the model reads: pieces of text. The redder a token, the less it was expected.";

defineView("tokens", "Tokens", HINT, (root, app) => {
  const { facts } = app.data;
  const losses = app.data.array("losses").values;
  const about = el("div", { class: "columns" });
  const words = el("section", { "aria-label": "merges" });
  root.append(about, words, allTokens(app, losses));

  return () => {
    const place = app.state.get("position");
    refill(about, tokenCard(app, place, losses), nextCard(app, place));
    refill(words, ...mergesOf(app, facts.merges, place));
  };
});

function tokenCard(app, place, losses) {
  const token = app.data.facts.tokens[place];
  const loss = place ? losses[place - 1] : null;
  const facts = [
    ["place", `${place}`],
    ["id", `${token.id}`],
    ["bytes", token.special ? "a special token" : token.bytes],
    ["probability", loss === null ? "nothing comes before it" : percent(Math.exp(-loss))],
    ["loss, −log of it", loss === null ? "" : `${loss.toFixed(4)} nats`],
  ];
  return el(
    "section",
    { class: "card" },
    el("h3", {}, "token ", el("bdi", { class: "piece" }, app.label(place))),
    el(
      "dl",
      {},
      facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
    ),
  );
}

// What the model expects after a place.
export function nextCard(app, place) {
  const rows = app.candidates(place);
  const came = app.data.facts.tokens[place + 1];
  return el(
    "section",
    { class: "card" },
    el("h3", {}, "what comes next?"),
    el(
      "ol",
      { class: "bars" },
      [...rows]
        .sort((a, b) => b.probability - a.probability)
        .map(({ id, probability }) =>
          el(
            "li",
            {},
            el("bdi", { class: "piece" }, app.word(id)),
            el("span", { class: "bar", style: { "--share": `${100 * probability}%` } }),
            el("span", { class: "number" }, percent(probability)),
            came && came.id === id ? el("span", { class: "note" }, "came") : null,
          ),
        ),
    ),
  );
}

function mergesOf(app, merges, place) {
  if (!merges.length)
    return [el("p", { class: "note" }, "This tokenizer has no merges of bytes to replay.")];
  const word = [...merges].reverse().find(({ start }) => start <= place);
  const last = word ? word.steps[word.steps.length - 1] : null;
  if (!word || place >= word.start + last.pieces.length) {
    return [el("p", { class: "note" }, "This token is taken whole: nothing is merged.")];
  }
  const heading = el("h3", {}, "how its word was merged");
  const steps = word.steps.map(({ pieces, merge, place: at, possible }, number) =>
    el(
      "li",
      {},
      el(
        "span",
        { class: "pieces" },
        pieces.map((piece, i) =>
          el("bdi", { class: number && i === at ? "piece merged" : "piece" }, piece),
        ),
      ),
      el(
        "span",
        { class: "note" },
        number ? `merge ${merge}, the earliest learned of ${possible} possible` : "single bytes",
      ),
    ),
  );
  return [heading, el("ol", { class: "merges" }, steps)];
}

function allTokens(app, losses) {
  const rows = app.data.facts.tokens.map((token, place) => [
    `${place}`,
    el("bdi", { class: "piece" }, app.label(place)),
    `${token.id}`,
    token.bytes,
    place ? percent(Math.exp(-losses[place - 1])) : "",
    place ? losses[place - 1].toFixed(4) : "",
  ]);
  const { loss } = app.data.facts;
  const mean = loss === null ? "" : `; their mean loss is ${loss.toFixed(4)} nats`;
  return el(
    "details",
    {},
    el("summary", {}, "all tokens as a table"),
    scrolling(
      "all tokens",
      table(
        `${rows.length} tokens${mean}`,
        ["place", "token", "id", "bytes", "probability", "loss"],
        rows,
      ),
    ),
  );
}
