// Numbers as coloured cells on a canvas. Whoever uses it gives a table or a text beside it.

import { el } from "./dom.js";
import { between, colour, palette } from "./numbers.js";

// A canvas of rows x columns cells; its picture has one pixel a cell and is stretched by CSS.
export function heat(rows, columns, label, properties = {}) {
  const { class: more = "", ...others } = properties;
  return el("canvas", {
    width: columns,
    height: rows,
    role: "img",
    "aria-label": label,
    class: `heat ${more}`,
    ...others,
  });
}

// Paint signed numbers, the strongest colour for the largest.
export function paintSigned(canvas, values, most) {
  const colours = palette();
  paint(canvas, (i) => colour(colours, values[i], most));
}

// Paint weights 0 to 1; those above the diagonal, and before a window, are masked.
export function paintWeights(canvas, values, size, isSeen) {
  const { paper, up, mask } = palette();
  paint(canvas, (i) => {
    const row = Math.floor(i / size);
    return isSeen(row, i % size) ? between(paper, up, Math.sqrt(values[i])) : mask;
  });
}

function paint(canvas, colourOf) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < canvas.width * canvas.height; i++) {
    const [r, g, b] = colourOf(i);
    image.data.set([r, g, b, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}
