// The answer in words and numbers, of one model: verdict, score against threshold, operating point, lungs, details.
import { decided } from "./decide.js";
import { el, icon } from "./dom.js";
import { counted, doubt, listed, number, percent, refusal, ruleName, scored, t } from "./speech.js";
import { FINAL } from "./refusals.js";
import { WORDS } from "./words.js";

export const finding = (model) => listed(model.positive);
export const what = (model) => t(model.calibrated ? "score.calibrated" : "score.raw");

// The threshold in force, and whether it is one that was frozen with the model.
export function pointOf(model, choice) {
  const frozen = model.operating_points[choice.rule];
  const byHand = choice.byHand !== null && choice.byHand !== undefined;
  return { rule: choice.rule, frozen, threshold: byHand ? choice.byHand : frozen?.threshold, byHand };
}

export function decisionOf(model, choice, result) {
  return decided(model, result, pointOf(model, choice).threshold);
}

// `positive`, `negative` or `outlined`: a state's name, its pictogram and its colour.
export const verdictOf = (decision) => (decision.positive === null ? "outlined" : decision.positive ? "positive" : "negative");

export function verdictWords(model, decision, result) {
  const review = decision.refer ? t("answer.review") : "";
  if (decision.positive === null) return t(result.lungs?.share ? "answer.outlined" : "answer.no_lungs") + review;
  return t(decision.positive ? "answer.positive" : "answer.negative", { finding: finding(model) }) + review;
}

// Why a person should decide, a sentence each.
export function reasons(model, decision, result) {
  return decision.because.map((code) => {
    if (code === "uncertain") {
      const possible = (result.possible ?? []).map((label) => label || t("refer.absent", { finding: finding(model) }));
      if (possible.length > 1) return t("refer.uncertain", { possible: listed(possible) });
      return possible.length ? t("refer.uncertain_other", { possible: possible[0] }) : t("refer.uncertain_none");
    }
    if (code === "unlike") {
      if (typeof result.strangeness !== "number") return t("refer.unlike_plain");
      const values = { strangeness: number(result.strangeness, 2), level: percent(model.novelty_level ?? 0, 0) };
      return t(model.novelty_level ? "refer.unlike_level" : "refer.unlike", values);
    }
    return result.doubt ? "" : refusal({ code }).short;
  }).filter(Boolean);
}

export function intended(model) {
  const said = (model.intended ?? "").replace(WORDS.notice[0], "").trim();
  return said === WORDS["about.intended_for"][0] ? t("about.intended_for") : said;
}

export const trainedOn = ({ trained_on: on }) =>
  on && t("about.trained_on", { collection: on.collection, images: number(on.images), patients: number(on.patients) });

const list = (rows) => el("dl", {}, ...rows.flatMap(([key, value]) => {
  const wide = key === "facts.notes" ? "wide" : "";
  return [el("dt", { class: wide }, t(key)), el("dd", { class: wide }, value)];
}));

// What a model was trained on, with the data set's own notes as they stand.
function training(model) {
  const notes = model.trained_on?.notes ?? [];
  const told = notes.length && el("ul", { class: "notes", lang: "en" }, ...notes.map((note) => el("li", {}, note)));
  return [["facts.trained", trainedOn(model)], ["facts.notes", told], ["facts.intended", intended(model)]];
}

// One sentence for those who hear the page.
export function spokenAnswer(model, choice, item, answer) {
  const heard = (said) => t("answer.heard", { name: item.name, said });
  if (answer.state === "refused") return `${heard(t("answer.refused"))} ${refusal(answer.error).why}`;
  const decision = decisionOf(model, choice, answer.result);
  const parts = [heard(verdictWords(model, decision, answer.result))];
  if (decision.refer) parts.push(`${t("refer.title")}. ${reasons(model, decision, answer.result).join(" ")}`);
  if (decision.positive !== null) parts.push(comparison(model, choice, answer.result, decision));
  if (decision.positive !== null && pointOf(model, choice).byHand) parts.push(t("answer.heard_by_hand"));
  return parts.join(" ");
}

function comparison(model, choice, result, decision) {
  const threshold = scored(model, pointOf(model, choice).threshold);
  const values = { what: what(model), score: scored(model, result.score), threshold };
  return t(decision.positive ? "answer.at_or_above" : "answer.below", values);
}

// The verdict in one line, as it stands over a picture.
export function verdictChips(model, choice, answer) {
  const chip = (kind, ...said) => el("span", { class: `chip ${kind}` }, icon(kind === "person" ? "refer" : kind), ...said);
  if (answer?.state === "refused") return [chip("refused", t("answer.refused"))];
  if (answer?.state !== "done") return [chip("waiting", t("answer.waiting"))];
  const decision = decisionOf(model, choice, answer.result);
  const score = decision.positive === null ? "" : el("b", {}, scored(model, answer.result.score));
  const first = chip(verdictOf(decision), verdictWords(model, decision, answer.result), score);
  return decision.refer ? [chip("person", t("refer.title")), first] : [first];
}

// Fills a section of the panel; the result brings it in line with the threshold, which `moved(choice)` changes.
export function answerSection({ model, choice, item, answer, named, moved, retry }) {
  const root = el("article", { class: "reading", "aria-label": model.name });
  if (named) root.append(el("h3", { class: "by" }, model.name));
  if (answer.state !== "done") {
    root.append(...notRead(answer, retry));
    return { root, update: () => {} };
  }
  const { result } = answer;
  const verdict = el("div", { class: "verdict" });
  const refer = el("div", { class: "refer", role: "note" });
  const set = (rule, byHand) => {
    Object.assign(choice, { rule, byHand });
    moved();
  };
  const bar = model.classifies ? scoreBar(model, choice, result, set) : null;
  const point = bar && pointControl(model, choice, set, bar.slider);
  const away = outside(result) ? el("p", { class: "warned" }, icon("positive"), t("facts.map", { told: heatTold(result) })) : null;
  const lungs = lungsOf(result);
  // what a person should do stands before what the model says
  root.append(refer, verdict, ...[bar?.root, point?.root, away, lungs, facts(model, item, answer)].filter(Boolean));

  const update = () => {
    const decision = decisionOf(model, choice, result);
    const state = verdictOf(decision);
    verdict.className = `verdict ${state}`;
    const byHand = model.classifies && pointOf(model, choice).byHand;
    verdict.replaceChildren(
      icon(state),
      el(
        "div", {},
        el("p", { class: "words" }, verdictWords(model, decision, result)),
        byHand ? el("p", { class: "by-hand" }, t("answer.by_hand")) : "",
        decision.positive === null ? "" : el("p", { class: "numbers" }, comparison(model, choice, result, decision)),
        decision.positive === false ? el("p", { class: "small-print" }, t("answer.negative_note")) : "",
      ),
    );
    root.classList.toggle("referred", decision.refer);
    refer.hidden = !decision.refer && !result.doubt;
    refer.replaceChildren(icon("refer"), el(
      "div", {},
      el("p", { class: "words" }, t(decision.refer ? "refer.title" : "doubt.title")),
      ...reasons(model, decision, result).map((why) => el("p", {}, why)),
      result.doubt ? el("p", {}, t("refer.gate", { why: doubt(result.doubt) })) : "",
    ));
    bar?.update(decision);
    point?.update();
  };
  update();
  return { root, update };
}

function notRead(answer, retry) {
  if (answer.state === "refused") {
    const { why, mend } = refusal(answer.error);
    const again = el("p", {}, el("button", { type: "button", on: { click: retry } }, t("retry")));
    return [
      el("div", { class: "verdict refused" }, icon("refused"), el("div", {}, el("p", { class: "words" }, t("answer.refused")), el("p", { class: "numbers" }, why))),
      el("p", { class: "mend" }, mend),
      ...(FINAL.has(answer.error.code) ? [] : [again]),
    ];
  }
  const said = { reading: "answer.waiting", waiting: "answer.queued", stopped: "answer.stopped" }[answer.state];
  const parts = [el("div", { class: "verdict waiting" }, icon("waiting"), el("p", { class: "words" }, t(said)))];
  if (answer.state === "stopped") parts.push(el("p", {}, el("button", { type: "button", on: { click: retry } }, t("retry"))));
  return parts;
}

// The score on a bar, the threshold as a mark on it and as a slider under it.
function scoreBar(model, choice, result, set) {
  const fill = el("div", { class: "fill" });
  const mark = el("div", { class: "mark" });
  const track = el("div", { class: "track", role: "img" }, fill, mark);
  const limit = el("span", {});
  const slider = el("input", { type: "range", min: 0, max: 1, step: 0.001, class: "threshold", "aria-label": t("point.slider") });
  slider.addEventListener("input", () => set(choice.rule, Number(slider.value)));
  const ticks = Object.entries(model.operating_points).map(([rule, point]) => {
    const tick = el("i", { title: ruleName(rule) });
    tick.style.left = `${100 * point.threshold}%`;
    return tick;
  });
  const root = el(
    "div", { class: "scale" },
    el("p", { class: "scale-words" }, el("span", {}, what(model), " ", el("b", {}, scored(model, result.score))), limit),
    track,
    el("p", { class: "slider-name", "aria-hidden": "true" }, t("point.slider")),
    el("div", { class: "slider" }, slider, el("div", { class: "ticks", "aria-hidden": "true" }, ...ticks)),
    model.calibrated ? "" : el("p", { class: "small-print" }, t("score.raw_note")),
  );
  const update = (decision) => {
    const { threshold, byHand } = pointOf(model, choice);
    const values = { what: what(model), score: scored(model, result.score), threshold: scored(model, threshold) };
    const verdict = verdictOf(decision);
    fill.style.width = `${100 * result.score}%`;
    fill.className = `fill ${verdict}`;
    mark.style.left = `${100 * threshold}%`;
    limit.replaceChildren(t("point.threshold"), " ", el("b", {}, values.threshold));
    track.setAttribute("aria-label", t("score.bar", values));
    slider.value = threshold;
    slider.setAttribute("aria-valuetext", t("point.slider_value", { threshold: values.threshold, verdict: t(`row.${verdict}`) }));
    root.classList.toggle("by-hand", byHand);
  };
  return { root, slider, update };
}

// The points frozen with the model, and what is known of the one in force.
function pointControl(model, choice, set, slider) {
  const names = Object.entries(model.operating_points).map(([rule, point]) => {
    const take = () => set(rule, null);
    const input = el("input", { type: "radio", name: `point-${model.name}`, value: rule, on: { change: take, click: take } });
    const said = el("span", {}, ruleName(rule), el("small", {}, scored(model, point.threshold)));
    return { input, root: el("label", { class: "pill" }, input, said) };
  });
  const told = el("p", { class: "point-figures" });
  const give = () => {
    set(choice.rule, null);
    slider.focus();
  };
  const back = el("button", { type: "button", class: "small", on: { click: give } });
  const root = el(
    "fieldset", { class: "point" },
    el("legend", {}, t("point.title")), el("div", { class: "pills" }, ...names.map((name) => name.root)), told, back,
  );
  const update = () => {
    const { rule, byHand, frozen, threshold } = pointOf(model, choice);
    names.forEach(({ input }) => (input.checked = !byHand && input.value === rule));
    root.classList.toggle("by-hand", byHand);
    const name = ruleName(rule);
    back.hidden = !byHand;
    back.textContent = t("point.back", { point: name });
    if (byHand) {
      told.textContent = t("point.moved", { threshold: scored(model, threshold), point: name, frozen: scored(model, frozen.threshold) });
      return;
    }
    const figures = { n: number(frozen.n), sensitivity: percent(frozen.sensitivity), specificity: percent(frozen.specificity) };
    const why = WORDS[`point.${rule}.why`] ? `${t("point.named", { point: name, why: t(`point.${rule}.why`) })} ` : "";
    told.replaceChildren(why + t("point.figures", figures), worse(model, rule));
  };
  return { root, update };
}

// Where a point does not do on this model what its name promises.
function worse(model, rule) {
  const { balanced } = model.operating_points;
  const figure = { rule_out: "sensitivity", rule_in: "specificity" }[rule];
  if (!figure || !balanced || !(model.operating_points[rule][figure] < balanced[figure])) return "";
  return el("b", { class: "warned" }, t(`point.${rule}.worse`, { point: ruleName("balanced") }));
}

const outside = (result) => typeof result.map_inside_lungs === "number" && result.map_inside_lungs < 0.5;

// What the heat map is worth.
export function heatTold(result) {
  if (typeof result?.map_inside_lungs !== "number") return t("heat.plain");
  return t(outside(result) ? "heat.outside" : "heat.inside", { share: percent(result.map_inside_lungs, 0) });
}

// Who drew the lungs; nothing where the service does not say.
export const drawnBy = (result) => (result?.lungs_by ? t(`lungs.by.${result.lungs_by}`) : "");

function lungsOf({ lungs, lungs_by: by }) {
  if (!lungs) return null;
  const row = (name, lung) => {
    const area = lung.square_centimetres === null || lung.square_centimetres === undefined
      ? "" : t("lungs.area", { area: number(lung.square_centimetres) });
    const swatch = name === "both" ? "" : el("i", { class: `swatch ${name}` });
    return el("tr", {}, el("th", { scope: "row" }, swatch, t(`lungs.${name}`)), el("td", {}, t("lungs.share", { share: percent(lung.share) })), el("td", {}, area));
  };
  return el(
    "section", { class: "lungs" },
    el("h3", {}, t("lungs.title")),
    el("table", {}, el("tbody", {}, row("right", lungs.right), row("left", lungs.left), row("both", lungs))),
    el("p", { class: "small-print" }, t("lungs.side"), " ", t(by === "frame" ? "lungs.check_frame" : "lungs.check")),
    lungs.doubt ? el("p", { class: "warned" }, t("lungs.doubt", { why: doubt(lungs.doubt) })) : "",
  );
}

function facts(model, item, { result }) {
  const labels = Object.entries(result.probabilities ?? {});
  const { image = {}, timings_ms: times } = result;
  const rows = [
    ...training(model),
    ["facts.file", item.name],
    ["facts.picture", pictureFacts(image)],
    ["facts.labels", labels.map(([label, chance]) => `${label} ${scored(model, chance)}`).join(" · ")],
    ["facts.strangeness", typeof result.strangeness === "number" ? t("facts.strangeness_value", { n: number(result.strangeness, 2) }) : ""],
    ["facts.model", model.name],
    ["facts.digest", (result.bundle_digest ?? "").slice(0, 16)],
    ["facts.time", times ? t("facts.time_value", { total: number(times.total, 1), model: number(times.model, 1) }) : ""],
    ["facts.request", result.request_id],
  ].filter(([, value]) => value);
  const at = rows.findIndex(([key]) => key === "facts.file");
  return el("div", { class: "facts" }, list(rows.slice(0, at)), el("details", {}, el("summary", {}, t("facts.title")), list(rows.slice(at))));
}

// Format, size and what was done to it, as it stands over the picture.
export function pictureFacts(image) {
  const parts = [image.format, image.width && t("view.size", { width: image.width, height: image.height }), image.view];
  if (String(image.photometric ?? "").startsWith("MONO")) parts.push(image.photometric);
  if (image.inverted) parts.push(t("view.inverted"));
  if (image.mirrored) parts.push(t("view.mirrored"));
  return parts.filter(Boolean).join(" · ");
}

// What a model is, before it has answered anything.
export function about(model) {
  const said = model.classifies ? (model.segments ? "about.both" : "about.decides") : "about.outlines";
  const rows = [
    ...training(model),
    ["about.digest", model.digest?.slice(0, 16)],
  ].filter(([, value]) => value);
  return el(
    "section", { class: "about" },
    el("h3", {}, model.name),
    el("p", {}, t(said, { finding: model.classifies ? finding(model) : "" }), "."),
    model.refers ? el("p", {}, t("about.refers"), ".") : "",
    list(rows),
  );
}

// How many of each, and of these how many a person should review: `[[name, count, to review]]`.
export const tally = (counts) =>
  counts.filter(([, n]) => n).map(([name, n, review]) => counted(`tally.${name}`, n) + (review ? ` (${counted("tally.referred", review)})` : ""));
