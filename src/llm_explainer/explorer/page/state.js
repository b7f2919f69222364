// What is selected, shared by all views and kept in the address: a link to the page opens it so.

// Numbers among the keys; the others are texts.
const NUMBERS = new Set(["position", "token", "layer", "head", "against", "moment"]);

export class State {
  constructor(defaults) {
    this.defaults = defaults;
    this.values = { ...defaults, ...this.fromAddress() };
    this.listeners = [];
    window.addEventListener("hashchange", () => {
      const values = { ...defaults, ...this.fromAddress() };
      if (JSON.stringify(values) !== JSON.stringify(this.values)) {
        this.values = values;
        this.tell();
      }
    });
  }

  get(key) {
    return this.values[key];
  }

  // Change some values; whoever listens hears of it once.
  set(changes) {
    const before = JSON.stringify(this.values);
    Object.assign(this.values, changes);
    if (JSON.stringify(this.values) === before) return;
    this.toAddress();
    this.tell();
  }

  listen(listener) {
    this.listeners.push(listener);
  }

  tell() {
    for (const listener of this.listeners) listener();
  }

  fromAddress() {
    const found = {};
    for (const [key, text] of new URLSearchParams(window.location.hash.slice(1))) {
      if (!(key in this.defaults)) continue;
      const value = NUMBERS.has(key) ? Number(text) : text;
      if (!Number.isNaN(value)) found[key] = value;
    }
    return found;
  }

  toAddress() {
    const changed = Object.entries(this.values).filter(([key, v]) => v !== this.defaults[key]);
    const hash = `#${new URLSearchParams(changed)}`;
    try {
      window.history.replaceState(null, "", hash);
    } catch {
      // A frame without an address of its own, as in a notebook, has no links to keep.
    }
  }
}
