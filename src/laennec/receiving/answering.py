"""From the spool to the destination: radiographs are answered one after another, their objects delivered beside that.

A radiograph leaves the spool when its objects lie whole among what is to be delivered; those leave it when the
destination has them. Killed anywhere between, the next process does again what may not have been done: objects are
sent as the same bytes with the same SOP Instance UIDs, which is one object at the destination.

Only the model runs here. Strangers' files are decoded in one watched process and made into objects in another; here no
more is read of them than `laennec.receiving.kinds` does. A disk that is full holds the work up and does not end it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laennec.errors import ImageError, LaennecError, StorageFull
from laennec.images.decoding import Decoders, What, shared_rows
from laennec.images.standing import refusal
from laennec.nodes import STORED, Destination, Unreachable
from laennec.predictor import Predictor
from laennec.receiving.kinds import PASSED_OVER, look
from laennec.receiving.logs import Log, now
from laennec.receiving.making import Maker, MakerFault, MakerMissing
from laennec.receiving.spool import Parcel, Spool
from laennec.results import Prediction

BACKOFF = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0)  # seconds before each new attempt to deliver; the last is repeated
MOST_TRIES = 10  # processes that may end over one radiograph before it is refused
_PATIENCE = 30.0  # seconds decoding one radiograph may take
_MEMORY = 3 * 2**29  # bytes it may take
_DANGEROUS = ("decoder_died", "timeout", "too_large", "empty")
_PAUSE = 5.0  # seconds before a fault of the disk is tried again
_GOODBYE = 10.0  # seconds that delivering may go on once the process is to stop


class DecoderMissing(LaennecError):
    """No process decodes any more: it says nothing about the radiograph in hand."""


@dataclass(frozen=True)
class _Room:
    """What answering uses: the processes, and the rows ``uint8 [1, size, size]`` pixels come in."""

    decoders: Decoders
    maker: Maker
    rows: NDArray[np.uint8]


@dataclass
class Tally:
    """What a process did, for its last line.

    Attributes:
        answered: radiographs whose objects were put on their way.
        delivered: objects the destination took.
        refused: radiographs that cannot be read or must not be answered.
        passed_over: objects that are no radiographs, laennec's own, and those answered before.
    """

    answered: int = 0
    delivered: int = 0
    refused: int = 0
    passed_over: int = 0


class Desk:
    """Two threads over a spool: one answers, one delivers.

    Args:
        predictor: what is asked.
        kinds: of the objects made (`laennec.filing`); None takes all the bundle can give.
        to: where they go.
        spool: what is worked off.
        log: told of every step.
        most: bytes of one file.
        keep_refused: keep refused files, de-identified, beside the line on their refusal: those that can be, and that
            have no text burned in.
        backoff: seconds before each new attempt to deliver.
    """

    def __init__(
        self,
        predictor: Predictor,
        kinds: Sequence[str] | None,
        to: Destination,
        spool: Spool,
        log: Log,
        *,
        most: int,
        keep_refused: bool = False,
        backoff: Sequence[float] = BACKOFF,
    ) -> None:
        self.predictor, self.kinds, self.to, self.spool, self.log = predictor, kinds, to, spool, log
        self.most, self.keeps, self.backoff = most, keep_refused, tuple(backoff)
        self.tally = Tally()
        point = predictor.point
        self.asked = (predictor.bundle.digest, point.rule if point is not None else "", *sorted(kinds or ("all",)))
        self._stop = threading.Event()
        self._no_more = threading.Event()
        self._given_up: set[str] = set()
        self._counted: set[str] = set()  # whose attempt by this process stands in the journal
        self._put_off: Counter[str] = Counter()  # faults of the disk met at a radiograph: the others go first
        self._failed: Counter[str] = Counter()  # attempts to deliver a parcel
        self._broke = False
        self._threads = [threading.Thread(target=self._answering), threading.Thread(target=self._delivering)]

    def start(self) -> None:
        """Begin; what earlier processes left is taken up."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the radiograph in hand, try once to deliver what is made, and return; the rest stays in the spool.

        Raises:
            LaennecError: answering had ended of itself.
        """
        self._stop.set()
        with self.spool.arrived:
            self.spool.arrived.notify_all()
        for thread in self._threads:
            thread.join()
        if self._broke:
            raise LaennecError("radiographs could not be answered any more", "the log says why; the spool keeps them")

    @property
    def idle(self) -> bool:
        """Whether everything accepted is answered, delivered or given up for now."""
        try:
            return not [n for n in self.spool.waiting() if n not in self._given_up] and not self.spool.parcels()
        except (OSError, StorageFull):
            return False

    def _answering(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._work()
                except StorageFull:
                    self.log("fault", code="no_space")
                    self._stop.wait(_PAUSE)
                except OSError as error:
                    self.log("fault", code=type(error).__name__)
                    self._stop.wait(_PAUSE)
        except Exception as error:
            self._broke = True
            self.log("fault", code=type(error).__name__)
        finally:
            self._no_more.set()
            with self.spool.arrived:
                self.spool.arrived.notify_all()

    def _work(self) -> None:
        """Work the spool off until the process is to stop.

        Raises:
            StorageFull, OSError: the disk, or the system, refuses for now.
            DecoderMissing, MakerMissing: no process starts.
        """
        card = self.predictor.bundle.card
        what: What = "image" if self.predictor.gate == "off" else "chest"
        with (
            shared_rows(1, card.preprocess.size) as (place, rows),
            Decoders(place, card.preprocess, 1, what=what, notes=True, patience=_PATIENCE, memory=_MEMORY) as decoders,
            Maker(self.predictor.bundle, memory=_MEMORY) as maker,
        ):
            room = _Room(decoders, maker, rows)
            while not self._stop.is_set():
                names = [name for name in self.spool.waiting() if name not in self._given_up]
                for name in sorted(names, key=lambda name: self._put_off[name]):
                    if self._stop.is_set():
                        break
                    try:
                        self._work_off(name, room)
                    except (OSError, StorageFull):
                        self._put_off[name] += 1
                        self._uncount(name)
                        raise
                with self.spool.arrived:
                    if not names and not self._stop.is_set():
                        self.spool.arrived.wait(1.0)

    @property
    def broken(self) -> bool:
        """Whether answering ended of itself."""
        return self._broke

    def _count(self, name: str) -> int:
        """Count an attempt: one for each process, for what it shall find out is how many ended over it."""
        if name in self._counted:
            return 0
        tries = self.spool.tried(name)
        self._counted.add(name)
        return tries

    def _uncount(self, name: str) -> None:
        with suppress(OSError, StorageFull):  # it stays counted once
            self.spool.untried(name)
            self._counted.discard(name)

    def _work_off(self, name: str, room: _Room) -> None:
        """Answer, refuse or pass over one radiograph. What fails otherwise stays for the next process.

        Raises:
            StorageFull, OSError, DecoderMissing, MakerMissing: as `_work`.
        """
        data = b""
        try:
            if self._count(name) > MOST_TRIES:
                raise ImageError("decoder_died", "processes ended over it", "export it again")
            data = self.spool.path(name).read_bytes()
            passed = self._answer(name, data, room)
            if passed:
                self.tally.passed_over += 1
                self.log("passed_over", id=name, code=passed)
        except ImageError as error:
            if error.code in PASSED_OVER:
                self.tally.passed_over += 1
                self.log("passed_over", id=name, code=error.code)
            else:
                self._refuse(name, data, error, room)
        except (OSError, StorageFull, DecoderMissing, MakerMissing):
            raise
        except Exception as error:
            self.log("fault", id=name, code=error.kind if isinstance(error, MakerFault) else type(error).__name__)
            self._given_up.add(name)
            self._uncount(name)
            return
        self.spool.forget(name)
        self._counted.discard(name)
        self._put_off.pop(name, None)

    def _answer(self, name: str, data: bytes, room: _Room) -> str:
        """Put the objects that answer a radiograph on their way, or tell why it is not answered."""
        seen = look(data, self.most)
        if seen.ours or (seen.instance and self.spool.ours(self.spool.hashed(seen.instance))):
            return "own_object"
        if not seen.radiograph:
            return "not_radiograph"
        key = self.spool.hashed(seen.instance or data, *self.asked)
        if self.spool.answered(key):
            return "answered_before"
        answer = self._predicted(name, room)
        made = room.maker.make(answer, self.spool.path(name), self.kinds)
        objects = [(kind, one) for kind, _, one in made.objects]
        if objects:
            self.spool.pack(name, key, objects, [self.spool.hashed(uid) for _, uid, _ in made.objects])
        else:
            self.spool.note_answered(key)
        self.tally.answered += 1
        self.log(
            "answered",
            id=name,
            input=self.spool.hashed(data),
            bundle=self.predictor.bundle.digest,
            objects=[kind for kind, _ in objects],
            left_out=dict(made.left_out) or None,
            **_verdict(answer),
        )
        return ""

    def _predicted(self, name: str, room: _Room) -> Prediction:
        """The model's answer; the pixels come from the process that decodes."""
        try:
            room.decoders.ask(0, str(self.spool.path(name)))
            read = room.decoders.answer()
        except LaennecError as error:
            raise DecoderMissing("the process that decodes images does not start", error.hint) from error
        if read.code:
            raise ImageError(read.code, read.reason)
        done = read.done or {}
        refused = refusal(done) if self.predictor.gate == "refuse" else None
        if refused is not None:
            raise refused
        (answer,) = self.predictor.answers([room.rows[0]], [done], [read.seconds])
        return answer

    def _refuse(self, name: str, data: bytes, error: ImageError, room: _Room) -> None:
        kept = self._kept(name, room.maker) if self.keeps and error.code not in _DANGEROUS else None
        self.spool.refuse(
            {
                "time": now(),
                "id": name,
                "input": self.spool.hashed(data),
                "code": error.code,
                "reason": error.message,
            }
        )
        self.tally.refused += 1
        self.log("refused", id=name, code=error.code, kept=kept)

    def _kept(self, name: str, maker: Maker) -> bool:
        """Keep a refused file without what tells whose it is; not at all where that cannot be taken out of it."""
        try:
            without = maker.strip(self.spool.path(name))
        except (ImageError, MakerFault):  # what cannot be read can seldom be de-identified
            return False
        if without is None:
            return False
        self.spool.keep_refused(name, without)
        return True

    def _delivering(self) -> None:
        fails = 0
        while True:
            last = self._no_more.is_set()  # what lies there now is all there will be
            left = 0
            try:
                fails = 0 if self._round() else fails + 1
                left = len(self.spool.parcels())
            except OSError as error:  # what is to be delivered cannot be listed now
                fails += 1
                self.log("fault", code=type(error).__name__)
            if last:
                return
            if self._stop.is_set():
                self._no_more.wait()
            elif fails:
                wait = self.backoff[min(fails, len(self.backoff)) - 1]
                self.log("waiting", undelivered=left, again_in=wait)
                self._stop.wait(wait)
            else:
                with self.spool.arrived, suppress(OSError):
                    if not self._no_more.is_set() and not self.spool.parcels():
                        self.spool.arrived.wait(1.0)

    def _round(self) -> bool:
        """Deliver what there is, what failed before last; whether all went well."""
        well = True
        until = time.monotonic() + _GOODBYE
        for parcel in sorted(self.spool.parcels(), key=lambda one: (self._failed[one.key], one.name)):
            if self._stop.is_set() and time.monotonic() > until:
                return False
            try:
                self._deliver(parcel)
                self._failed.pop(parcel.key, None)
            except Unreachable as error:
                self._failed[parcel.key] += 1
                self.log("unreachable", id=parcel.name, to=self.to.kind, reason=error.message)
                return False
            except Exception as error:
                self._failed[parcel.key] += 1
                self.log("fault", id=parcel.name, code=type(error).__name__)
                well = False
        return well

    def _deliver(self, parcel: Parcel) -> None:
        """Hand a parcel over. Raises `Unreachable` where some of it could not be."""
        files = parcel.files()
        codes = self.to.deliver([path.read_bytes() for path in files])
        taken = codes.count(STORED)
        rejected = {
            path.stem.partition("-")[2]: code for path, code in zip(files, codes, strict=True) if code != STORED
        }
        self.spool.delivered(parcel, wholly=not rejected)
        self.tally.delivered += taken
        self.log("delivered", id=parcel.name, to=self.to.kind, objects=taken, rejected=rejected or None)


def _verdict(answer: Any) -> dict[str, Any]:
    """The decision and whether a person should take it; no score, which the objects hold."""
    if answer.positive is None:
        return {"verdict": "outlined"}
    return {"verdict": "positive" if answer.positive else "negative", "refer": answer.refer}
