// The loss of this text by step of training; steps stand on a scale of logarithms.

import { el, refill, svg } from "./dom.js";

const SIZE = { width: 640, height: 160, left: 36, right: 12, top: 10, bottom: 26 };

// A part of a view: an element, and what marks a moment in it.
export function lossChart(app) {
  const { steps } = app.data.facts.history;
  const losses = meanLosses(app.data.array("history/losses"));
  const points = placed(steps, losses);
  const dots = points.map(([cx, cy]) => svg("circle", { cx, cy, class: "dot" }));
  const said = el("figcaption", {});
  const { width, height, left, right, bottom } = SIZE;
  const label = `Loss of this text: ${steps.map((step, i) => `${losses[i].toFixed(2)} at step ${step}`).join(", ")}`;
  const base = height - bottom;
  const element = el("figure", { class: "chart" },
    svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
      svg("line", { x1: left, x2: width - right, y1: base, y2: base, class: "axis" }),
      svg("polyline", { points: points.map((point) => point.join(",")).join(" "), class: "curve" }),
      dots,
      svg("text", { x: left - 6, y: SIZE.top + 10, class: "tick end" }, Math.max(...losses).toFixed(1)),
      svg("text", { x: left - 6, y: base, class: "tick end" }, "0"),
      labelled(steps).map((i) => svg("text", { x: points[i][0], y: height - 6, class: i === steps.length - 1 ? "tick end" : "tick" },
        steps[i].toLocaleString("en"))),
    ),
    said);
  return {
    element,
    update(moment) {
      dots.forEach((dot, i) => {
        dot.setAttribute("class", i === moment ? "dot now" : "dot");
        dot.setAttribute("r", i === moment ? 6 : 3);
      });
      refill(said, `mean loss of this text: ${losses[moment].toFixed(4)} nats a token after ${steps[moment].toLocaleString("en")} steps`);
    },
  };
}

function meanLosses({ values, shape: [moments, tokens] }) {
  return Array.from({ length: moments }, (_, moment) => {
    const own = values.subarray(moment * tokens, (moment + 1) * tokens);
    return own.reduce((sum, loss) => sum + loss, 0) / Math.max(1, tokens);
  });
}

// Where each state stands in the picture; one is added to steps, as the first is 0.
function placed(steps, losses) {
  const { width, height, left, right, top, bottom } = SIZE;
  const far = Math.log(steps[steps.length - 1] + 1) || 1;
  const most = Math.max(...losses) || 1;
  return steps.map((step, i) => [
    left + (Math.log(step + 1) / far) * (width - left - right),
    top + (1 - losses[i] / most) * (height - top - bottom),
  ]);
}

// The states whose steps have room below the axis: the last, and all that are not close to it.
function labelled(steps) {
  const last = steps.length - 1;
  return steps.map((_, i) => i).filter((i) => i === last || steps[i] * 1.6 < steps[last]);
}
