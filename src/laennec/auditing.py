"""The audit of data: every member of the family of audits over a data set and those held against it."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

from PIL import Image
from pydantic import ValidationError

from laennec import family, hardware, images, loader, page, progress, storage
from laennec.audits import SIDE, AuditMember, Subject
from laennec.checks import Audit, Check, Outcome, Unlooked, Verdict
from laennec.errors import LaennecError, MissingExtra, UsageError
from laennec.page import Language
from laennec.preprocess import Preprocess
from laennec.recipe import Data, Recipe
from laennec.samples import Collection, Split, patients_of
from laennec.version import VERSION
from laennec.wording import Text, tell

LOOK = Preprocess(size=SIDE, resize="stretch")
_SHOWN = Preprocess(size=256, resize="pad")


def audit_data(
    recipe: Recipe,
    out: str | Path,
    *,
    against: Sequence[Data] = (),
    only: Sequence[str] = (),
    language: Language = "en",
) -> Audit:
    """Audit the data `recipe` names, and write ``audit.json``, ``audit.html`` and ``suspects.csv`` into `out`.

    Args:
        recipe: its ``[data]`` and ``[split]`` are read, and its seed, which draws what is drawn.
        out: folder of the results; what lies there from before is replaced, but for checks of the very same data that
            `only` leaves out.
        against: further data sets to be held against it: images in common, provenance, sources.
        only: members of the family of audits; all of them by default.
        language: the page opens in.

    Raises:
        UsageError: as loading a data set does, or none of its images can be read. Images that cannot be read raise
            nothing: they are listed with their reasons.
        UnknownName: a member of `only` is not installed.
    """
    started = time.perf_counter()
    members = {name: family.member("audits", name) for name in (only or family.names("audits"))}
    collection, split = loader.collect(recipe)
    others: list[Subject] = []
    called = [collection.name]
    for data in against:
        other = loader.load_collection(data)
        called.append(_fresh(other.name, called))
        everything = Split(train=(), val=(), test=tuple(s.id for s in other.samples), how="all of it", seed=0)
        others.append(replace(subject(other, everything, recipe.seed), called=called[-1]))
    seen = subject(collection, split, recipe.seed, tuple(others))
    checks = run({name: (member.TITLE, _asking(member, seen)) for name, member in members.items()})
    audit = Audit(
        of="data",
        name=collection.name,
        collection=collection.name,
        collection_digest=collection.digest,
        split_digest=split.digest,
        split_how=split.how,
        positive=collection.labels.positive,
        images=len(seen.samples),
        patients=patients_of(seen.samples),
        checks=checks,
        refused=seen.refused,
        seconds=time.perf_counter() - started,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=hardware.describe(),
        laennec=VERSION,
    )
    where = {s.id: s.path for s in seen.samples}
    where |= {f"{other.name}:{s.id}": s.path for other in others for s in other.samples}
    audit = completed(audit, Path(out)) if only else audit
    write(audit, Path(out), where, language)
    return audit


def _fresh(name: str, taken: Sequence[str]) -> str:
    """The name, numbered where another set has it: two tables may both be files called ``test.csv``."""
    numbered = (f"{name}-{number}" for number in count(2))
    return next(one for one in chain((name,), numbered) if one not in taken)


def subject(collection: Collection, split: Split, seed: int, beside: tuple[Subject, ...] = ()) -> Subject:
    """A data set decoded as audits look at it. Raises `UsageError` if none of its images can be read."""
    decoded = images.decoded(collection.samples, LOOK)
    samples = tuple(collection.take(decoded.kept))
    if not samples:
        raise UsageError(f"no image of '{collection.name}' can be read", decoded.refused[0].reason)
    return Subject(collection, split, samples, decoded.pixels, decoded.refused, beside, seed)


def _asking(member: AuditMember, seen: Subject) -> Callable[[], Outcome]:
    return lambda: member.audit(seen)


def run(asked: dict[str, tuple[Text, Callable[[], Outcome]]]) -> tuple[Check, ...]:
    """Members asked one after another, by name with their titles. Nothing passes because nobody could look: one that
    breaks fails its own check, one whose library is missing is skipped, and `Outcome.unlooked` says so to programs.
    """
    checks = []
    with progress.track("auditing", len(asked)) as step:
        for name, (title, ask) in asked.items():
            step.note(name)
            started = time.perf_counter()
            try:
                outcome = ask()
            except MissingExtra as error:
                outcome = _unlooked("missing_extra", error.message, error.hint)
            except LaennecError as error:
                outcome = _unlooked("broken", error.message, error.hint)
            except Exception as error:  # a member may come from outside; the other checks are worth having
                outcome = _unlooked("broken", f"{type(error).__name__}: {error}", "")
            seconds = time.perf_counter() - started
            checks.append(Check(name=name, title=title, seconds=seconds, **dict(outcome)))
            step.advance()
    return tuple(checks)


def _unlooked(unlooked: Unlooked, reason: str, hint: str) -> Outcome:
    why = f"{reason} ({hint})" if hint else reason
    said = tell("This could not be looked at: {why}", "Cela n’a pas pu être examiné : {why}", why=why)
    verdict: Verdict = "skipped" if unlooked == "missing_extra" else "fail"
    return Outcome(verdict=verdict, said=(said,), method=Text(en="", fr=""), unlooked=unlooked)


def completed(audit: Audit, folder: Path) -> Audit:
    """The audit with the checks that it was not asked for, of an earlier one of the very same in `folder`."""
    try:
        earlier = Audit.model_validate(storage.read_json(folder / "audit.json"))
    except (ValidationError, LaennecError, FileNotFoundError):
        return audit
    same = ("of", "collection_digest", "split_digest", "part", "bundle_digest", "laennec")
    if any(getattr(earlier, name) != getattr(audit, name) for name in same):
        return audit
    asked = {check.name for check in audit.checks}
    kept = [check for check in earlier.checks if check.name not in asked]
    return audit.model_copy(update={"checks": tuple(sorted((*audit.checks, *kept), key=lambda check: check.name))})


def write(
    audit: Audit, folder: Path, where: dict[str, Path], language: Language, drawn: Mapping[str, bytes] | None = None
) -> None:
    """Write an audit into `folder`; `where` has the file of each id its suspects name, `drawn` the pictures that a
    check shows otherwise, by `page.own_picture`.
    """
    storage.write_json(folder / "audit.json", audit.model_dump(mode="json"))
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["check", "verdict", "kind", "id", "beside", "value", "why"])
    for check in audit.checks:
        for one in check.suspects:
            value = "" if one.value is None else f"{one.value:.6g}"
            rows.writerow([check.name, check.verdict, one.kind, one.id, " ".join(one.beside), value, one.why.en])
    storage.write_bytes(folder / "suspects.csv", table.getvalue().encode())
    pictures = {key: _picture(where[key]) for key in page.suspects_pictured(audit) if key in where}
    shown = page.audit_page(
        audit, pictures={k: p for k, p in pictures.items() if p} | dict(drawn or {}), language=language
    )
    storage.write_bytes(folder / "audit.html", shown.encode())
    progress.say(f"audit: {folder / 'audit.html'}")


def _picture(path: Path) -> bytes:
    """A JPEG of an image for the page; empty where it cannot be read."""
    try:
        pixels, _ = images.load(path, _SHOWN)
    except LaennecError:
        return b""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return stream.getvalue()
