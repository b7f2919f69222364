// The views there are, in the order of their tabs.

export const views = [];

// Add a view. render(root, app) fills root once and may return update(), which is called whenever
// something else is selected. hint is a sentence about what there is to see.
export function defineView(name, title, hint, render) {
  views.push({ name, title, hint, render });
}
