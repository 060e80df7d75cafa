// The page: what is looked at, by which model, in which language and colours; it joins the other files.
import { about, answerSection, decisionOf, drawnBy, heatTold, pictureFacts, spokenAnswer, tally, verdictChips } from "./answer.js";
import { byId, el, icon, remember, remembered } from "./dom.js";
import { answerJson, pictureBlob, save, stem, worklistCsv } from "./exports.js";
import { taking } from "./files.js";
import { showKeys } from "./keys.js";
import { onPaper } from "./paper.js";
import { Readings } from "./reading.js";
import { Service } from "./service.js";
import { LANGUAGES, counted, language, lasting, number, refusal, ruleName, speak, t } from "./speech.js";
import { tools } from "./tools.js";
import { newView, reset } from "./view.js";
import { Pane } from "./viewer.js";
import { Worklist, ordered } from "./worklist.js";

const AGAIN = 5; // seconds until the models are asked for again

const view = newView();
const state = { models: [], model: null, beside: null, selected: null, byHand: false, told: "" };
const service = new Service(rested);
const readings = new Readings(service, changed, () => state.selected);
const worklist = new Worklist(() => state.selected, (id, touched) => look(id, touched), (id) => remove(id));
const choices = new Map(); // of each model: its operating point, or a threshold by hand
let panes = [];
let sections = [];
let refreshTools = () => {};
let framed = 0;

const shownModels = () => [state.model, state.beside].filter(Boolean);
const choiceOf = (model) => choices.get(model.name);
const current = () => readings.find(state.selected);

// Which model

async function begin() {
  try {
    state.models = await service.models();
  } catch (error) {
    say(error.code === "no_key" ? refusal(error).why : t("no_models"));
    setTimeout(begin, AGAIN * 1000);
    return;
  }
  say("");
  for (const model of state.models) choices.set(model.name, { rule: model.decision, byHand: null });
  state.model = state.models[0];
  document.body.dataset.ready = "true";
  renderModels();
  for (const item of readings.items) readings.ask(item, state.model);
  render();
}

function renderModels() {
  if (!state.model) return;
  const several = state.models.length > 1;
  byId("model-choice").hidden = byId("beside-choice").hidden = !several;
  byId("model").replaceChildren(...state.models.map(({ name }) => el("option", { value: name, selected: name === state.model.name }, name)));
  const others = state.models.filter((model) => model !== state.model);
  byId("beside").replaceChildren(
    el("option", { value: "" }, t("beside.none")),
    ...others.map(({ name }) => el("option", { value: name, selected: name === state.beside?.name }, name)),
  );
  byId("model-card").replaceChildren(el("h2", {}, t("about.title")), ...state.models.map(about));
}

function take(model, beside) {
  state.model = model;
  state.beside = beside === model ? null : beside;
  state.told = "";
  renderModels();
  for (const one of shownModels()) for (const item of readings.items) readings.ask(item, one, { full: item.id === state.selected, first: item.id === state.selected });
  render();
}

// What is looked at

function come({ files, leftOut, packed }) {
  const told = [packed ? t("packed") : "", leftOut ? counted("left_out", leftOut) : ""].filter(Boolean);
  say(told.join(" ") || (files.length ? "" : t("nothing_found")));
  if (!files.length) return;
  const starts = readings.items.length === 0;
  const added = readings.add(files);
  if (starts) state.byHand = false;
  if (state.selected === null) state.selected = added[0].id;
  for (const model of shownModels()) for (const item of added) readings.ask(item, model);
  render();
  if (starts) byId("rows").focus({ preventScroll: true });
}

function select(id, byHand = false) {
  state.byHand ||= byHand;
  if (state.selected !== id) {
    state.selected = id;
    reset(view);
  }
  const item = current();
  if (item) for (const model of shownModels()) readings.ask(item, model, { full: true, first: true });
  render();
}

// On a phone the list stands under the picture: who taps a row is taken to what he asked for.
function look(id, touched) {
  select(id, true);
  if (touched && matchMedia("(max-width: 999.98px)").matches) byId("view-region").scrollIntoView({ block: "start" });
}

function remove(id) {
  const at = worklist.order.indexOf(id);
  const next = worklist.order[at + 1] ?? worklist.order[at - 1] ?? null;
  readings.remove(readings.find(id));
  select(next);
  if (next === null) document.querySelector("[data-pick]").focus();
}

function changed(item) {
  if (item.id === state.selected) {
    const answer = item.answers.get(state.model.name);
    // an answer whose layers were not asked for, because another picture was looked at then
    if (answer?.state === "done" && !answer.layers && !answer.whole) readings.ask(item, state.model, { full: true, first: true });
    renderSelected();
  }
  if (!readings.waiting && !state.byHand && readings.items.length > 1) {
    const [first] = ordered(readings.items, state.model, choiceOf(state.model));
    if (first.item.id !== state.selected) return select(first.item.id);
  }
  renderList();
}

// What is drawn

function render() {
  byId("content").dataset.stage = readings.items.length ? "reading" : "start";
  renderList();
  renderSelected();
}

function renderList() {
  if (framed) return;
  framed = requestAnimationFrame(() => {
    framed = 0;
    if (!state.model) return;
    const entries = ordered(readings.items, state.model, choiceOf(state.model));
    worklist.show(entries, state.model, differs);
    const some = (positive) => entries.filter(({ decision }) => decision?.positive === positive);
    const told = [["positive", some(true)], ["negative", some(false)], ["outlined", some(null)]].map(([name, these]) =>
      [name, these.length, these.filter(({ decision }) => decision.refer).length]);
    byId("tally").textContent = tally([...told, ["refused", entries.filter(({ tier }) => tier === "refused").length]]).join(" · ");
    renderProgress(entries);
  });
}

function renderProgress(entries) {
  const waiting = entries.filter(({ answer }) => !answer || ["waiting", "reading"].includes(answer.state)).length;
  byId("progress").hidden = waiting === 0 || entries.length < 2;
  const [all, done] = [entries.length, entries.length - waiting];
  Object.assign(byId("progress-bar"), { max: all, value: done });
  const said = [t("list.progress", { done: number(done), all: number(all) })];
  if (readings.left !== null) said.push(t("list.left", { time: lasting(readings.left) }));
  byId("progress-text").textContent = said.join(" · ");
  byId("again").hidden = !readings.failed(state.model).length;
}

function differs({ item, decision }) {
  const other = state.beside && item.answers.get(state.beside.name);
  if (!decision || other?.state !== "done" || decision.positive === null) return false;
  const besides = decisionOf(state.beside, choiceOf(state.beside), other.result);
  return besides.positive !== null && besides.positive !== decision.positive;
}

function renderSelected() {
  const item = current();
  if (!item || !state.model) return;
  const models = shownModels();
  while (panes.length > models.length) panes.pop().close();
  while (panes.length < models.length) {
    panes.push(new Pane(view, redraw));
    byId("panes").append(panes.at(-1).root);
  }
  byId("panes").dataset.count = models.length;
  models.forEach((model, at) => renderPane(panes[at], model, item));
  renderAnswer(item, models);
}

function renderHead(pane, model, answer) {
  pane.head.replaceChildren(state.beside ? el("strong", {}, model.name) : "", ...verdictChips(model, choiceOf(model), answer));
}

async function renderPane(pane, model, item) {
  const answer = item.answers.get(model.name);
  const reading = !answer || ["waiting", "reading"].includes(answer.state) || (answer.state === "done" && !answer.layers);
  pane.port.setAttribute("aria-label", t("view.pane", { name: state.beside ? model.name : item.name }));
  pane.port.setAttribute("aria-description", t("view.how"));
  renderHead(pane, model, answer);
  const facts = answer?.result ? pictureFacts(answer.result.image ?? {}) : "";
  pane.facts.replaceChildren(el("b", {}, item.name), facts);
  const layers = answer?.layers ?? [...item.answers.values()].find((other) => other.layers)?.layers;
  const own = answer?.layers ?? bare(item, layers?.picture ?? (answer?.state === "refused" ? item.local : null));
  // while its layers come, what stands in the pane stays unless it is another picture
  if (!own && reading && pane.item === item) return;
  pane.item = item;
  pane.root.classList.toggle("reading", reading);
  const { image } = answer?.result ?? {};
  pane.told = { drawnBy: drawnBy(answer?.result), heat: heatTold(answer?.result), pixels: Math.max(image?.width ?? 0, image?.height ?? 0) };
  if (await pane.show(own, own ? "" : t(reading ? "view.waiting" : "view.none"))) redraw();
}

// A picture without layers; the same object for the same picture, so that the pane knows it.
function bare(item, picture) {
  if (!picture) return null;
  if (item.bare?.picture !== picture) item.bare = { picture };
  return item.bare;
}

function renderAnswer(item, models) {
  const host = byId("answer");
  const key = models.map(({ name }) => [name, item.answers.get(name)?.state]).join() + item.id + language() + Boolean(state.beside);
  const open = host.querySelector("details")?.open;
  if (host.dataset.key !== key) {
    host.dataset.key = key;
    sections = models.map((model) => {
      const answer = item.answers.get(model.name) ?? { state: "waiting" };
      const retry = () => readings.retry(item, model);
      return answerSection({ model, choice: choiceOf(model), item, answer, named: Boolean(state.beside), moved: pointMoved, retry });
    });
    host.replaceChildren(el("div", { class: "agreement", hidden: true }), ...sections.map(({ root }) => root), saving(item));
    if (open) host.querySelectorAll("details").forEach((details) => (details.open = true));
  }
  renderAgreement(item);
  announce(item);
}

function renderAgreement(item) {
  const host = document.querySelector(".agreement");
  const [one, other] = shownModels().map((model) => [model, item.answers.get(model.name)]);
  host.hidden = !other || one[1]?.state !== "done" || other[1]?.state !== "done" || !one[0].classifies || !other[0].classifies;
  if (host.hidden) return;
  const apart = differs({ item, decision: decisionOf(one[0], choiceOf(one[0]), one[1].result) });
  host.className = `agreement ${apart ? "apart" : "alike"}`;
  host.replaceChildren(icon(apart ? "differs" : "same"), el("p", {}, el("b", {}, t(apart ? "beside.disagree" : "beside.agree")), " ", t("beside.own")));
}

function announce(item) {
  const answer = item.answers.get(state.model.name);
  if (!answer || !["done", "refused"].includes(answer.state)) return;
  const said = spokenAnswer(state.model, choiceOf(state.model), item, answer);
  if (said !== state.told) byId("live").textContent = state.told = said;
}

function pointMoved() {
  const item = current();
  for (const section of sections) section.update();
  shownModels().forEach((model, at) => {
    renderHead(panes[at], model, item.answers.get(model.name));
  });
  renderAgreement(item);
  renderList();
  clearTimeout(pointMoved.later);
  pointMoved.later = setTimeout(() => announce(item), 250);
}

function redraw() {
  for (const pane of panes) pane.draw();
  const has = panes.map((pane) => pane.has).filter(Boolean);
  byId("tools").inert = !has.length;
  refreshTools(has.length ? { lungs: has.some(({ lungs }) => lungs), map: has.some(({ map }) => map) } : {});
  byId("panes").classList.toggle("windows", view.drag === "window");
  byId("panes").classList.toggle("fitted", view.zoom === 1 && view.drag === "move");
}

// What can be taken away

function saving(item) {
  const answer = item.answers.get(state.model.name);
  const told = el("p", { class: "small-print", role: "status" });
  const button = (key, does, pictogram = "save") => el("button", { type: "button", on: { click: does } }, icon(pictogram), t(key));
  const parts = [];
  if (answer?.state === "done") {
    const done = () => shownModels().map((model) => ({ model, choice: choiceOf(model), answer: item.answers.get(model.name) })).filter((one) => one.answer?.state === "done");
    parts.push(
      button("save.png", async () => save(`${stem(item.name)}-laennec.png`, await pictureBlob(panes[0], done()[0]))),
      button("save.json", () => save(`${stem(item.name)}-laennec.json`, answerJson(item, done()), "application/json")),
    );
    if (answer.result.image?.format === "DICOM") parts.push(button("save.dicom", () => objects(item, told)));
  }
  parts.push(
    button("save.csv", () => {
      const entries = ordered(readings.items, state.model, choiceOf(state.model));
      save("laennec-worklist.csv", worklistCsv(entries, state.model, choiceOf(state.model)), "text/csv");
    }),
    button("save.print", () => window.print(), "print"),
  );
  return el("section", { class: "saving" }, el("h3", {}, t("save.title")), el("div", { class: "buttons" }, ...parts), told);
}

async function objects(item, told) {
  const { rule, byHand } = choiceOf(state.model);
  told.textContent = t("save.making");
  try {
    const zip = await service.objects(item.file, { model: state.model.name, rule: state.model.classifies ? rule : null });
    save(`${stem(item.name)}-laennec.zip`, zip);
    told.textContent = byHand === null ? "" : t("save.dicom_frozen", { point: ruleName(rule) });
  } catch (error) {
    told.textContent = t("save.failed", { why: refusal(error).why });
  }
}

// What is said beside

function say(text, ...more) {
  const status = byId("status");
  status.hidden = !text;
  status.replaceChildren(text, ...more);
}

function rested(kind, seconds) {
  if (!kind) return say("");
  const now = el("button", { type: "button", class: "small", on: { click: () => service.wake() } }, t("retry_now"));
  // said once to those who hear it, then only counted
  byId("status").setAttribute("aria-live", byId("status").hidden ? "polite" : "off");
  say(t(kind, { n: number(seconds) }), " ", now);
}

function paintTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const dark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  byId("theme").setAttribute("aria-pressed", String(dark));
  return dark;
}

function renderWords() {
  document.documentElement.lang = language();
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  const other = LANGUAGES.find((lang) => lang !== language());
  Object.assign(byId("language"), { lang: other, textContent: { en: "English", fr: "Français" }[other] });
  for (const [id, key, pictogram] of [["theme", "theme.dark", "theme"], ["help", "help", "help"], ["add-folder", "pick.more_folder", "folder"]]) {
    byId(id).replaceChildren(icon(pictogram));
    byId(id).setAttribute("aria-label", t(key));
    byId(id).title = t(key);
  }
  byId("add").replaceChildren(icon("add"), t("pick.more"));
  byId("add").setAttribute("aria-label", t("pick.more_files"));
  refreshTools = tools(byId("tools"), view, redraw);
  state.told = "";
  renderModels();
  render();
  redraw();
}

function wire() {
  taking(come);
  byId("model").addEventListener("change", ({ target }) => take(state.models.find(({ name }) => name === target.value), state.beside));
  byId("beside").addEventListener("change", ({ target }) => take(state.model, state.models.find(({ name }) => name === target.value) ?? null));
  byId("language").addEventListener("click", () => {
    speak(byId("language").lang);
    remember("language", language());
    renderWords();
  });
  byId("theme").addEventListener("click", () => {
    const theme = byId("theme").getAttribute("aria-pressed") === "true" ? "light" : "dark";
    remember("theme", theme);
    paintTheme(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paintTheme(remembered("theme") ?? "auto"));
  byId("help").addEventListener("click", () => showKeys());
  byId("keys-close").addEventListener("click", () => byId("keys").close());
  byId("stop").addEventListener("click", () => service.drop());
  byId("remove").addEventListener("click", () => state.selected !== null && remove(state.selected));
  byId("clear").addEventListener("click", () => {
    readings.clear();
    state.selected = null;
    render();
    document.querySelector("[data-pick]").focus();
  });
  onPaper(() => {
    if (!state.model) return null;
    return { models: shownModels(), choiceOf, entries: ordered(readings.items, state.model, choiceOf(state.model)) };
  });
  byId("again").addEventListener("click", () => {
    for (const item of readings.failed(state.model)) readings.retry(item, state.model);
  });
}

speak(remembered("language") ?? navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => LANGUAGES.includes(tag)) ?? "en");
paintTheme(remembered("theme") ?? "auto");
wire();
renderWords();
begin();
