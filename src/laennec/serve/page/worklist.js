// The worklist: what wants to be looked at stands first. A listbox: one stop of the Tab key, arrows within.
import { decisionOf, verdictOf } from "./answer.js";
import { TIERS, tier } from "./decide.js";
import { byId, el, icon } from "./dom.js";
import { refusal, scored, t } from "./speech.js";

const GROUP = { review: "group.review", positive: "group.positive", rest: "group.rest", outlined: "group.outlined", waiting: "group.waiting", refused: "group.refused" };

// Every item with its answer, decision and group, the most urgent first.
export function ordered(items, model, choice) {
  const entries = items.map((item) => {
    const answer = item.answers.get(model.name);
    const decision = answer?.state === "done" ? decisionOf(model, choice, answer.result) : null;
    return { item, answer, decision, tier: tier(answer, decision ?? {}) };
  });
  const score = (entry) => entry.answer?.result?.score ?? -1;
  return entries.sort(
    (a, b) => TIERS.indexOf(a.tier) - TIERS.indexOf(b.tier) || score(b) - score(a) || a.item.id - b.item.id,
  );
}

export class Worklist {
  // `selected()` names the item looked at, `chosen(id)` and `removed(id)` are called for what a person does.
  constructor(selected, chosen, removed) {
    this.host = byId("rows");
    this.order = [];
    this.shown = null;
    Object.assign(this, { selected, chosen, removed });
    this.host.addEventListener("keydown", (event) => this.pressed(event));
    this.host.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) chosen(Number(row.dataset.id), true);
    });
  }

  // Entries as of `ordered`; `differs` tells whether a second model decides otherwise.
  show(entries, model, differs) {
    this.order = entries.map(({ item }) => item.id);
    const selected = this.selected();
    const moved = selected !== this.shown;
    this.shown = selected;
    const groups = TIERS.map((name) => [name, entries.filter((entry) => entry.tier === name)]).filter(([, some]) => some.length);
    this.host.replaceChildren(...groups.map(([name, some]) =>
      el(
        "div", { role: "group", "aria-label": t(GROUP[name]), class: `tier ${name}` },
        el("div", { class: "tier-name", "aria-hidden": "true" }, t(GROUP[name]), el("span", {}, String(some.length))),
        ...some.map((entry) => this.row(entry, model, differs(entry))),
      ),
    ));
    if (selected === null) this.host.removeAttribute("aria-activedescendant");
    else this.host.setAttribute("aria-activedescendant", `row-${selected}`);
    if (moved) this.reveal(byId(`row-${selected}`));
  }

  // Within the list alone: the page stays where it is.
  reveal(row) {
    if (!row) return;
    const [inner, outer] = [row.getBoundingClientRect(), this.host.getBoundingClientRect()];
    if (inner.top < outer.top) this.host.scrollTop -= outer.top - inner.top;
    else if (inner.bottom > outer.bottom) this.host.scrollTop += inner.bottom - outer.bottom;
  }

  row({ item, answer, decision }, model, differs) {
    const state = answer?.state ?? "waiting";
    const verdict = decision ? verdictOf(decision) : state === "refused" ? "refused" : "waiting";
    const lines = [el("span", { class: `row-verdict ${verdict}` }, icon(verdict), this.words(state, decision, answer))];
    if (decision?.refer) lines.push(el("span", { class: "row-verdict person" }, icon("refer"), t("row.refer")));
    if (differs) lines.push(el("span", { class: "row-verdict differs" }, icon("differs"), t("row.differs")));
    const score = decision && decision.positive !== null ? scored(model, answer.result.score) : "";
    const thumb = item.thumb ?? el("span", { class: "thumb" }, icon(verdict));
    return el(
      "div",
      { role: "option", id: `row-${item.id}`, "aria-selected": String(item.id === this.shown), data: { id: item.id }, class: "row" },
      thumb,
      el("span", { class: "row-text" }, el("span", { class: "row-name", title: item.name }, item.name), ...lines),
      el("span", { class: "row-score" }, score),
    );
  }

  words(state, decision, answer) {
    if (decision) return t(`row.${verdictOf(decision)}`);
    if (state === "refused") return refusal(answer.error).short;
    return t(`row.${state}`);
  }

  pressed(event) {
    if (!this.order.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.order.indexOf(this.selected());
    const last = this.order.length - 1;
    const to = { ArrowDown: Math.min(last, at + 1), ArrowUp: Math.max(0, at - 1), Home: 0, End: last }[event.key];
    if (to !== undefined) this.chosen(this.order[to]);
    else if (event.key === "Delete" && this.selected() !== null) this.removed(this.selected());
    else return;
    event.preventDefault();
  }
}
