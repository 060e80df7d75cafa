// Elements, pictograms and what a browser remembers.
const SVG = "http://www.w3.org/2000/svg";

// On a grid of 24, drawn by strokes.
const SHAPES = {
  positive: "M12 3.5 21 19.5H3ZM12 9.5v5M12 17v.1",
  negative: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17ZM8.5 12h7",
  outlined: "M10.5 4v7c-1 1-2.5 1.5-3.2 3-.8 1.6-.6 5-2.3 5.4-1.5.3-2-1-2-3 0-4 2-8.6 4-10.8M13.5 4v7c1 1 2.5 1.5 3.2 3 .8 1.6.6 5 2.3 5.4 1.5.3 2-1 2-3 0-4-2-8.6-4-10.8",
  refer: "M12 4a3.6 3.6 0 1 0 0 7.2A3.6 3.6 0 0 0 12 4ZM4.5 20c.6-3.8 3.6-6 7.5-6s6.9 2.2 7.5 6",
  refused: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17ZM6 6l12 12",
  waiting: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17ZM12 7v5l3.5 2",
  differs: "M4 9h14l-4-4M20 15H6l4 4",
  same: "M5 9.5h14M5 14.5h14",
  add: "M12 5v14M5 12h14",
  folder: "M3 7a2 2 0 0 1 2-2h4l2 2.5h8a2 2 0 0 1 2 2V17a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2Z",
  in: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM15.5 15.5 20 20M10.5 7.7v5.6M7.7 10.5h5.6",
  out: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM15.5 15.5 20 20M7.7 10.5h5.6",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  invert: "M12 4a8 8 0 1 0 0 16ZM12 4a8 8 0 0 1 0 16",
  reset: "M5 5v5h5M5.5 10a7.5 7.5 0 1 1-1 4",
  move: "M12 3v18M3 12h18M9.5 5.5 12 3l2.5 2.5M9.5 18.5 12 21l2.5-2.5M5.5 9.5 3 12l2.5 2.5M18.5 9.5 21 12l-2.5 2.5",
  window: "M4 18c4 0 4-12 8-12s4 12 8 12",
  save: "M12 4v11m-4.5-4.5L12 15l4.5-4.5M4 19h16",
  print: "M7 8V4h10v4M7 17H4v-7h16v7h-3M7 14h10v6H7Z",
  theme: "M19.5 14A8 8 0 0 1 10 4.5 8 8 0 1 0 19.5 14Z",
  help: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17ZM9.5 9.5c.3-1.5 1.3-2.2 2.6-2.2 1.5 0 2.6.9 2.6 2.3 0 1.9-2.6 2-2.6 4M12 16.6v.1",
};

export function icon(name) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  picture.classList.add("icon", `icon-${name}`);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  picture.append(path);
  return picture;
}

// Properties are set as such where the element has them, else as attributes; `on` holds listeners, `data` a data set.
export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else if (key === "data") Object.assign(made.dataset, value);
    else if (key === "class") made.className = value;
    else if (key.startsWith("aria-") || !(key in made) || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export const byId = (id) => document.getElementById(id);

// A browser may forbid to remember; the page then does without.
export function remembered(key) {
  try {
    return localStorage.getItem(`laennec.${key}`);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`laennec.${key}`, value);
  } catch {
    // nothing is lost but a preference
  }
}
