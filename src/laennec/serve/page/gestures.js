// Mouse, touch and keys on a pane, written into the view it shows.
import { moved, reset, windowed, zoomed } from "./view.js";

const WHEEL = 0.0016; // zoom of a step of the wheel, as the exponent of a pixel of it
const STEP = 1.25; // zoom of a key
const SHIFT = 0.08; // share of the pane of an arrow key
const GREYS = 8; // levels of an arrow key with Shift
const ACROSS = 512; // levels over the width of a pane

export function steer(port, view, changed) {
  const down = new Map(); // pointers on the pane by their number
  const place = (event) => {
    const box = port.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width - 0.5, y: (event.clientY - box.top) / box.height - 0.5, box };
  };

  port.addEventListener("pointerdown", (event) => {
    if (event.button === 1) return;
    port.setPointerCapture(event.pointerId);
    down.set(event.pointerId, { ...place(event), windows: event.button === 2 || view.drag === "window" });
  });
  port.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const now = { ...place(event), windows: before.windows };
    if (down.size === 2) {
      const [other] = [...down].filter(([number]) => number !== event.pointerId).map(([, at]) => at);
      const apart = (at) => Math.hypot((at.x - other.x) * at.box.width, (at.y - other.y) * at.box.height);
      moved(view, (now.x - before.x) / 2, (now.y - before.y) / 2);
      if (apart(before) > 0) zoomed(view, apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else if (before.windows) {
      windowed(view, (now.x - before.x) * ACROSS, (now.y - before.y) * ACROSS);
    } else moved(view, now.x - before.x, now.y - before.y);
    down.set(event.pointerId, now);
    changed();
  });
  for (const end of ["pointerup", "pointercancel"]) port.addEventListener(end, (event) => down.delete(event.pointerId));
  port.addEventListener("contextmenu", (event) => event.preventDefault());
  port.addEventListener("dblclick", () => {
    Object.assign(view, { zoom: 1, x: 0, y: 0 });
    changed();
  });
  port.addEventListener(
    "wheel",
    (event) => {
      // where the page itself scrolls, the wheel is the page's until the picture has been chosen
      const scrolls = document.documentElement.scrollHeight > window.innerHeight + 1;
      if (scrolls && !event.ctrlKey && !port.contains(document.activeElement)) return;
      event.preventDefault();
      const { x, y } = place(event);
      zoomed(view, Math.exp(-event.deltaY * (event.deltaMode === 1 ? 16 : 1) * WHEEL), x, y);
      changed();
    },
    { passive: false },
  );
  port.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (pressed(view, event)) {
      event.preventDefault();
      changed();
    }
  });
}

function pressed(view, { key, shiftKey }) {
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (key in arrows) {
    const [x, y] = arrows[key];
    if (shiftKey) windowed(view, x * GREYS, y * GREYS);
    else moved(view, -x * SHIFT, -y * SHIFT);
    return true;
  }
  const does = {
    "+": () => zoomed(view, STEP),
    "=": () => zoomed(view, STEP),
    "-": () => zoomed(view, 1 / STEP),
    0: () => Object.assign(view, { zoom: 1, x: 0, y: 0 }),
    i: () => (view.inverted = !view.inverted),
    l: () => (view.layers.lungs.on = !view.layers.lungs.on),
    h: () => (view.layers.map.on = !view.layers.map.on),
    r: () => reset(view),
  }[key.toLowerCase()];
  does?.();
  return Boolean(does);
}
