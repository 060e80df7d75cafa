"""A data set at a glance: as one self-contained page in two languages, and as tables for the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from laennec.census import NO_LABEL, Breakdown, Exploration, PartCounts, Shift
from laennec.page.html import LISTED, picture_uri, render
from laennec.page.text import RESEARCH, add_row, plain_table
from laennec.page.voice import LANGUAGES, Language, Voice
from laennec.page.words import WORDS

_COLOURS = 6  # the style sheet has as many; more labels take the last one
_UNEQUAL = 1.5  # commonest to rarest label, from where it is worth a sentence
_MOVED = 0.05  # difference of a label's share between parts, from where it is
_GIVEN_AWAY = 10  # images of one source that all show one label, from where it is

Hint = tuple[str, dict[str, object]]


def exploration_page(
    explored: Exploration, *, pictures: Mapping[str, bytes] | None = None, language: Language = "en"
) -> str:
    """A data set as one HTML page, in English and French, that needs nothing else.

    Args:
        pictures: sample id to PNG (or JPEG) bytes, for the examples of each label.
        language: the one shown first; the page's switch shows the other.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    found = {key: picture_uri(data) for key, data in (pictures or {}).items()}
    examples = [
        {"label": example.label, "pictures": [(key, found[key]) for key in example.ids if found.get(key)]}
        for example in (explored.pixels.examples if explored.pixels else ())
    ]
    bodies: dict[Language, dict[str, Any]] = {}
    for lang in LANGUAGES:
        v = Voice(lang)
        bodies[lang] = {
            "explored": explored,
            "pixels": explored.pixels,
            "v": v,
            "name": lambda label, v=v: v("data.no_label") if label == NO_LABEL else label,
            "hints": [v(key, **values) for key, values in hints(explored, v)],
            "bars": [bar for part in explored.parts for bar in _bars(explored, part, v)],
            "colour": {label: min(place, _COLOURS - 1) for place, label in enumerate([*explored.labels, NO_LABEL])},
            "examples": [example for example in examples if example["pictures"]],
            "listed": LISTED,
            "at": lambda level: round(1000 * max(0.0, min(255.0, level)) / 255, 1),
        }
    title = str(Voice(language)("data.title", collection=explored.collection))
    return render("data.html.j2", language, title, bodies)


def _bars(explored: Exploration, part: PartCounts, v: Voice) -> Iterator[dict[str, Any]]:
    """What is drawn for one part: one bar in segments, or where labels can hold together one bar for each."""
    place, segments = 0.0, []
    for number, label in enumerate(part.labels):
        width = 1000 * label.images / max(part.images, 1)
        segments.append((round(place, 2), round(width, 2), min(number, _COLOURS - 1)))
        place += width if explored.exclusive else 0.0
    name = v(f"data.part.{part.part}")
    told = [f"{label.label} {v.percent(label.images / max(part.images, 1), 1)}" for label in part.labels]
    groups = [segments] if explored.exclusive else [[segment] for segment in segments]
    texts = [", ".join(told)] if explored.exclusive else told
    for i, (group, text) in enumerate(zip(groups, texts, strict=True)):
        yield {
            "name": name if i == 0 else "",
            "n": v.count(part.images) if i == 0 else "",
            "segments": group,
            "text": v("data.bar", part=name, counts=text),
        }


def hints(explored: Exploration, v: Voice) -> Iterator[Hint]:
    """What a person should not overlook: key of the sentence and its values, in the voice's way of writing numbers."""
    pixels = explored.pixels
    if pixels and pixels.refused:
        yield "data.hint.refused", {"n": v.count(len(pixels.refused)), "opened": v.count(pixels.opened)}
    ratio = explored.whole.imbalance
    if explored.exclusive and ratio and ratio >= _UNEQUAL:
        order = sorted(explored.whole.labels, key=lambda label: label.images)
        ends = {"largest": order[-1].label, "smallest": order[0].label}
        yield "data.hint.imbalance", {**ends, "ratio": v.number(ratio, 1)}
    yield from _moved(explored, v)
    for shift in pixels.shifts if pixels else ():
        if shift.strength in ("medium", "large"):
            yield (
                f"data.hint.{shift.of}.{'less' if shift.effect < 0 else 'more'}",
                {
                    "label": v.plain("data.no_label") if shift.label == NO_LABEL else shift.label,
                    "part": v.plain(f"part.{shift.part}"),
                    "effect": v.number(abs(shift.effect), 2),
                    "interval": interval(shift, v, size=True),
                },
            )
    for breakdown in explored.breakdowns if explored.exclusive else ():
        yield from _given_away(explored, breakdown, v)
    if explored.whole.per_patient.high > 1:
        yield "data.hint.several", {"most": v.count(int(explored.whole.per_patient.high))}


def _moved(explored: Exploration, v: Voice) -> Iterator[Hint]:
    train = explored.parts[0]
    for part in explored.parts[1:]:
        moves = [
            (here.images / part.images, there.images / train.images, here.label)
            for here, there in zip(part.labels, train.labels, strict=True)
            if here.label in explored.positive and part.images and train.images
        ]
        here, there, label = max(moves, key=lambda m: abs(m[0] - m[1]), default=(0.0, 0.0, ""))
        if abs(here - there) >= _MOVED:
            values = {"label": label, "train": v.percent(there), "part_share": v.percent(here)}
            yield "data.hint.moved", {**values, "part": v.plain(f"part.{part.part}")}


def _given_away(explored: Exploration, breakdown: Breakdown, v: Voice) -> Iterator[Hint]:
    if len(breakdown.values) < 2:
        return
    for value in breakdown.values:
        if value.value and value.images >= _GIVEN_AWAY and value.images in value.labels:
            label = explored.labels[value.labels.index(value.images)]
            values = {"fact": v.plain(f"data.fact.{breakdown.fact}"), "value": value.value, "label": label}
            yield "data.hint.gives_away", {**values, "n": v.count(value.images)}


def interval(shift: Shift, v: Voice, *, size: bool = False) -> str:
    """The interval of a shift's effect; with `size` of its amount, whatever its direction."""
    low, high = (shift.low, shift.high) if not size or shift.effect > 0 else (-shift.high, -shift.low)
    return f"{v.signed(low, 2)} – {v.signed(high, 2)}" if not size else f"{v.number(low, 2)} – {v.number(high, 2)}"


def exploration_text(explored: Exploration) -> Group:
    """A data set as rich tables; ``print(...)`` it on a `rich.console.Console` of 80 columns or more."""
    v = Voice("en")
    whole = explored.whole
    parts: list[Text | Table] = [
        Text.assemble(
            (explored.collection, "bold"), f": {whole.images:,} images of {whole.patients:,} patients, at most "
            f"{whole.per_patient.high:.0f} of one patient (median {whole.per_patient.median:g})",
        ),
        _counts(explored),
    ]  # fmt: skip
    if explored.pixels:
        parts += _pixels(explored)
    for breakdown in explored.breakdowns:
        told = f"{breakdown.fact}, known for {breakdown.known:,} of {breakdown.asked:,}"
        table = plain_table(told + (" opened" if breakdown.sampled else ""), ["", "Images", *explored.labels])
        for value in breakdown.values:
            add_row(table, value.value or "(others)", f"{value.images:,}", *(f"{n:,}" for n in value.labels))
        parts.append(table)
    for key, values in hints(explored, v):
        parts.append(Text(f"! {_sentence(key, values)}", style="yellow"))
    parts.append(Text(f"Split: {explored.split}.", style="dim"))
    parts.append(Text(f"Licence: {explored.licence or 'not stated'}.", style="dim"))
    parts += [Text(f"Note: {note}", style="yellow") for note in explored.notes]
    parts.append(Text(RESEARCH, style="dim"))
    return Group(*parts)


def _sentence(key: str, values: Mapping[str, object]) -> str:
    text = re.sub(r"</?strong>", "", WORDS[key][0]).format(**values)
    return text.replace("\u00a0", " ")


def _counts(explored: Exploration) -> Table:
    table = plain_table("Counts", ["", *(p.part for p in explored.parts), "all"])
    every: Sequence[PartCounts] = (*explored.parts, explored.whole)
    add_row(table, "images", *(f"{p.images:,}" for p in every))
    add_row(table, "patients", *(f"{p.patients:,}" for p in every))
    for place, label in enumerate(explored.labels):
        counts = [p.labels[place] for p in every]
        cells = [f"{c.images:,} ({c.images / max(p.images, 1):.1%})" for c, p in zip(counts, every, strict=True)]
        add_row(table, label, *cells)
        add_row(table, "  patients", *(f"{c.patients:,}" for c in counts))
        if any(c.unknown for c in counts):
            add_row(table, "  unknown", *(f"{c.unknown:,}" for c in counts))
    add_row(table, "commonest : rarest", *("–" if p.imbalance is None else f"{p.imbalance:.2f}" for p in every))
    return table


def _pixels(explored: Exploration) -> list[Text | Table]:
    seen = explored.pixels
    if seen is None:
        return []
    grey = plain_table(
        f"Grey levels 0–255, at most {seen.most} images per label and part, seed {seen.seed}",
        ["", "Part", "n", "Mean", "SD", "1 %", "99 %", "Size"],
    )
    for cell in seen.cells:
        if cell.mean is None or cell.contrast is None or cell.low is None or cell.high is None:
            add_row(grey, cell.label, cell.part, "0", "", "", "", "", "")
            continue
        size = "" if cell.width is None or cell.height is None else f"{cell.width:.0f}×{cell.height:.0f}"
        figures = (f"{cell.mean:.1f}", f"{cell.contrast:.1f}", f"{cell.low:.0f}", f"{cell.high:.0f}", size)
        add_row(grey, cell.label, cell.part, f"{cell.n:,}", *figures)
    parts: list[Text | Table] = [grey]
    if seen.shifts:
        shifts = plain_table("Against train, in SD between images", ["", "Part", "", "d", "95 % interval", "Reading"])
        for shift in seen.shifts:
            told = (f"{shift.effect:+.2f}", f"{shift.low:+.2f} – {shift.high:+.2f}", shift.strength)
            add_row(shifts, shift.label, shift.part, shift.of, *told)
        parts.append(shifts)
    if seen.width and seen.height and seen.aspect:
        files = plain_table(f"Files as stored, sizes that differ: {seen.sizes}", ["", "Smallest", "Median", "Largest"])
        for name, spread, digits in (
            ("width", seen.width, 0),
            ("height", seen.height, 0),
            ("width / height", seen.aspect, 2),
        ):
            add_row(files, name, *(f"{value:,.{digits}f}" for value in (spread.low, spread.median, spread.high)))
        parts.append(files)
        common = ", ".join(f"{size.width}×{size.height} ({size.images:,})" for size in seen.commonest)
        kinds = ", ".join(
            f"{f.format} {f.bits} bits, {'grey' if f.channels < 3 else 'colour'} ({f.images:,})" for f in seen.formats
        )
        parts += [Text(f"Commonest: {common}"), Text(f"Formats: {kinds}")]
    if seen.refused:
        refused = plain_table(f"Cannot be read: {len(seen.refused)} of {seen.opened} opened", ["", "Code", "Reason"])
        for item in seen.refused[:20]:
            add_row(refused, item.id, item.code, item.reason)
        if len(seen.refused) > 20:
            add_row(refused, f"… {len(seen.refused) - 20} more in --json", "", "")
        parts.append(refused)
    return parts
