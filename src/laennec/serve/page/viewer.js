// One radiograph on a canvas with its layers. Panes that share a view move, zoom and window together.
import { el } from "./dom.js";
import { steer } from "./gestures.js";
import { number, percent, t } from "./speech.js";
import { FULL, LAYERS } from "./view.js";

const LARGEST = 2048; // pixels of the longer side; the service gives less, a refused file may have more
const FILLED = 40; // opacity, of 255, that the colour within an outline stays below and its lines exceed
const MARGIN = 0.97; // share of the pane that a fitted picture fills

async function drawable(source) {
  if (!source) return null;
  const picture = new Image();
  picture.src = source;
  await picture.decode();
  return picture;
}

// The lines of an outlined layer without the colour they enclose.
function lines(picture) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: picture.naturalWidth, height: picture.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 3; at < image.data.length; at += 4) {
    image.data[at] = Math.max(0, ((image.data[at] - FILLED) * 255) / (255 - FILLED));
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

export class Pane {
  constructor(view, changed) {
    this.view = view;
    this.canvas = el("canvas", { role: "img" });
    this.message = el("p", { class: "pane-message" });
    this.head = el("div", { class: "pane-head" });
    this.facts = el("p", { class: "corner top-left" });
    this.state = el("p", { class: "corner top-right", "aria-hidden": "true" });
    this.legend = el("div", { class: "corner bottom-left" });
    this.port = el(
      "div", { class: "port", tabIndex: 0, role: "application" },
      this.canvas, this.facts, this.state, this.legend, this.message,
    );
    this.root = el("div", { class: "pane" }, this.head, this.port);
    this.images = {};
    this.told = { drawnBy: "", heat: "", pixels: 0 }; // of the answer shown; `pixels` on the longer side of its file
    this.shown = document.createElement("canvas");
    steer(this.port, view, changed);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.port);
  }

  close() {
    this.watch.disconnect();
    this.root.remove();
  }

  // `layers` as the service gives them; nothing for an empty pane. Resolves true once they are drawn, false where
  // another picture was shown meanwhile.
  async show(layers, message = "") {
    const turn = {};
    this.turn = turn;
    this.message.textContent = message;
    if (layers === this.layers && layers) return true;
    const images = {};
    try {
      for (const name of ["picture", ...LAYERS]) images[name] = await drawable(layers?.[name]);
    } catch {
      images.picture = null;
      message = t("view.not_shown");
    }
    if (this.turn !== turn) return false;
    this.outline = images.lungs ? lines(images.lungs) : null;
    Object.assign(this, { images, layers, windowed: "" });
    this.message.textContent = message;
    if (images.picture) this.keepGreys(images.picture);
    this.draw();
    return true;
  }

  get has() {
    return this.images.picture ? { lungs: Boolean(this.images.lungs), map: Boolean(this.images.map) } : null;
  }

  keepGreys(picture) {
    const shrunk = Math.min(1, LARGEST / Math.max(picture.naturalWidth, picture.naturalHeight));
    const [width, height] = [picture.naturalWidth, picture.naturalHeight].map((side) => Math.max(1, Math.round(side * shrunk)));
    Object.assign(this.shown, { width, height });
    const context = this.shown.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    this.greys = Uint8Array.from({ length: width * height }, (_, at) => 0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2] + 0.5);
    this.pixels = context.createImageData(width, height);
  }

  // The greys through the window, once for each window.
  window() {
    const { width, level, inverted } = this.view;
    const key = `${width} ${level} ${inverted}`;
    if (this.windowed === key) return;
    const ramp = new Uint32Array(FULL);
    for (let grey = 0; grey < FULL; grey += 1) {
      const share = (grey + 0.5 - level) / width + 0.5;
      const light = Math.round(255 * Math.min(1, Math.max(0, inverted ? 1 - share : share)));
      ramp[grey] = 0xff000000 | (light << 16) | (light << 8) | light;
    }
    if (width === FULL && level === FULL / 2) for (let g = 0; g < FULL; g += 1) ramp[g] = 0xff000000 | ((inverted ? 255 - g : g) * 0x10101);
    const target = new Uint32Array(this.pixels.data.buffer);
    for (let pixel = 0; pixel < target.length; pixel += 1) target[pixel] = ramp[this.greys[pixel]];
    this.shown.getContext("2d").putImageData(this.pixels, 0, 0);
    this.windowed = key;
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.port;
    const dense = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: Math.round(width * dense), height: Math.round(height * dense) });
    const context = this.canvas.getContext("2d");
    const picture = this.images.picture;
    this.state.hidden = this.legend.hidden = !picture;
    if (!picture) return;
    this.window();
    const scale = MARGIN * Math.min(width / this.shown.width, height / this.shown.height) * this.view.zoom * dense;
    const across = this.shown.width * scale;
    const down = this.shown.height * scale;
    const left = (0.5 + this.view.x) * width * dense - across / 2;
    const top = (0.5 + this.view.y) * height * dense - down / 2;
    this.paint(context, left, top, across, down);
    this.state.replaceChildren(
      el("span", {}, this.zoomTold(Math.max(across, down), picture)),
      el("span", {}, t("view.window", { width: number(this.view.width), level: number(this.view.level) })),
    );
    this.describe();
  }

  // Pixels of the screen on one of the file.
  zoomTold(longest, picture) {
    const share = percent(longest / (this.told.pixels || Math.max(picture.naturalWidth, picture.naturalHeight)), 0);
    const { zoom, x, y } = this.view;
    return zoom === 1 && x === 0 && y === 0 ? t("view.fitted", { share }) : share;
  }

  paint(context, left, top, across, down) {
    context.imageSmoothingQuality = "high";
    context.drawImage(this.shown, left, top, across, down);
    for (const name of LAYERS) {
      const { on, opacity } = this.view.layers[name];
      if (!on || !this.images[name]) continue;
      context.globalAlpha = opacity;
      if (opacity > 0) context.drawImage(this.images[name], left, top, across, down);
      context.globalAlpha = 1;
      if (name === "lungs") context.drawImage(this.outline, left, top, across, down);
    }
    context.globalAlpha = 1;
  }

  on(name) {
    return this.view.layers[name].on && Boolean(this.images[name]);
  }

  // What the layers shown are, for a picture that leaves the page.
  get layersTold() {
    const lungs = this.on("lungs") && this.told.drawnBy ? t("caption.lungs", { by: this.told.drawnBy }) : "";
    return [lungs, this.on("map") ? t("facts.map", { told: this.told.heat }) : ""].filter(Boolean);
  }

  describe() {
    const on = (name) => this.on(name);
    const layers = LAYERS.toReversed().filter(on).map((name) => t(`view.alt.${name}`)).join("");
    const { width, height } = this.shown;
    this.canvas.setAttribute("aria-label", t("view.alt", { width: number(width), height: number(height), layers }));
    const swatch = (name, said) => el("span", {}, el("i", { class: `swatch ${name}` }), said);
    const parts = [];
    if (on("lungs")) parts.push(el("p", {}, swatch("right", t("legend.right")), swatch("left", t("legend.left")), this.told.drawnBy));
    if (on("map")) {
      const ramp = el("span", { class: "ramp" }, t("legend.less"), el("i", { class: "swatch heat" }), t("legend.more"));
      parts.push(el("p", {}, ramp), el("p", { class: "caveat" }, this.told.heat));
    }
    this.legend.replaceChildren(...parts);
  }
}
