"""What a report says beside its figures: use, thresholds by name, audits, abstention, data, cost and provenance.

Everything is read from the bundle's card, the report, and what lies beside them; what is not known is told as such.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from laennec.card import Card
from laennec.checks import Audit
from laennec.costs import Consumption, Cost
from laennec.decisions import outcomes
from laennec.intervals import wilson
from laennec.page.checked import SYMBOLS, checked, listed, ordered
from laennec.page.report_plots import GRID, predictive_values, risk_coverage
from laennec.page.voice import Voice
from laennec.prevalence import predictive_values as predicted
from laennec.results import Report

_RULES = ("rule_out", "balanced", "rule_in")
_AFTER = ("test", "external", "shared")  # parts that no choice was made on
_ECE = 0.05  # from which a calibrated model is told not to be
_SUBGROUPS = "subgroups"  # the probe that looks for them


def parts(
    report: Report, card: Card | None, audits: Sequence[Audit], cost: Cost | None, voice: Voice
) -> dict[str, Any]:
    """What the page's parts beside the figures are made of. Left out are audits and costs of other bundles, and audits
    of other data, or of another split of them, than the bundle was made with.
    """
    seen = report if card is None else card.data
    of_model = [one for one in audits if one.of == "model" and one.bundle_digest == report.bundle_digest]
    of_data = [one for one in audits if one.covers(seen.collection_digest, seen.split_digest)]
    own = cost if cost is not None and cost.bundle_digest == report.bundle_digest else None
    found: dict[str, Any] = {"use": None, "points": [], "data": None, "costs": [], "chain": [], "card": card}
    if card is not None:
        found["use"] = _use(report, card, of_model, voice)
        found["points"] = _points(report, card)
        found["data"] = _data(card)
        found["costs"] = list(_costs(card, own, voice))
        found["chain"] = list(_chain(card, voice))
        found["recipe"] = json.dumps(card.recipe, indent=2, ensure_ascii=False)
    found["own_cost"] = own
    found["audits"] = [_audited(one, place, voice) for place, one in enumerate(of_model)]
    found["data_audits"] = [_audited(one, place, voice) for place, one in enumerate(of_data)]
    found["warned"] = list(_lost(report, card, voice))
    found["warned"] += [
        (anchor, voice(f"warned.{one.of}.{verdict}", titles=titles))
        for anchor, group in (("audited", of_model), ("data", of_data if card is not None else []))
        for one in group
        for verdict in ("fail", "warn")
        if (titles := listed([check.title.in_(voice.lang) for check in one.checks if check.verdict == verdict]))
    ]
    found["apart"] = "" if card is None else _apart(card, of_data, voice)
    found["symbols"] = SYMBOLS
    found["predictive"] = found["risk"] = ""
    if report.operating_point is not None:
        if report.prevalences:
            cells = outcomes(report.scores, report.truths, report.threshold)
            found["predictive"] = predictive_values(predicted(*cells, prevalences=GRID), voice)
        if report.abstention is not None:
            found["risk"] = risk_coverage(report.abstention, voice)
    return found


def _lost(report: Report, card: Card | None, voice: Voice) -> Iterator[tuple[str, str]]:
    """What validation promised and this part does not keep: rates beyond their intervals, calibration that is gone."""
    point = report.operating_point
    if point is None or report.part not in _AFTER:
        return
    for name in ("sensitivity", "specificity"):
        promised, here = getattr(point, name), report.metrics.get(name)
        if here is not None and here.value is not None and here.high is not None and promised > here.high:
            told = {"then": voice.percent(promised), "now": voice.percent(here.value)}
            yield "finding", voice(f"lost.{name}", interval=voice.interval(here, share=True), **told)
    error = report.metrics.get("ece")
    if card is not None and card.calibration is not None and error is not None and (error.low or 0.0) > _ECE:
        yield "finding", voice("lost.calibration", ece=voice.number(error.value))


def _use(report: Report, card: Card, audits: Sequence[Audit], voice: Voice) -> dict[str, list[str]]:
    """What the model is for, and what nothing here supports."""
    made: list[str] = []
    never: list[str] = [voice("use.no_care")]
    names, every = voice.names(card.labels.names), f" {voice('and')} ".join(card.labels.names)
    if card.classifies:
        kind = "one_of" if card.labels.exclusive else "each_of"
        made.append(voice(f"use.{kind}", finding=voice.names(card.labels.positive), labels=every))
        never.append(voice("use.no_others" if card.labels.exclusive else "use.no_other_answers", labels=names))
    if card.segments:
        made.append(voice("use.outlines"))
        if not card.classifies:
            never.append(voice("use.no_disease"))
    seen = {
        "images": voice.count(card.data.images.get("train")),
        "patients": voice.count(card.data.patients.get("train")),
    }
    made.append(voice("use.learned", collection=card.data.collection, **seen))
    if card.classifies and report.truths:
        share = voice.percent(report.positives / len(report.truths))
        made.append(voice("use.judged", share=share, images=voice.count(report.images)))
    made.append(voice("use.research"))
    if report.elsewhere:
        never.append(voice("use.no_third", collection=card.data.collection, other=report.collection))
    else:
        never.append(voice("use.no_elsewhere", collection=report.collection))
    grouped = [one.check(_SUBGROUPS) for one in audits]
    if not any(check is not None and check.verdict != "skipped" for check in grouped):
        never.append(voice("use.no_groups"))
    if card.classifies and card.novelty is None:
        never.append(voice("use.no_refusal"))
    return {"for": made, "not": never}


def _points(report: Report, card: Card) -> list[dict[str, Any]]:
    """Every operating point of the card with what it does to these images (Wilson, JASA 1927)."""
    rows = []
    used = report.operating_point
    for rule in sorted(card.operating_points, key=_RULES.index):
        point = card.operating_points[rule]
        if used is None or point.model_digest != used.model_digest:
            continue
        hits, missed, alarms, cleared = outcomes(report.scores, report.truths, point.threshold)
        rows.append(
            {
                "rule": rule,
                "point": point,
                "here": point.rule == used.rule,
                "sensitivity": wilson(hits, hits + missed),
                "specificity": wilson(cleared, alarms + cleared),
                "ppv": wilson(hits, hits + alarms),
                "npv": wilson(cleared, cleared + missed),
                "missed": missed,
                "alarms": alarms,
            }
        )
    return rows


def _data(card: Card) -> list[dict[str, Any]]:
    """Images and patients of each part the model was made with."""
    data = card.data
    return [
        {"part": part, "images": n, "patients": data.patients.get(part), "masks": data.masks.get(part)}
        for part, n in data.images.items()
    ]


def _apart(card: Card, audits: Sequence[Audit], voice: Voice) -> str:
    """What is known of patients and parts: that loading refuses a split that straddles, and what the audit found."""
    told = [voice("data_apart", digest=card.data.split_digest[:12])]
    for audit in audits:
        check = audit.check("patients")
        if check is not None and check.verdict != "skipped":
            verdict, said = voice(f"audit.verdict.{check.verdict}"), check.said[0].in_(voice.lang)
            told.append(voice("data_apart_audited", verdict=str(verdict).lower(), said=said))
    return voice.joined(told)


def _audited(audit: Audit, place: int, voice: Voice) -> dict[str, Any]:
    key = f"in{audit.of}{place}"
    shown = [checked(check, voice, f"{key}{check.name}{at}") for at, check in enumerate(ordered(audit))]
    return {"audit": audit, "checks": shown}


def _costs(card: Card, cost: Cost | None, voice: Voice) -> Iterator[tuple[str, str]]:
    """Facts about cost, as (name, sentence); what was not measured is told so."""
    seen = card.training
    values = {
        "epochs": voice.count(seen.epochs),
        "kept": voice.count(seen.kept_epoch),
        "threads": voice.count(seen.threads),
    }
    time = duration(seen.seconds, voice)
    yield voice("cost.training"), voice("cost.training_text", time=time, hardware=seen.hardware, **values)
    yield voice("cost.energy"), used(seen.energy, voice)
    size = sum(seal.bytes for seal in card.files.values()) / 1e6
    fields = {"parameters": voice.count(card.parameters), "megabytes": voice.significant(size)}
    yield voice("cost.size"), voice("cost.size_text", **fields)
    yield voice("cost.inference"), used(cost.inference if cost else None, voice)
    one = next((t for t in cost.timings if t.batch == 1 and t.backend == cost.backend), None) if cost else None
    if cost is None or one is None:
        yield voice("cost.timing"), voice("not_measured")
        return
    yield (
        voice("cost.timing"),
        voice(
            "cost.timing_text", ms=voice.significant(one.milliseconds), p95=voice.significant(one.milliseconds_p95),
            backend=one.backend, precision=one.precision, threads=voice.count(one.threads), hardware=cost.hardware,
        ),
    )  # fmt: skip
    if cost.peak_megabytes is not None:
        yield voice("cost.memory"), voice("cost.memory_text", megabytes=voice.significant(cost.peak_megabytes))
    if cost.letter:
        yield voice("cost.letter"), cost.letter


def used(energy: Consumption | None, voice: Voice) -> str:
    """Energy and emissions with how they came about, or that nobody measured them."""
    if energy is None:
        return voice("not_measured")
    grid = energy.grid
    return voice(
        "cost.energy_text", wh=voice.significant(energy.watt_hours), grams=voice.significant(energy.grams),
        place=voice("place.world") if grid.place == "world" else grid.place, year=grid.year, label=voice.label(energy),
    )  # fmt: skip


def duration(seconds: float, voice: Voice) -> str:
    """Seconds in the unit that suits them."""
    if seconds < 120:
        return voice("seconds_of", n=voice.significant(seconds, 2))
    if seconds < 7200:
        return voice("minutes_of", n=voice.significant(seconds / 60, 2))
    return voice("hours_of", n=voice.significant(seconds / 3600, 2))


def _chain(card: Card, voice: Voice) -> Iterator[tuple[str, str, bool]]:
    """Facts about where the bundle comes from, as (name, text, whether it is a digest)."""
    how = [card.preprocess.resize, *(["equalised"] if card.preprocess.equalise else [])]
    how += [f"frame {card.preprocess.frame}"] if card.preprocess.frame != "whole" else []
    yield voice("architecture"), card.model.name, False
    size = card.preprocess.size
    yield voice("preprocessing"), voice("preprocessing_text", size=size, how=", ".join(how)), False
    yield voice("starting_weights"), card.starting_weights, False
    if card.parent:
        yield voice("digest.parent"), card.parent, True
    gate = card.gate
    if gate is not None and gate.flipped is not None:
        told = voice(
            "gate.passed" if gate.passed else "gate.failed", flipped=voice.percent(gate.flipped),
            n=voice.count(gate.images), before=voice.number(gate.auroc_parent), after=voice.number(gate.auroc),
        )  # fmt: skip
        yield voice("gate"), told, False
    if card.training.teacher:
        yield voice("digest.teacher"), card.training.teacher, True
    for member in card.ensemble.members if card.ensemble else ():
        yield voice("digest.member", name=member.name), member.digest, True
    yield voice("trained_with"), f"laennec {card.laennec}, {card.made}", False
