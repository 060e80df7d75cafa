"""The embeddings of a frozen backbone, computed once for all epochs and kept for the next training that starts alike.

    <cache>/embeddings/<key>.safetensors     kept, targets, val; see `Embeddings`

The key covers the backbone's weights, the pictures and everything done to them, so trainings that differ in the head,
its optimiser or its schedule (a search, the seeds of a study from pretrained weights) share them.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from laennec import progress, storage
from laennec.errors import LaennecError, StorageFull, UsageError, extra
from laennec.network import Network
from laennec.outputs import Outputs
from laennec.sources import Pictures, outputs_of
from laennec.version import VERSION
from laennec.work import Logits, Targets

_NEIGHBOURS = 5
_MOST = 8 * 2**30  # bytes on disk; the longest unused go first


class Embeddings:
    """What a frozen backbone makes of several changed views of each training picture, computed once.

    Attributes:
        kept: ``float32 [views, n, features]``.
        targets: ``float32 [views, n, labels]``.
        val: ``float32 [n, features]`` of the unchanged validation pictures.
    """

    def __init__(self, pictures: Pictures, network: Network, views: int, seed: int) -> None:
        """Run the backbone, or take what an earlier training with the same start kept.

        Raises:
            UsageError: SMOTE was asked for and cannot be.
        """
        self._pictures = pictures
        network.eval()
        key = self._key(network, views, seed)
        made = shelved(key)
        if made is None:
            made = self._made(network, views, seed)
            shelve(key, made)
        self.kept, self.targets, self.val = made["kept"], made["targets"], made["val"].to(pictures.device)
        self.values = pictures.values
        if pictures.recipe.training.balance == "smote":
            self._add_between(seed)

    def _key(self, network: Network, views: int, seed: int) -> str:
        """Digest of all that decides the embeddings: backbone, pictures, changes, precision, seed, teacher."""
        pictures, state = self._pictures, hashlib.sha256()
        for name, tensor in sorted(network.backbone.state_dict().items()):
            state.update(name.encode())
            state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        for part in (pictures.train, pictures.val):
            state.update(np.ascontiguousarray(part.pixels[part.rows]).tobytes())
        state.update(pictures.values.tobytes())
        recipe = pictures.recipe
        facts: list[Any] = [recipe.augmentation.model_dump(), recipe.training.precision, pictures.device.type]
        facts += [recipe.model.model_dump(mode="json"), [version(name) for name in ("torch", "timm")]]
        facts += [views, seed]
        facts += [recipe.preprocess.model_dump(mode="json"), recipe.teacher.share, pictures.taught_by, VERSION]
        facts += [max(64, recipe.training.batch_size), torch.get_num_threads()]
        return storage.digest([state.hexdigest(), *facts])

    def _made(self, network: Network, views: int, seed: int) -> dict[str, torch.Tensor]:
        kept, targets = [], []
        for view in range(views):
            generator = torch.Generator().manual_seed((seed * 1_000 + view) % 2**31)
            one = self._view(network, generator, f"embedding view {view + 1} of {views}")
            kept.append(one[0])
            targets.append(one[1])
        with torch.inference_mode():
            val = torch.cat([network.features(p.float() / 255.0).float().cpu() for p in self._pictures.validation()])
        return {"kept": torch.stack(kept), "targets": torch.stack(targets), "val": val.clone()}

    def _view(self, network: Network, generator: torch.Generator, title: str) -> tuple[torch.Tensor, torch.Tensor]:
        pictures, size = self._pictures, max(64, self._pictures.recipe.training.batch_size)
        kept, targets = [], []
        with progress.track(title, len(pictures.values)) as step, torch.inference_mode(), pictures.autocast():
            # Shuffled, since mixup takes its partners from the batch, and files lie in the order of their class.
            order = torch.randperm(len(pictures.values), generator=generator).numpy()
            for at in range(0, len(order), size):
                which = order[at : at + size]
                images, wanted = pictures.batch(which, generator)
                kept.append(network.features(images).float().cpu().clone())
                targets.append(wanted.labels.cpu().clone())
                step.advance(len(which))
        back = torch.from_numpy(np.argsort(order))
        return torch.cat(kept)[back], torch.cat(targets)[back]

    def _add_between(self, seed: int) -> None:
        """SMOTE on the embeddings of the training part, view by view, up to the size of the largest class."""
        recipe = self._pictures.recipe
        if not self._pictures.work.labels.exclusive or recipe.augmentation.mixup or self._pictures.teacher is not None:
            raise UsageError(
                "smote needs one certain label an image: labels that exclude each other, no mixup, no teacher",
                'set training.balance = "class_weights" or "sampler"',
            )
        with extra("train"):
            from imblearn.over_sampling import SMOTE
        classes = self.values.argmax(axis=1)
        rarest = int(np.bincount(classes, minlength=self.values.shape[1]).min())
        if rarest < 2:
            raise UsageError("smote needs two training images of each label", "add images, or take another balance")
        kept = []
        for view in self.kept:
            smote = SMOTE(random_state=seed % 2**31, k_neighbors=min(_NEIGHBOURS, rarest - 1))
            more, labels = smote.fit_resample(view.numpy(), classes)
            kept.append(torch.from_numpy(more.astype(np.float32)))
        self.kept = torch.stack(kept)
        self.values = np.eye(self.values.shape[1], dtype=np.float32)[labels]
        self.targets = torch.from_numpy(self.values).expand(len(kept), -1, -1)

    def batch(self, which: np.ndarray, generator: torch.Generator) -> tuple[torch.Tensor, Targets]:
        """Embeddings ``float [n, features]``, each of a view drawn anew, and targets."""
        view = torch.randint(len(self.kept), (len(which),), generator=generator)
        at = torch.from_numpy(np.asarray(which))
        device = self._pictures.device
        return self.kept[view, at].to(device), Targets(self.targets[view, at].to(device))

    def logits(self, network: Network, shown: torch.Tensor) -> Logits:
        """Logits ``[n, labels]`` of the head."""
        return Logits(network.head(shown))

    def judged(self, network: Network) -> Outputs:
        """Probabilities of the validation part, by the head on its kept embeddings."""
        network.eval()
        with torch.inference_mode():
            answered = self._pictures.work.activate(Logits(network.head(self.val)))
        return outputs_of([answered])


def shelved(key: str) -> dict[str, torch.Tensor] | None:
    """What was kept under `key`; None where there is nothing sound."""
    path = storage.cache_folder("embeddings") / f"{key}.safetensors"
    try:
        data = path.read_bytes()
        sound = hashlib.sha256(data[64:]).hexdigest().encode() == data[:64]
        tensors = load(data[64:]) if sound else None
    except (OSError, SafetensorError):
        return None
    if tensors is None:
        progress.say("kept embeddings are damaged; they are made again")
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None
    with suppress(OSError):  # a cache shared by others may be read-only
        os.utime(path)
    progress.say(f"embeddings of {tensors['kept'].shape[1]:,} pictures were kept from an earlier training")
    return tensors


def shelve(key: str, tensors: dict[str, torch.Tensor]) -> None:
    """Keep `tensors` under `key`; where that cannot be, say so and go on."""
    folder = storage.cache_folder("embeddings")
    data = save(tensors)
    if len(data) > _MOST:
        return
    try:
        storage.write_bytes(folder / f"{key}.safetensors", hashlib.sha256(data).hexdigest().encode() + data)
        files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in files:
            total += path.stat().st_size
            if total > _MOST:
                path.unlink(missing_ok=True)
    except (OSError, StorageFull, LaennecError) as error:
        progress.say(f"the embeddings cannot be kept for another training: {error}")
