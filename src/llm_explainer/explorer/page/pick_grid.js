// A heat picture in which one cell is chosen: by mouse, finger or arrow keys.

import { el } from "./dom.js";
import { heat } from "./heat.js";

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// A grid {element, canvas, choose(row, column)}; onChoose(row, column) is called when
// somebody chooses. label says what is seen; a text beside the grid tells about the chosen cell.
export function pickGrid(rows, columns, label, onChoose) {
  const canvas = heat(rows, columns, label);
  const frame = el("div", { class: "picked", "aria-hidden": "true" });
  let chosen = [0, 0];

  function choose(row, column) {
    chosen = [row, column];
    frame.style.left = `${(100 * column) / columns}%`;
    frame.style.top = `${(100 * row) / rows}%`;
    frame.style.width = `${100 / columns}%`;
    frame.style.height = `${100 / rows}%`;
  }

  function move(row, column) {
    if (row < 0 || column < 0 || row >= rows || column >= columns) return;
    choose(row, column);
    onChoose(row, column);
  }

  const element = el(
    "div",
    {
      class: "pick-grid",
      tabindex: "0",
      role: "application",
      "aria-label": `${label}. Arrow keys choose a cell.`,
      style: { "--rows": rows, "--columns": columns },
      onclick: (event) => {
        const box = canvas.getBoundingClientRect();
        const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
        move(row, Math.floor(((event.clientX - box.left) / box.width) * columns));
      },
      onkeydown: (event) => {
        const step = MOVES[event.key];
        if (!step) return;
        event.preventDefault();
        event.stopPropagation();
        move(chosen[0] + step[0], chosen[1] + step[1]);
      },
    },
    canvas,
    frame,
  );
  choose(0, 0);
  return { element, canvas, choose };
}
