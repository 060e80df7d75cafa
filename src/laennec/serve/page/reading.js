// The radiographs on the page and what each model answered of them: asked, kept, thrown away again.
import { PASSING } from "./refusals.js";

const KEPT = 24; // radiographs whose layers are kept; those of others are asked for again when they are looked at
const THUMB = 112; // pixels of a thumbnail's side

// a browser draws nothing of these, or more than it should have to
const NOT_SHOWN = new Set(["too_large", "body_too_large", "corrupt_image", "empty", "unreadable", "decoder_died", "timeout"]);

let count = 0;

async function thumbnail(source) {
  const picture = new Image();
  picture.src = source;
  await picture.decode();
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: THUMB, height: THUMB, className: "thumb" });
  canvas.setAttribute("aria-hidden", "true");
  const scale = Math.min(THUMB / picture.naturalWidth, THUMB / picture.naturalHeight);
  const [width, height] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, (THUMB - width) / 2, (THUMB - height) / 2, width, height);
  return canvas;
}

export class Readings {
  // `changed(item, model)` is called after every change of an answer; `selected()` names the item looked at.
  constructor(service, changed, selected) {
    Object.assign(this, { service, changed, selected, items: [], recent: [] });
    this.spent = { since: 0, done: 0 };
  }

  add(found) {
    const added = found.map(({ file, path }) => {
      count += 1;
      return { id: count, file, path, name: path.replace(/^.*\//, ""), answers: new Map(), thumb: null };
    });
    this.items.push(...added);
    return added;
  }

  find(id) {
    return this.items.find((item) => item.id === id) ?? null;
  }

  // Asks a model for an item unless it has answered. With `full`, for every layer too.
  ask(item, model, { full = false, first = false } = {}) {
    const known = item.answers.get(model.name);
    if (known && ["waiting", "reading"].includes(known.state)) {
      if (first) this.service.urgent(item.file);
      return;
    }
    const lacking = full && !known?.layers && known?.state !== "refused";
    if (known && known.state !== "stopped" && !lacking) return;
    this.send(item, model, known?.state === "done" ? known : { state: "waiting" }, first || lacking);
  }

  async send(item, model, answer, first) {
    item.answers.set(model.name, answer);
    if (answer.asked) return;
    answer.asked = true;
    const began = () => {
      if (!this.spent.since) this.spent = { since: performance.now(), done: 0 };
      if (answer.state !== "waiting") return;
      answer.state = "reading";
      this.changed(item, model);
    };
    const layers = () => {
      answer.whole = this.selected() === item.id || this.items.length <= KEPT / 2;
      return answer.whole ? "picture,lungs,map" : item.thumb ? "" : "picture";
    };
    try {
      const result = await this.service.predict(item.file, { model: model.name, layers, began, first });
      const { layers: come } = result;
      delete result.layers;
      Object.assign(answer, { state: "done", result, at: new Date(), layers: answer.whole && come?.picture ? come : null });
      if (answer.layers) this.keep(answer);
      if (!item.thumb && come?.picture) item.thumb = await thumbnail(come.picture).catch(() => null);
    } catch (error) {
      if (!error.code) throw error;
      if (answer.state !== "done") Object.assign(answer, error.code === "stopped" ? { state: "stopped" } : { state: "refused", error, at: new Date() });
      if (answer.state === "refused" && !NOT_SHOWN.has(error.code)) await this.look(item);
    } finally {
      answer.asked = false;
      this.spent.done += 1;
      if (!this.waiting) this.spent = { since: 0, done: 0 };
      this.changed(item, model);
    }
  }

  // A refused file is shown as the browser itself sees it, where it can.
  async look(item) {
    if (item.local) return;
    const local = URL.createObjectURL(item.file);
    try {
      item.thumb ??= await thumbnail(local);
      item.local = local;
    } catch {
      URL.revokeObjectURL(local);
    }
  }

  keep(answer) {
    this.recent = [...this.recent.filter((one) => one !== answer), answer];
    while (this.recent.length > KEPT) Object.assign(this.recent.shift(), { layers: null, whole: false });
  }

  retry(item, model) {
    item.answers.delete(model.name);
    this.ask(item, model, { full: true, first: true });
    this.changed(item, model);
  }

  failed(model) {
    const failing = ({ state, error }) => state === "stopped" || (state === "refused" && PASSING.has(error.code));
    return this.items.filter((item) => failing(item.answers.get(model.name) ?? {}));
  }

  remove(item) {
    if (item.local) URL.revokeObjectURL(item.local);
    this.service.drop(new Set([item.file]));
    this.items = this.items.filter((one) => one !== item);
    this.recent = this.recent.filter((answer) => ![...item.answers.values()].includes(answer));
  }

  clear() {
    for (const item of this.items) if (item.local) URL.revokeObjectURL(item.local);
    this.service.drop();
    Object.assign(this, { items: [], recent: [] });
  }

  get waiting() {
    return this.service.queue.length + this.service.flying;
  }

  // Seconds until all is read, from how fast it went since the queue was last empty; null before that is known.
  get left() {
    const { since, done } = this.spent;
    return since && done >= 2 ? ((performance.now() - since) / 1000 / done) * this.waiting : null;
  }
}
