"""The model card and the data sheet of a bundle: only what was measured or declared, each value with its source.

After Mitchell et al., Model Cards for Model Reporting, 2019 (arXiv:1810.03993), and Gebru et al., Datasheets for
Datasets, 2021 (arXiv:1803.09010). Every value stands word for word, or figure for figure, at the place its source
names: a file and a JSON pointer into it (RFC 6901). What nobody measured or stated is None, and told so. An entry's
name is made of words and, after ``=``, of names that stand as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from laennec.card import Card
from laennec.checks import Audit
from laennec.costs import Cost
from laennec.estimates import Estimate
from laennec.page.checked import written
from laennec.page.document_words import CARD_WORDS
from laennec.page.voice import LANGUAGES, Language, Voice
from laennec.page.words import WORDS
from laennec.results import Report
from laennec.version import VERSION

CARD, REPORT, COST = "card.json", "report.json", "cost.json"
STATED = "laennec"  # source of a sentence that holds for every model, and bears no figure
Source = tuple[str, str]  # file, pointer
Row = tuple[str, Source]  # key of the name, source


def sources(
    card: Card, report: Report, audits: Sequence[Audit] = (), cost: Cost | None = None
) -> dict[str, dict[str, Any]]:
    """What the documents are made of, by the name entries call it: the files' contents as they are written."""
    files = {CARD: card.model_dump(mode="json"), REPORT: report.model_dump(mode="json")}
    for audit in audits:
        files[f"audit-{audit.part or 'data'}/audit.json"] = audit.model_dump(mode="json")
    if cost is not None:
        files[COST] = cost.model_dump(mode="json")
    return files


def at(files: dict[str, dict[str, Any]], file: str, pointer: str) -> Any:
    """What stands at a JSON pointer; None where nothing does. ``#`` as its last part counts what it leads to."""
    found: Any = files.get(file)
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if key == "#" and isinstance(found, list | dict):
            found = len(found)
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            return None
    return found


def _step(name: object) -> str:
    return "/" + str(name).replace("~", "~0").replace("/", "~1")


def model_card(card: Card, report: Report, audits: Sequence[Audit] = (), cost: Cost | None = None) -> dict[str, Any]:
    """The model card as JSON: sections of entries, each with ``name`` (en, fr), ``value`` and ``source``.

    Args:
        card: of the bundle the report is on.
        audits: of this model and of the data; those of another model are left out.
        cost: of this bundle; another's is left out.
    """
    audits = [a for a in audits if a.of == "data" or a.bundle_digest == report.bundle_digest]
    cost = cost if cost is not None and cost.bundle_digest == report.bundle_digest else None
    files = sources(card, report, audits, cost)
    own = {f"audit-{a.part}/audit.json": a for a in audits if a.of == "model"}
    sections: dict[str, Sequence[Row]] = {
        "details": [
            *_of(CARD, "name", "task", "laennec", "made", "parameters", "backend", "starting_weights"),
            ("number_format", (CARD, "/precision")),
            ("architecture", (CARD, "/model/name")),
            ("preprocess_size", (CARD, "/preprocess/size")),
            ("resize", (CARD, "/preprocess/resize")),
            *(_of(CARD, "parent") if card.parent else ()),
            *([("teacher", (CARD, "/training/teacher"))] if card.training.teacher else ()),
            *_of(REPORT, "bundle_digest"),
        ],
        "use": [
            ("labels", (CARD, "/labels/names")),
            ("positive", (CARD, "/labels/positive")),
            *_stated("purpose", "no_care", "no_others"),
        ],
        "factors": [("notes", (CARD, "/data/notes")), *_subgroups(own)],
        "metrics": [
            *_of(CARD, "decision"),
            *_under(CARD, "operating_points", card.operating_points, ("threshold", "sensitivity", "specificity", "n")),
            *_calibrated(card),
        ],
        "evaluation": [
            *_of(REPORT, "collection", "part", "images", "patients", "positives", "split_how", "licence", "citation"),
            ("refused", (REPORT, "/refused/#")),
            *_of(REPORT, "collection_digest", "split_digest"),
        ],
        "training": _training(card),
        "analyses": list(_analyses(report)),
        "audits": list(_audits(own)),
        "cost": list(_cost(card, cost)),
        "ethics": [*_stated("patients_data", "unknown_consent"), ("notes", (REPORT, "/notes"))],
    }
    return _document("model_card", sections, files)


def data_sheet(card: Card, report: Report, audits: Sequence[Audit] = ()) -> dict[str, Any]:
    """The data sheet of what the model was made with, and of the images it was judged on, as JSON like `model_card`'s.

    Audits of other data than it was made with, or of another split of them, are left out.
    """
    audits = [a for a in audits if a.covers(card.data.collection_digest, card.data.split_digest)]
    files = sources(card, report, audits)
    here = f"={report.collection}\t{report.part}"
    sections: dict[str, Sequence[Row]] = {
        "motivation": [("why_made", (CARD, "/data/purpose")), ("funded", (CARD, "/data/funding"))],
        "composition": [
            ("collection", (CARD, "/data/collection")),
            ("labels", (CARD, "/labels/names")),
            *_parts(card),
            ("notes", (CARD, "/data/notes")),
        ],
        "judged": [
            *_of(REPORT, "collection", "part", "images", "patients"),
            *(
                (f"{here}\tlabel\t={one.label}", (REPORT, f"/per_class/{i}/n"))
                for i, one in enumerate(report.per_class)
            ),
            (f"{here}\trefused", (REPORT, "/refused/#")),
        ],
        "collecting": [("acquired", (CARD, "/data/acquisition")), ("consent", (CARD, "/data/consent"))],
        "preparing": [
            ("preprocess_size", (CARD, "/preprocess/size")),
            ("resize", (CARD, "/preprocess/resize")),
            ("split_how", (CARD, "/data/split_how")),
            *_stated("apart"),
        ],
        "uses": _stated("data_use", "no_care"),
        "distribution": [("licence", (CARD, "/data/licence")), ("citation", (CARD, "/data/citation"))],
        "maintenance": [
            ("collection_digest", (CARD, "/data/collection_digest")),
            ("split_digest", (CARD, "/data/split_digest")),
            *((f"part\t{part}", (CARD, "/data/files" + _step(part))) for part in card.data.files),
        ],
        "data_audits": list(_audits({f"audit-{a.part or 'data'}/audit.json": a for a in audits})),
    }
    return _document("data_sheet", sections, files)


def _of(file: str, *keys: str) -> list[Row]:
    return [(key, (file, _step(key))) for key in keys]


def _stated(*keys: str) -> list[Row]:
    return [(f"stated.{key}", (STATED, "")) for key in keys]


def _under(file: str, top: str, names: Iterable[str], keys: Iterable[str]) -> Iterator[Row]:
    for name in names:
        for key in keys:
            yield f"{name}\t{key}", (file, _step(top) + _step(name) + _step(key))


def _calibrated(card: Card) -> list[Row]:
    rows: list[Row] = [("temperature", (CARD, "/temperature"))]
    if card.calibration is not None:
        rows.append(("calibration", (CARD, "/calibration/method")))
    if card.abstention is not None:
        rows.append(("coverage", (CARD, "/abstention/coverage")))
    return rows


def _parts(card: Card) -> list[Row]:
    rows: list[Row] = []
    for part in card.data.images:
        rows += [(f"{kind}\t{part}", (CARD, f"/data/{kind}{_step(part)}")) for kind in ("images", "patients")]
        if part in card.data.masks:
            rows.append((f"masks\t{part}", (CARD, f"/data/masks{_step(part)}")))
    return rows


def _training(card: Card) -> list[Row]:
    rows: list[Row] = [(key, (CARD, f"/data/{key}")) for key in ("collection", "licence", "citation")]
    rows += _parts(card)
    rows += [(key, (CARD, f"/training/{key}")) for key in ("epochs", "kept_epoch", "seconds", "hardware", "threads")]
    return rows


def _analyses(report: Report) -> Iterator[Row]:
    for name in report.metrics:
        yield f"metric.{name}", (REPORT, "/metrics" + _step(name))
    for place, one in enumerate(report.per_class):
        for key in ("precision", "recall", "f1", "auroc"):
            yield f"={one.label}\t{key}", (REPORT, f"/per_class/{place}/{key}")
    for name in report.segmentation.mean if report.segmentation else ():
        yield f"masks\t{name}", (REPORT, "/segmentation/mean" + _step(name))
    if report.abstention is not None:
        for key in ("referred", "error", "error_all", "error_referred", "aurc"):
            yield f"abstention\t{key}", (REPORT, f"/abstention/{key}")
    for place, _ in enumerate(report.prevalences):
        for key in ("prevalence", "ppv", "npv"):
            yield f"prevalence\t={place + 1}\t{key}", (REPORT, f"/prevalences/{place}/{key}")


def _subgroups(audits: dict[str, Audit]) -> Iterator[Row]:
    found = False
    for file, audit in audits.items():
        for place, check in enumerate(audit.checks):
            if check.name == "subgroups":
                found = True
                yield "subgroups", (file, f"/checks/{place}/said")
    if not found:
        yield "subgroups", (REPORT, "/subgroups")


def _audits(audits: dict[str, Audit]) -> Iterator[Row]:
    for file, audit in audits.items():
        for place, check in enumerate(audit.checks):
            base = f"/checks/{place}"
            yield f"={check.name}\tverdict", (file, f"{base}/verdict")
            yield f"={check.name}\tsaid", (file, f"{base}/said")
            for name in check.figures:
                yield f"={check.name}\t={name}", (file, f"{base}/figures{_step(name)}")
            if check.suspects:
                yield f"={check.name}\tsuspects", (file, f"{base}/suspects/#")
            for kind in check.withheld:
                yield f"={check.name}\tsuspects\tsuspect.{kind}", (file, f"{base}/withheld{_step(kind)}")
    if not audits:
        yield "audit", (REPORT, "/audit")


def _cost(card: Card, cost: Cost | None) -> Iterator[Row]:
    for place, reading in enumerate(card.training.energy.readings if card.training.energy else ()):
        base = f"/training/energy/readings/{place}"
        told = f"training\t={reading.meter}, {reading.device}"
        yield f"{told}\tjoules", (CARD, f"{base}/joules")
        yield f"{told}\tkind", (CARD, f"{base}/kind")
        yield f"{told}\terror_of", (CARD, f"{base}/error")
    if card.training.energy is None:
        yield "training_energy", (CARD, "/training/energy")
    for key in ("megabytes", "operations", "peak_megabytes", "watt_hours", "grams", "letter"):
        yield key, (COST, _step(key))
    for place, timing in enumerate(cost.timings if cost else ()):
        told = f"={timing.backend} {timing.precision}, {timing.threads} × {timing.batch}"
        yield f"milliseconds\t{told}", (COST, f"/timings/{place}/milliseconds")
    if cost is None:
        yield "latency", (COST, "/timings/0/milliseconds")


def _name(key: str) -> dict[str, str]:
    if key in CARD_WORDS:
        return dict(zip(LANGUAGES, CARD_WORDS[key], strict=True))
    if key in WORDS:
        return dict(zip(LANGUAGES, WORDS[key], strict=True))
    parts = [_word(part) for part in key.split("\t")]
    return {lang: " · ".join(part[i] for part in parts if part[i]) for i, lang in enumerate(LANGUAGES)}


def _word(part: str) -> tuple[str, str]:
    if part.startswith("="):
        return part[1:], part[1:]
    bare = part.removeprefix("suspect.")
    return CARD_WORDS.get(part) or WORDS.get(part) or (bare, bare)


def _document(kind: str, sections: dict[str, Sequence[Row]], files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    told = []
    for section, rows in sections.items():
        entries: list[dict[str, Any]] = []
        for key, (file, pointer) in rows:
            if file == STATED:
                entries.append({"name": _name("statement"), "value": _name(key), "source": STATED})
                continue
            value = at(files, file, pointer)
            source = None if value is None else f"{file}#{pointer}"
            entries.append({"name": _name(key), "value": value, "source": source})
        told.append({"name": _name(f"section.{section}"), "entries": entries})
    title = _name(f"title.{kind}")
    about = str(files[REPORT]["model"] if kind == "model_card" else files[CARD]["data"]["collection"])
    return {
        "kind": kind, "version": 1, "about": about, "title": title, "after": _name(f"after.{kind}"),
        "research": dict(zip(LANGUAGES, WORDS["research"], strict=True)), "sections": told, "laennec": VERSION,
    }  # fmt: skip


def as_markdown(document: dict[str, Any], language: Language = "en") -> str:
    """A model card or data sheet in Markdown: a table for each section. Nothing in it is HTML or a link."""
    voice = Voice(language)
    lines = [
        f"# {document['title'][language]}{_colon(language)} {_plain(document['about'])}", "",
        f"**{document['research'][language]}**", "", document["after"][language], "",
    ]  # fmt: skip
    heads = [CARD_WORDS[key][LANGUAGES.index(language)] for key in ("entry", "value", "source")]
    for section in document["sections"]:
        lines += [f"## {section['name'][language]}", ""]
        statements = [entry for entry in section["entries"] if entry["source"] == STATED]
        rows = [entry for entry in section["entries"] if entry["source"] != STATED]
        lines += [*(f"- {entry['value'][language]}" for entry in statements), *([""] if statements else [])]
        if rows:
            lines += ["| " + " | ".join(heads) + " |", "|---|---|---|"]
            for entry in rows:
                value = told(_worded(entry, voice), voice)
                source = f"`{_code(entry['source'])}`" if entry["source"] else "–"
                lines.append(f"| {_plain(entry['name'][language])} | {value} | {source} |")
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _colon(language: Language) -> str:
    """The colon with the space French sets before it."""
    return "\u00a0:" if language == "fr" else ":"


_NAMED = {"verdict": "audit.verdict.", "part": "named.", "decision": "point.", "kind": "energy."}


def _worded(entry: dict[str, Any], voice: Voice) -> Any:
    """A value that is one of our own words (a verdict, a part, a rule, a kind of energy) as people say it."""
    value, (_, _, pointer) = entry["value"], (entry["source"] or "").partition("#")
    last = pointer.rpartition("/")[2]
    if not isinstance(value, str):
        return value
    if last == "split_how":
        return voice.split(value)
    key = f"{_NAMED.get(last, '')}{value}"
    return voice.plain(key) if last in _NAMED and key in WORDS else value


def told(value: Any, voice: Voice) -> str:
    """A value for people: figures with their interval and images, lists joined; "not measured" for None."""
    missing = CARD_WORDS["missing"][LANGUAGES.index(voice.lang)]
    if value is None or value in ("", [], {}):
        return missing
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return written(voice, value)
    if isinstance(value, list):
        return ("\u202f; " if voice.lang == "fr" else "; ").join(told(one, voice) for one in value)
    if isinstance(value, dict) and set(value) == set(LANGUAGES):
        return _plain(value[voice.lang])
    if isinstance(value, dict) and {"value", "low", "high", "n", "method"} == set(value):
        figure = Estimate.model_validate(value)
        if figure.value is None:
            return f"{missing} (n = {voice.count(figure.n)})"
        apart = "\u202f; " if voice.lang == "fr" else "; "
        ranged = "" if figure.low is None else f" [{written(voice, figure.low)}{apart}{written(voice, figure.high)}]"
        method = f", {voice.method(figure.method)}" if figure.method else ""
        return f"{written(voice, figure.value)}{ranged} (n = {voice.count(figure.n)}{method})"
    return _plain(str(value))


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~$&])", r"\\\1", " ".join(str(text).split()))


def _code(text: str) -> str:
    return " ".join(text.split()).replace("`", "'").replace("|", "\\|")
