// Numbers as texts and as colours.

// A number with so many significant digits; the minus is a minus.
export function show(x, digits = 4) {
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e-3 && size < 1e5 ? plain(x, digits) : x.toExponential(digits - 1);
  return text.replace("-", "−").replace("e-", "e−").replace("e+", "e");
}

function plain(x, digits) {
  const text = x.toPrecision(digits);
  return text.includes("e") ? Number(text).toFixed(0) : text;
}

// A number with so many decimals and its sign, for columns that add up.
export function signed(x, decimals = 4) {
  return (x < 0 ? "−" : "+") + Math.abs(x).toFixed(decimals);
}

export function percent(p) {
  if (p > 0 && p < 0.0005) return "<0.1 %";
  return `${(100 * p).toFixed(p < 0.1 ? 2 : 1)} %`;
}

export function largest(values) {
  let most = 0;
  for (const value of values) if (Math.abs(value) > most) most = Math.abs(value);
  return most;
}

// "light" or "dark": as somebody chose here, else as the system has it; paper is light.
export function themeNow() {
  if (window.matchMedia("print").matches) return "light";
  const isDark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  return document.documentElement.dataset.theme ?? (isDark ? "dark" : "light");
}

// Red, green, blue of the theme's colours, for canvases; read anew when the theme changes.
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => {
    const hex = style.getPropertyValue(name).trim();
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  };
  return {
    paper: read("--heat-paper"),
    up: read("--heat-up"),
    down: read("--heat-down"),
    mask: read("--heat-mask"),
  };
}

// A colour between paper and ink: share 0 to 1.
export function between(paper, ink, share) {
  return paper.map((p, i) => Math.round(p + (ink[i] - p) * share));
}
