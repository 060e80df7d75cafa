"""An audit as a page and for the terminal: a verdict for each check, what it rests on, the images it points at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text as RichText

from laennec.checks import VERDICTS, Audit, Check, Suspect
from laennec.page.checked import SYMBOLS, checked, listed, ordered, table_of, written
from laennec.page.html import LISTED, picture_uri, render
from laennec.page.text import RESEARCH, add_row, plain_table
from laennec.page.voice import LANGUAGES, Language, Voice
from laennec.page.words import WORDS

PICTURED = 12  # suspects of each check
_BESIDE = 3  # pictures beside a suspect's own
_NAMED = 3  # suspects of each check, in the terminal
_COLUMNS = 6  # of a table that has room in the terminal
_STYLES = {"pass": "green", "note": "blue", "skipped": "dim", "warn": "yellow", "fail": "bold red"}


def suspects_pictured(audit: Audit) -> list[str]:
    """Ids of the images whose pictures the page shows, each once: the first `PICTURED` suspects of each check with
    those they are held against; an image of another data set is ``collection:id``."""
    return list(dict.fromkeys(key for check in audit.checks for one in check.suspects[:PICTURED] for key in _ids(one)))


def own_picture(check: str, suspect: str) -> str:
    """Key of a picture that one check shows of an image instead of the image as it is: with its heat, say."""
    return f"{check}/{suspect}"


def _ids(suspect: Suspect) -> tuple[str, ...]:
    return (suspect.id, *suspect.beside[:_BESIDE])


def _shown(check: Check, places: Mapping[str, int], voice: Voice) -> list[dict[str, Any]]:
    """The first suspects that have a picture, each with those beside it."""
    cards = []
    for one in check.suspects[:PICTURED]:
        place = places.get(own_picture(check.name, one.id), places.get(one.id))
        if place is None:
            continue
        why = one.why.in_(voice.lang)
        pictures = [{"place": place, "alt": voice("audit.alt", id=one.id, why=why)}]
        pictures += [
            {"place": places[key], "alt": voice("audit.alt_beside", id=key, first=one.id)}
            for key in one.beside[:_BESIDE]
            if key in places
        ]
        cards.append(_suspect(one, voice) | {"pictures": pictures})
    return cards


def _suspect(one: Suspect, voice: Voice) -> dict[str, Any]:
    return {
        "id": one.id,
        "beside": one.beside[:_BESIDE],
        "more": max(0, len(one.beside) - _BESIDE),
        "kind": voice.kind(one.kind),
        "why": one.why.in_(voice.lang),
        "value": written(voice, one.value) if one.value is not None else "",
    }


def _check(check: Check, place: int, places: Mapping[str, int], voice: Voice) -> dict[str, Any]:
    kinds = Counter(one.kind for one in check.suspects if one.kind)
    told = [str(voice("audit.kind_of", kind=voice.kind(kind), n=voice.count(n))) for kind, n in kinds.most_common()]
    return checked(check, voice, f"{check.name}{place}") | {
        "anchor": f"{voice.lang}-check-{place}",
        "shown": _shown(check, places, voice),
        "kinds": told if len(told) > 1 else [],
        "suspects": [_suspect(one, voice) for one in check.suspects[:LISTED]],
    }


def _lead(audit: Audit, voice: Voice) -> list[str]:
    """What a reader must know first, sentence by sentence."""
    titles = {
        verdict: [check.title.in_(voice.lang) for check in audit.checks if check.verdict == verdict]
        for verdict in VERDICTS
    }
    if not audit.checks:
        return [voice("audit.lead.none")]
    said: list[str] = []
    if titles["fail"]:
        n, key = len(titles["fail"]), "fail_one" if len(titles["fail"]) == 1 else "fail"
        values = {"n": n, "of": len(audit.checks), "titles": listed(titles["fail"])}
        if n == 1:
            del values["n"]
        said.append(voice(f"audit.lead.{key}.{audit.of}", **values))
    if titles["warn"]:
        said.append(voice("audit.lead.warn", titles=listed(titles["warn"])))
    if not said:
        said.append(voice("audit.lead.clear"))
    if titles["skipped"]:
        said.append(voice("audit.lead.skipped", titles=listed(titles["skipped"])))
    return said


def audit_page(audit: Audit, *, pictures: Mapping[str, bytes] | None = None, language: Language = "en") -> str:
    """An audit as one HTML page, in English and French, that needs nothing else.

    Args:
        pictures: PNG or JPEG bytes by the ids that `suspects_pictured` names, or by `own_picture` where a check shows
            an image otherwise; an image without one is listed only.
        language: the one shown first; the page's switch shows the other.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    given = pictures or {}
    own = (own_picture(check.name, one.id) for check in audit.checks for one in check.suspects[:PICTURED])
    found = {key: picture_uri(given.get(key)) for key in (*suspects_pictured(audit), *own)}
    kept = {key: uri for key, uri in found.items() if uri is not None}
    uris, places = list(kept.values()), {key: place for place, key in enumerate(kept)}
    counted = Counter(check.verdict for check in audit.checks)
    bodies: dict[Language, dict[str, Any]] = {}
    for lang in LANGUAGES:
        voice = Voice(lang)
        bodies[lang] = {
            "audit": audit,
            "v": voice,
            "verdict": audit.verdict,
            "symbols": SYMBOLS,
            "verdicts": list(reversed(VERDICTS)),
            "counted": counted,
            "lead": _lead(audit, voice),
            "checks": [_check(check, place, places, voice) for place, check in enumerate(ordered(audit), 1)],
            "uris": uris,
            "listed": LISTED,
        }
    title = str(Voice(language)(f"audit.title.{audit.of}", name=audit.name))
    return render("audit.html.j2", language, title, bodies)


def audit_text(audit: Audit) -> Group:
    """An audit for the terminal, in English; ``print(...)`` it on a `rich.console.Console` of 80 columns or more."""
    voice = Voice("en")
    on = f", {audit.part} part" if audit.of == "model" else ""
    made = f"{audit.collection}{on}: {audit.images:,} images of {audit.patients:,} patients, {audit.seconds:.0f} s"
    parts: list[RichText | RichTable | Padding] = [
        RichText.assemble((audit.name, "bold"), f"  audit of {'the data' if audit.of == 'data' else 'the model'}"),
        RichText(made),
    ]
    if audit.of == "model" and audit.part in ("val", "train"):
        parts.append(RichText(WORDS[f"audit.used.{audit.part}"][0], style="yellow"))
    for check in ordered(audit):
        parts.append(RichText(""))
        parts += _told(check, voice)
    if audit.refused:
        refused = plain_table(f"Files refused: {len(audit.refused)}", ["", "Code"])
        for one in audit.refused[:10]:
            add_row(refused, one.id, one.code)
        parts += [RichText(""), refused]
    counted = Counter(check.verdict for check in audit.checks)
    told = ", ".join(f"{counted[v]} {_word(v).lower()}" for v in reversed(VERDICTS) if counted[v])
    parts += [RichText(""), RichText(f"Checks: {told or 'none'}.", "bold"), RichText(RESEARCH, style="dim")]
    return Group(*parts)


def _word(verdict: str) -> str:
    return WORDS[f"audit.verdict.{verdict}"][0]


def _told(check: Check, voice: Voice) -> list[RichText | RichTable | Padding]:
    """One check for the terminal."""
    style = _STYLES[check.verdict]
    head = RichText.assemble(
        (f"{SYMBOLS[check.verdict]} {_word(check.verdict)}", style), "  ", (_soft(check.title.en), "bold")
    )
    parts: list[RichText | RichTable | Padding] = [head]
    parts += [Padding(RichText(_soft(sentence.en)), (0, 0, 0, 2)) for sentence in check.said]
    for table in check.tables:
        if len(table.head) > _COLUMNS:
            continue
        made = table_of(table, voice)
        shown = plain_table(_soft(made["title"]), [_soft(h["text"]) for h in made["head"]])
        for row in made["rows"]:
            cells = [RichText(_soft(c["text"])) for c in row]
            for at, c in enumerate(row):
                if c["range"]:
                    cells[at].append("\n" + _soft(c["range"]).replace(" ", ""), style="dim")
            add_row(shown, *cells)
        parts.append(Padding(shown, (0, 0, 0, 2)))
    if check.suspects:
        kinds = Counter(one.kind for one in check.suspects if one.kind)
        told = ", ".join(f"{voice.kind(kind)} {n:,}" for kind, n in kinds.most_common())
        counted = f"{len(check.suspects):,} images pointed at" + (f" ({told})" if told else "")
        parts.append(Padding(RichText(f"{counted}, in suspects.csv; the first:", style=style), (0, 0, 0, 2)))
        for one in check.suspects[:_NAMED]:
            line = RichText.assemble((one.id, "bold"), f": {_soft(one.why.en)}")
            if one.beside:
                rest = f" and {len(one.beside) - 1} more" if len(one.beside) > 1 else ""
                line.append(f" (held against {one.beside[0]}{rest})", style="dim")
            line.overflow = "fold"
            parts.append(Padding(line, (0, 0, 0, 4)))
    return parts


def _soft(text: str) -> str:
    """Without the spaces that do not break, which a narrow terminal cannot wrap at."""
    return text.replace("\u00a0", " ").replace("\u202f", " ").replace("\u2060", "")
