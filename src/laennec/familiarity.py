"""What is unlike the training images, fitted for a model at work."""

from __future__ import annotations

import numpy as np

from laennec import novelty, progress
from laennec.backends import Session
from laennec.card import Card
from laennec.errors import UsageError
from laennec.loader import Feed, Part
from laennec.outputs import FEATURES
from laennec.runtime import infer
from laennec.trust import Novelty

FILE = "novelty.npy"


def fitted(
    session: Session, card: Card, feed: Feed, *, bound_to: tuple[str, str], seed: int
) -> tuple[Novelty, bytes] | None:
    """The noun and its file; None, with a line that says why, where the model gives no features.

    Args:
        session: of the model.
        card: says the labels.
        feed: with the parts ``train``, of which `novelty.MOST` images are drawn, and ``val``.
        bound_to: digests of the split and of the model.
        seed: of the draw.
    """
    train, val = feed.part("train"), feed.part("val")
    named = np.nan_to_num(train.values, nan=-1.0)
    kinds = named.argmax(axis=1) if card.labels.exclusive else named[:, card.labels.positive_indices[0]]
    known = np.flatnonzero((named == 1).any(axis=1) if card.labels.exclusive else kinds >= 0)
    chosen = np.sort(np.random.default_rng([seed, 7]).permutation(known)[: novelty.MOST])
    if session.run(val.batch(slice(0, 1)), (FEATURES,)).features is None:
        progress.say("what is unlike the training images is not told: the model gives no features")
        return None
    seen = _features(session, _some(train, chosen), "train")
    try:
        distance = novelty.fit(seen, kinds[chosen])
    except UsageError as error:
        progress.say(f"what is unlike the training images is not told: {error.message}")
        return None
    far = distance(_features(session, val, "val"))
    noun = Novelty(
        file=FILE,
        threshold=max(float(np.quantile(far, novelty.LEVEL)), 1e-6),
        level=novelty.LEVEL,
        n=len(chosen),
        n_val=len(far),
        classes=len(np.unique(kinds[chosen])),
        kept=distance.kept,
        split_digest=bound_to[0],
        model_digest=bound_to[1],
    )
    progress.say(
        f"unlike: beyond {noun.threshold:.2f} standard deviations in {noun.kept} dimensions, the quantile "
        f"{noun.level} of {noun.n_val} validation images"
    )
    return noun, distance.written()


def _some(part: Part, which: np.ndarray) -> Part:
    return Part(tuple(part.samples[at] for at in which), part.rows[which], part.pixels, ())


def _features(session: Session, part: Part, name: str) -> np.ndarray:
    features = infer(session, part, name, (FEATURES,)).features
    assert features is not None  # noqa: S101  it was asked for one image before
    return features
