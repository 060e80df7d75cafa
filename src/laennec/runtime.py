"""A bundle's model started in the backend its card names, and run over a part of a split."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from laennec import family, progress
from laennec.backends import Session
from laennec.bundle import Bundle
from laennec.card import Card
from laennec.errors import LaennecError
from laennec.loader import Part
from laennec.outputs import Outputs
from laennec.storage import digest

_BATCH = 64
_KEPT = 4
_answers: OrderedDict[str, Outputs] = OrderedDict()


def start(bundle: Bundle, threads: int = 0) -> Session:
    """A session for `bundle`; `threads` 0 takes all cores.

    Raises:
        UnknownName: the backend is not installed here.
        MissingExtra: its library is not.
        UntrustedBundle: the runtime refuses the model.
    """
    return start_with(bundle.card, bundle.model_files(), threads)


def start_with(card: Card, files: Mapping[str, bytes], threads: int = 0) -> Session:
    """A session for a model that is not sealed yet; raises as `start`."""
    session: Session = family.member("backends", card.backend).start(card, files, threads)
    return session


def answers(bundle: Bundle, part: Part) -> Outputs:
    """Answers of a bundle for every image of a part of its own data.

    The last few are kept: a search for a smaller model holds every candidate against the same answers, and a sealed
    bundle does not change.

    Raises:
        LaennecError: the model answers NaN.
    """
    key = digest([bundle.digest, bundle.card.data.split_digest, [sample.id for sample in part.samples]])
    if key not in _answers:
        _answers[key] = infer(start(bundle), part, bundle.name)
        if len(_answers) > _KEPT:
            _answers.popitem(last=False)
    _answers.move_to_end(key)
    return _answers[key]


def infer(session: Session, part: Part, name: str, also: Sequence[str] = ()) -> Outputs:
    """Answers for every image of a part; `name` is what progress and errors call it, `also` as of `Session.run`.

    Raises:
        LaennecError: the model answers NaN.
    """
    answers = []
    with progress.track(f"{name}: inference", len(part)) as step:
        for at in range(0, len(part), _BATCH):
            pixels = part.batch(slice(at, at + _BATCH))
            answers.append(session.run(pixels, also) if also else session.run(pixels))
            step.advance(len(answers[-1]))
    given = Outputs.joined(answers)
    if not given.finite:
        raise LaennecError(f"'{name}' answers NaN", "the model is damaged: train or export it again")
    return given
