// Opens the page: unpacks its content, and shows it. A new view is a line here.

import { App } from "./app.js";
import { unpack } from "./data.js";
import { recipe } from "./derive.js";
import { explain } from "./explain.js";
import { openShell } from "./shell.js";
import {} from "./view_tokens.js";
import {} from "./view_pass.js";
import {} from "./view_attention.js";
import {} from "./view_lens.js";
import {} from "./view_why.js";
import {} from "./view_backward.js";
import {} from "./view_step.js";
import {} from "./view_learned.js";
import {} from "./view_beside.js";

async function open() {
  const root = document.getElementById("app");
  try {
    const data = await unpack();
    data.recipes.push(recipe(data));
    document.title = `Inside ${data.facts.name}`;
    const app = new App(data);
    openShell(app, root);
    printLight(app);
    window.explorer = { app, explain }; // for whoever opens the console
    for (const media of ["(prefers-color-scheme: dark)", "print"])
      window.matchMedia(media).addEventListener("change", () => app.repaint());
  } catch (error) {
    root.textContent = `This page could not be opened: ${error.message}. It needs a browser of 2023 or newer.`;
    throw error;
  }
}

// Paper is light, so a dark page is printed light; its canvases have to be painted for it.
function printLight(app) {
  const { dataset } = document.documentElement;
  let before;
  window.addEventListener("beforeprint", () => {
    before = dataset.theme;
    dataset.theme = "light";
    app.repaint();
  });
  window.addEventListener("afterprint", () => {
    if (before === undefined) delete dataset.theme;
    else dataset.theme = before;
    app.repaint();
  });
}

open();
