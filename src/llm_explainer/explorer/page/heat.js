// Numbers as coloured cells on a canvas. Whoever uses it gives a table or a text beside it.

import { firstSeen } from "./derive.js";
import { el } from "./dom.js";
import { between, palette, themeNow } from "./numbers.js";

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
  const { up, down } = shades();
  const scale = most ? STRONGEST / most : 0;
  paint(canvas, (pixels) => {
    for (let i = 0; i < pixels.length; i++) {
      const shade = Math.min(STRONGEST, Math.round(Math.abs(values[i]) * scale));
      pixels[i] = values[i] < 0 ? down[shade] : up[shade];
    }
  });
}

// Paint weights 0 to 1; those above the diagonal, and before a window (0: none), are masked.
export function paintWeights(canvas, values, size, window) {
  const { up, mask } = shades();
  paint(canvas, (pixels) => {
    pixels.fill(mask);
    for (let row = 0; row < size; row++) {
      const last = row * size + row;
      for (let i = row * size + firstSeen(row, window); i <= last; i++)
        pixels[i] = up[Math.round(STRONGEST * Math.sqrt(values[i]))];
    }
  });
}

const STRONGEST = 255;
let known = { theme: null };

// The colours from paper to the strongest as pixels, made once for a theme: a page has many maps.
function shades() {
  const theme = themeNow();
  if (known.theme !== theme) {
    const { paper, up, down, mask } = palette();
    const ramp = (ink) =>
      Uint32Array.from({ length: STRONGEST + 1 }, (_, i) =>
        pixel(between(paper, ink, i / STRONGEST)),
      );
    known = { theme, up: ramp(up), down: ramp(down), mask: pixel(mask) };
  }
  return known;
}

function pixel([r, g, b]) {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

function paint(canvas, fill) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  fill(new Uint32Array(image.data.buffer));
  context.putImageData(image, 0, 0);
}
