// The tools under the pictures: what dragging does, zoom, window, and the layers with their opacity.
import { el, icon } from "./dom.js";
import { number, percent, t } from "./speech.js";
import { FULL, reset, zoomed } from "./view.js";

const NOTCH = 1.25;

// Fills `host`; the result brings the tools in line with the view, and is given which layers the picture has.
export function tools(host, view, changed) {
  const does = (change) => () => {
    change();
    changed();
  };
  const button = (name, change, words = true) =>
    el(
      "button",
      { type: "button", class: words ? "tool" : "tool icon-only", title: t(`tool.${name}`), "aria-label": t(`tool.${name}`), on: { click: does(change) } },
      icon(name), words ? t(`tool.${name}`) : null,
    );

  const drags = ["move", "window"].map((name) => button(name, () => (view.drag = name)));
  const invert = button("invert", () => (view.inverted = !view.inverted));
  const fit = button("fit", () => Object.assign(view, { zoom: 1, x: 0, y: 0 }), false);
  const near = button("in", () => zoomed(view, NOTCH), false);
  const far = button("out", () => zoomed(view, 1 / NOTCH), false);

  const slider = (name, most, read, write, said) => {
    const input = el("input", { type: "range", min: 0, max: most, step: 1, id: `slide-${name}` });
    input.addEventListener("input", does(() => write(Number(input.value))));
    const value = el("output", { htmlFor: `slide-${name}` });
    const update = () => {
      input.value = read();
      value.textContent = said(read());
      input.setAttribute("aria-valuetext", value.textContent);
    };
    return { input, value, update };
  };
  const width = slider("width", 2 * FULL, () => view.width, (to) => (view.width = Math.max(1, to)), (w) => number(w));
  const level = slider("level", FULL, () => view.level, (to) => (view.level = to), (l) => number(l));
  width.input.setAttribute("aria-label", t("tool.width"));
  level.input.setAttribute("aria-label", t("tool.level"));
  const windows = [["width", width], ["level", level]].map(([name, { input, value }]) =>
    el("label", { class: "slide" }, el("span", { title: t(`tool.${name}`) }, t(`tool.${name}.short`)), input, value),
  );

  const layers = ["lungs", "map"].map((name) => {
    const layer = view.layers[name];
    const box = el("input", { type: "checkbox", id: `show-${name}` });
    box.addEventListener("change", does(() => (layer.on = box.checked)));
    const { input, update } = slider(
      `opacity-${name}`, 100, () => Math.round(layer.opacity * 100), (to) => (layer.opacity = to / 100), (o) => percent(o / 100, 0),
    );
    input.setAttribute("aria-label", t(`tool.opacity.${name}`));
    input.title = t(`tool.opacity.${name}`);
    const shade = el("span", { class: "shade", "aria-hidden": "true" }, t(`tool.shade.${name}`));
    const swatches = name === "lungs" ? ["right", "left"] : ["heat"];
    const none = el("span", { class: "none" }, t(`tool.none.${name}`));
    const root = el(
      "div", { class: "layer" },
      el("label", { class: "layer-name" }, box, ...swatches.map((s) => el("i", { class: `swatch ${s}` })), t(`tool.${name}`)),
      shade, input, none,
    );
    const refresh = (has) => {
      const missing = has[name] === false;
      box.checked = layer.on && !missing;
      box.disabled = missing;
      input.disabled = missing || !layer.on;
      input.hidden = shade.hidden = missing;
      none.hidden = !missing;
      root.classList.toggle("missing", missing);
      update();
    };
    return { root, refresh };
  });

  host.replaceChildren(
    el("div", { class: "group", role: "group", "aria-label": t("tool.drag") }, ...drags),
    el("div", { class: "group", role: "group", "aria-label": t("tool.zoom") }, far, fit, near),
    el("div", { class: "group" }, invert, button("reset", () => reset(view))),
    el("div", { class: "group layers" }, ...layers.map(({ root }) => root)),
    el("div", { class: "group windows" }, ...windows),
  );
  return (has = {}) => {
    drags.forEach((one, at) => one.setAttribute("aria-pressed", String(view.drag === ["move", "window"][at])));
    invert.setAttribute("aria-pressed", String(view.inverted));
    width.update();
    level.update();
    for (const layer of layers) layer.refresh(has);
  };
}
