// Making elements. Text goes in as text, never as markup.

// el("p", { class: "note", onclick: f }, "text", child, ...): properties with a dash, role, class
// and the like are attributes; functions are listeners; style takes an object.
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

// The same for an SVG element.
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style")
      for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined),
  );
  return element;
}

// Put other children into an element.
export function refill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null));
}

// A table: heads are texts, rows are lists of texts or elements; the first of a row is its head.
export function table(caption, heads, rows, properties = {}) {
  return el(
    "table",
    properties,
    el("caption", {}, caption),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        heads.map((head) => el("th", { scope: "col" }, head)),
      ),
    ),
    el(
      "tbody",
      {},
      rows.map(([head, ...cells]) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, head),
          cells.map((cell) => el("td", {}, cell)),
        ),
      ),
    ),
  );
}

// Something wide that scrolls by itself, so that the page does not; the keyboard reaches it.
export function scrolling(label, ...children) {
  return el(
    "div",
    { class: "scrolling", tabindex: "0", role: "region", "aria-label": label },
    ...children,
  );
}
