"""The fetching stage: a public data set from its publisher into the folder its member reads.

Nothing is put in place but whole: what comes is held against the publisher's checksum, unpacked beside the target,
read once by the member itself, and only then renamed. What broke off is gone on with.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from laennec import family, progress, storage, transfer
from laennec.archives import require_room, unpack
from laennec.errors import LaennecError, UnknownName, UsageError
from laennec.origins import Archive, Download, Kaggle, Origin

_UNKNOWN_MOST = 1 << 32  # bytes of a download whose size nobody said


@dataclass(frozen=True)
class Plan:
    """What would be fetched, from where, to where.

    Attributes:
        dataset: name of the member.
        out: folder given by the person.
        root: what ``data.root`` will be: `out`, or the single file in it.
        size: bytes to download, about; 0 where nobody says.
    """

    dataset: str
    origin: Origin
    out: Path
    root: Path
    size: int


@dataclass(frozen=True)
class Fetched:
    """What lies at `root` now.

    Attributes:
        files: written; 0 when it was there already.
        images: as the member counts them; None for a single file.
        sha256: of what was downloaded; empty when it was there already.
        check: what the download was held against, in words.
    """

    root: Path
    files: int
    images: int | None
    sha256: str
    check: str


def plan(dataset: str, out: str | Path, variant: str = "") -> Plan:
    """Where `dataset` can be had from. Asks a server for a size nobody wrote down, and nothing else.

    Raises:
        UnknownName: no such data set, or no such variant of it.
        UsageError: there is nothing to fetch for it, or `out` holds something else.
    """
    member = family.member("datasets", dataset)
    offered: Sequence[Origin] = getattr(member, "ORIGINS", ())
    if not offered:
        others = [name for name in family.names("datasets") if getattr(family.member("datasets", name), "ORIGINS", ())]
        raise UsageError(
            f"there is nothing to fetch for '{dataset}': {family.summary('datasets', dataset)}",
            f"give it your own files in a recipe (docs/recipes.md); these can be fetched: {', '.join(others)}",
        )
    by_name = {origin.variant: origin for origin in offered}
    if variant and variant not in by_name:
        raise UnknownName(f"variant of {dataset}", variant, by_name)
    origin = by_name[variant] if variant else offered[0]
    out = Path(out).expanduser()
    single = isinstance(origin.source, Download) and origin.archive is None
    root = out / origin.source.name if single else out
    size = origin.source.size
    made = Plan(dataset, origin, out, root, size)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file", "name a folder in --out")
    if not there(made):
        _require_free(made)
        if not size and isinstance(origin.source, Download):
            made = Plan(dataset, origin, out, root, transfer.size_of(origin.source.url))
    return made


def there(plan: Plan) -> bool:
    """Whether the data set lies at its root already, whole as far as the member or the checksum can tell."""
    source = plan.origin.source
    if plan.origin.archive is None and isinstance(source, Download):
        return plan.root.is_file() and not _mismatch(plan.root, source)
    if not plan.root.is_dir() or not any(plan.root.iterdir()):
        return False
    try:
        _read(family.member("datasets", plan.dataset), plan.root)
    except UsageError:
        return False
    return True


def _require_free(plan: Plan) -> None:
    if plan.origin.archive is None:
        if plan.root.exists():
            raise UsageError(f"{plan.root} is there and is another file", "move it away, or take another --out")
    elif plan.out.is_dir() and any(plan.out.iterdir()):
        held = min(path.name for path in plan.out.iterdir())
        raise UsageError(
            f"{plan.out} is not empty and is no {plan.dataset}: it holds {held}", "take another --out, or an empty one"
        )


def by_hand(plan: Plan) -> str:
    """How a person brings the files without laennec's download, step by step."""
    source, rules = plan.origin.source, ""
    what = source.name if isinstance(source, Download) else "the archive"
    if isinstance(source, Kaggle):
        rules = ", sign in, accept the rules of the competition" if source.kind == "competitions" else ", sign in"
    lines = [
        "by hand:",
        f"  1. open {plan.origin.page} in a browser{rules} and download {what}",
        f"  2. laennec data fetch {plan.dataset} --variant {plan.origin.variant} --out {plan.out} --file DOWNLOADED",
    ]
    if plan.origin.archive is None:
        lines.append(f"     or put it at {plan.root} yourself")
    else:
        lines.append(f"     or unpack it yourself so that {plan.out} holds:")
        lines += [f"       {line}" for line in plan.origin.layout]
    return "\n".join(lines)


def check_way(plan: Plan) -> None:
    """See that the way to the source is open before a person is asked anything.

    Raises:
        LaennecError: it comes from Kaggle, and its client or an account for it is missing; the hint says what to do.
    """
    if isinstance(plan.origin.source, Kaggle):
        _kaggle_client(plan)


def fetch(plan: Plan, file: Path | None = None, patience: Sequence[float] = transfer.PATIENCE) -> Fetched:
    """Bring the data set to its root.

    Args:
        plan: what `plan` made.
        file: the publisher's file, where a person has downloaded it already; nothing is then asked of a network.
        patience: seconds to wait before each new attempt of a download that broke.

    Raises:
        UsageError: `file` is not there, or `plan.out` holds something else.
        LaennecError: the server or Kaggle cannot be reached or refuses (the hint says how to do it by hand), what
            came is not the publisher's file, or an archive is refused.
        StorageFull: the device has no room; what has come is kept.
    """
    if there(plan):
        return Fetched(plan.root, 0, None, "", "was there already")
    _require_free(plan)
    source, archive = plan.origin.source, plan.origin.archive
    unpacked = archive.unpacked if archive else 0
    if file is not None:
        if not file.is_file():
            raise UsageError(f"there is no file {file}", "give the file you downloaded")
        require_room(plan.out, unpacked or file.stat().st_size)
        sha256, check = _verified(file, plan)
        return _place(plan, file, sha256, check, keep=True)
    if isinstance(source, Kaggle):
        require_room(plan.out, plan.size + unpacked)
        folder = plan.out.absolute().parent / f".{plan.out.name}.kaggle"
        came = _from_kaggle(plan, source, folder)
        done = _place(plan, came, *_verified(came, plan), keep=True)
        shutil.rmtree(folder, ignore_errors=True)
        return done
    target = _target(plan, source)
    have = transfer.partial_of(target)
    require_room(plan.out, max(0, plan.size - (have.stat().st_size if have.is_file() else 0)) + unpacked)
    try:
        came = transfer.download(source.url, target, 2 * plan.size or _UNKNOWN_MOST, patience)
    except transfer.Unreachable as error:
        hint = "\n".join(part for part in (error.hint, by_hand(plan)) if part)
        raise LaennecError(error.message, hint) from error
    try:
        sha256, check = _verified(came, plan)
    except LaennecError:
        transfer.forget(target)
        raise
    done = _place(plan, came, sha256, check, keep=False)
    transfer.forget(target)
    return done


def _target(plan: Plan, source: Download) -> Path:
    """Names the partial file: beside the folder to come, or in the folder the single file goes to."""
    if plan.origin.archive is None:
        return plan.root
    return plan.out.absolute().parent / f"{plan.out.name}.{source.name}"


def _verified(came: Path, plan: Plan) -> tuple[str, str]:
    """SHA-256 of what came and what it was held against, in words."""
    source = plan.origin.source
    wrong = _mismatch(came, source) if isinstance(source, Download) else ""
    if wrong:
        raise LaennecError(
            f"what came is not the file that {plan.origin.page} describes: {wrong}",
            "run it again; if that repeats, the publisher has put another file there: see its page",
        )
    found = storage.file_digest(came)
    if isinstance(source, Download) and (source.sha256 or source.md5):
        return found, f"the publisher's {'SHA-256' if source.sha256 else 'MD5'}: the same"
    if isinstance(source, Download) and source.reported_sha256:
        if found == source.reported_sha256:
            return found, "no checksum is published; the SHA-256 is the one others report"
        progress.say(f"beware: the SHA-256 is {found}, others report {source.reported_sha256}")
        return found, "no checksum is published; the SHA-256 is NOT the one others report"
    return found, "no checksum is published"


def _mismatch(path: Path, source: Download) -> str:
    """What is wrong with a file by the published checksums; empty if nothing, or none is published."""
    for kind, expected in (("sha256", source.sha256), ("md5", source.md5)):
        if expected:
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, lambda kind=kind: hashlib.new(kind, usedforsecurity=False))  # type: ignore[misc]
            if found.hexdigest() != expected:
                return f"{kind.upper()} {found.hexdigest()}, expected {expected}"
    return ""


def _place(plan: Plan, came: Path, sha256: str, check: str, *, keep: bool) -> Fetched:
    archive = plan.origin.archive
    if archive is None:
        with storage.replacing(plan.root) as part:
            if keep:
                shutil.copyfile(came, part)
            else:
                came.replace(part)
        return Fetched(plan.root, 1, None, sha256, check)
    files, images = _unpack_whole(plan, archive, came)
    return Fetched(plan.root, files, images, sha256, check)


def _unpack_whole(plan: Plan, archive: Archive, came: Path) -> tuple[int, int]:
    member = family.member("datasets", plan.dataset)
    with storage.building(plan.root, lambda: there(plan)) as work:
        files = unpack(came, work, archive.inside, archive.keep, archive.unpacked * 3 // 2)
        try:
            images = _read(member, work)
        except UsageError as error:
            raise LaennecError(
                f"what came is not laid out as laennec expects: {error.message.replace(str(work), plan.root.name)}",
                f"see {plan.origin.page}; the folder must hold: {'; '.join(plan.origin.layout)}",
            ) from error
    return files, images


def _read(member: ModuleType, root: Path) -> int:
    return len(member.load(member.Options.model_validate({"root": str(root)})).samples)


def _kaggle_client(plan: Plan) -> str:
    client = shutil.which("kaggle")
    if client is None:
        raise LaennecError(
            f"{plan.dataset} comes from Kaggle, and Kaggle's client is not installed",
            "pip install kaggle, make a token at https://www.kaggle.com/settings and save it as ~/.kaggle/kaggle.json;"
            f" or {by_hand(plan)}",
        )
    home = Path(os.environ.get("KAGGLE_CONFIG_DIR") or Path.home() / ".kaggle")
    told = os.environ.get("KAGGLE_API_TOKEN") or (os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"))
    if not told and not any((home / name).is_file() for name in ("kaggle.json", "access_token")):
        raise LaennecError(
            f"{plan.dataset} comes from Kaggle, and Kaggle's client has no account to use",
            f"make a token at https://www.kaggle.com/settings and save it as ~/.kaggle/kaggle.json; or {by_hand(plan)}",
        )
    return client


def _from_kaggle(plan: Plan, source: Kaggle, folder: Path) -> Path:
    """The archive as Kaggle's own client brings it; it goes on by itself where it broke off."""
    client = _kaggle_client(plan)
    folder.mkdir(parents=True, exist_ok=True)
    quiet = bool(os.environ.get("LAENNEC_QUIET"))
    done = subprocess.run(  # noqa: S603
        [client, source.kind, "download", source.name, "-p", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if quiet else sys.stderr,
        stderr=subprocess.DEVNULL if quiet else None,
        check=False,
    )
    found = sorted(folder.glob("*.zip"))
    if done.returncode or len(found) != 1:
        raise LaennecError(
            f"Kaggle's client did not bring {source.name} (its exit code is {done.returncode})",
            f"are the rules accepted and the token valid? see {source.page}; or {by_hand(plan)}",
        )
    return found[0]
