"""A folder that radiographs appear in: looked through again and again, each file taken once."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from laennec.errors import StorageFull, UsageError
from laennec.nodes import Destination, Folder, discreet
from laennec.predictor import Predictor
from laennec.receiving.answering import BACKOFF, Desk, Tally
from laennec.receiving.listening import MOST_BYTES
from laennec.receiving.logs import log, terse_threads
from laennec.receiving.spool import Spool

EVERY = 2.0  # seconds
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
_Look = tuple[int, int, int, int]  # size, times of change of content and of permissions, inode


def watch(
    folder: Path,
    predictor: Predictor,
    to: Destination,
    spool: Path | None = None,
    *,
    kinds: Sequence[str] | None = None,
    keep_refused: bool = False,
    every: float = EVERY,
    once: bool = False,
    stop: threading.Event,
    ready: Callable[[], None] = lambda: None,
    backoff: Sequence[float] = BACKOFF,
    most: int = MOST_BYTES,
) -> Tally:
    """Answer the radiographs in `folder`, and those that appear in it, until `stop` is set.

    A file is taken when it looks the same (size, time of change) twice in a row, `every` seconds apart; hidden files,
    links and unfinished downloads are left alone, and so is what cannot be read until it changes. Files stay
    where they are. What was taken is noted by a keyed hash of its content, so that a restart goes on where it stopped
    and a file renamed is not taken twice.

    Args:
        folder: searched to the bottom.
        predictor: what is asked.
        to: where the objects go.
        spool: see `Spool`; by default `folder`/.laennec.
        kinds: of objects (`laennec.filing`); None takes all the bundle can give.
        keep_refused: keep copies of refused files, de-identified.
        every: seconds between looks.
        once: end when everything that lies there is answered and delivered.
        stop: ends it.
        ready: called when the first look is about to be taken.
        backoff: seconds before each new attempt to deliver; the last is repeated.
        most: bytes of one file; a larger one is refused.

    Raises:
        UsageError: there is no such folder, the spool is taken, or the objects would go into the folder itself.
        LaennecError: answering broke down.
    """
    if not folder.is_dir():
        raise UsageError("there is no such folder to watch", "name a folder that exists")
    if isinstance(to, Folder) and to.path.resolve().is_relative_to(folder.resolve()):
        raise UsageError("the objects would be written into the watched folder", "name a destination outside of it")
    with discreet(), terse_threads():
        kept = Spool(spool or folder / ".laennec")
        try:
            desk = Desk(predictor, kinds, to, kept, log, most=most, keep_refused=keep_refused, backoff=backoff)
            desk.start()
            log("watching", bundle=predictor.bundle.digest, to=to.kind, waiting=len(kept.waiting()))
            ready()
            looks = _Looks(folder, kept, desk, most)
            try:
                while not desk.broken:
                    settled = looks.take()
                    if once and settled and desk.idle:
                        break
                    if stop.wait(every):
                        break
            finally:
                try:
                    desk.stop()
                finally:
                    left = len(kept.waiting()), len(kept.parcels())
                    log("stopped", **vars(desk.tally), waiting=left[0], undelivered=left[1])
        finally:
            kept.close()
    return desk.tally


class _Looks:
    """What the folder held when it was last looked at."""

    def __init__(self, folder: Path, spool: Spool, desk: Desk, most: int) -> None:
        self.folder, self.spool, self.desk, self.most = folder, spool, desk, most
        self.before: dict[Path, _Look] = {}
        self.done: dict[Path, _Look] = {}

    def take(self) -> bool:
        """Look through the folder and take what has settled; whether nothing is left to settle."""
        found = dict(_files(self.folder))
        self.done = {path: look for path, look in self.done.items() if path in found}
        unsettled = False
        for path, look in sorted(found.items()):
            if self.done.get(path) == look:
                continue
            if self.before.get(path) == look and self._taken(path, look):
                self.done[path] = look
            else:
                unsettled = True
        self.before = found
        return not unsettled

    def _taken(self, path: Path, look: _Look) -> bool:
        """Whether nothing is to be done about the file any more, unless it changes."""
        try:
            with path.open("rb") as stream:
                data = stream.read(self.most + 1)
            if _look(path) != look:
                return False
        except FileNotFoundError:  # it has just gone
            return False
        except OSError:
            log("turned_away", code="unreadable")
            return True
        try:
            hashed = self.spool.hashed(data, *self.desk.asked)
            if self.spool.taken(hashed):
                return True
            name = self.spool.accept(data)
        except (OSError, StorageFull):
            log("turned_away", code="no_room")
            return False
        log("received", id=name, bytes=len(data))
        try:
            self.spool.take(hashed)
        except StorageFull:  # a later process takes it again, and passes over what it answered
            log("fault", id=name, code="no_space")
        return True


def _look(path: Path) -> _Look | None:
    facts = path.lstat()
    return (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino) if stat.S_ISREG(facts.st_mode) else None


def _files(folder: Path) -> Iterator[tuple[Path, _Look]]:
    for root, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.startswith(".") or name.lower().endswith(_UNFINISHED):
                continue
            path = Path(root) / name
            try:
                look = _look(path)
            except OSError:  # it has just gone
                continue
            if look is not None:
                yield path, look
