// What every view is given: the data, the selection, and what is asked of them again and again.

import { el } from "./dom.js";
import { show } from "./numbers.js";
import { State } from "./state.js";

export class App {
  constructor(data) {
    this.data = data;
    const { start } = data.facts;
    this.state = new State({
      view: "tokens",
      position: start,
      token: -1,
      layer: 0,
      head: 0,
      node: "",
      number: "",
      against: -1,
      moment: -1,
    });
    this.clamp();
    this.painters = [];
  }

  // Keep what an address says within this text and model.
  clamp() {
    const { tokens, config } = this.data.facts;
    const within = (key, low, count) => {
      const value = Math.trunc(this.state.get(key));
      this.state.values[key] = Math.min(count - 1, Math.max(low, value));
    };
    within("position", 0, tokens.length);
    within("layer", -1, config.n_layers);
    within("head", 0, config.n_heads);
  }

  // A token of the vocabulary, and the one at a place of the text, as they are shown.
  word(id) {
    return this.data.facts.vocabulary[id] ?? `id ${id}`;
  }

  label(place) {
    return this.word(this.data.facts.tokens[place].id);
  }

  // What may come after a place: {id, logit, probability}; first what came.
  candidates(place) {
    const ids = this.data.array("next/tokens");
    const logits = this.data.array("next/logits").values;
    const probabilities = this.data.array("next/probabilities").values;
    const k = ids.shape[1];
    return Array.from({ length: k }, (_, i) => {
      const at = place * k + i;
      return { id: ids.values[at], logit: logits[at], probability: probabilities[at] };
    });
  }

  // The next token that is explained: the chosen one, where it is among the candidates.
  token() {
    const candidates = this.candidates(this.state.get("position"));
    const chosen = candidates.find(({ id }) => id === this.state.get("token"));
    return (chosen ?? candidates[0]).id;
  }

  // A number that can be clicked for its formula.
  number(name, index, value, digits = 4) {
    const key = `${name}@${index.join(",")}`;
    return el(
      "button",
      {
        type: "button",
        class: "number",
        "data-key": key,
        onclick: () => this.state.set({ number: key }),
      },
      show(value, digits),
    );
  }

  // Paint a canvas now, and again whenever the theme changes while it is on the page.
  paint(canvas, painter) {
    painter();
    this.painters.push([canvas, painter]);
  }

  repaint() {
    this.painters = this.painters.filter(([canvas]) => canvas.isConnected);
    for (const [, painter] of this.painters) painter();
  }
}
