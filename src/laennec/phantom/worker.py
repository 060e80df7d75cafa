"""Draw and write some patients of a phantom data set: called in process, or as ``python -m laennec.phantom.worker``.

A separate process takes its job as JSON on stdin and answers one JSON row per image on stdout. It is used instead of
multiprocessing, which would run the caller's own script again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from laennec.errors import LaennecError
from laennec.phantom import draw, images_of
from laennec.phantom.write import Photometric, write_dicom, write_mask, write_png

Format = Literal["png", "dicom", "mixed"]


def write_patients(folder: Path, seed: int, patients: list[int], size: int, form: Format) -> Iterator[dict[str, Any]]:
    """Write images and masks of `patients` under `folder` and yield what the index says of each image."""
    for patient in patients:
        for image in range(images_of(seed, patient)):
            phantom = draw(seed, patient, image, size)
            stem = f"{phantom.patient}_{image}"
            dicom = form == "dicom" or (form == "mixed" and patient % 2 == 1)
            name = f"images/{stem}.dcm" if dicom else f"images/{stem}.png"
            if dicom:
                photometric: Photometric = "MONOCHROME1" if patient % 3 == 0 else "MONOCHROME2"
                write_dicom(phantom, folder / name, photometric=photometric, bits=max(10, phantom.bits), image=image)
            else:
                write_png(phantom, folder / name)
            write_mask(phantom, folder / f"masks/{stem}.png")
            yield {
                "id": name,
                "patient": phantom.patient,
                "finding": phantom.finding,
                "age": "adult" if phantom.adult else "child",
                "view": phantom.view,
                "source": phantom.source,
                "mask": f"masks/{stem}.png",
                "boxes": [asdict(box) for box in phantom.boxes],
            }


def main() -> int:
    """Do the job on stdin; the exit code is that of the error, whose two lines go to stderr as JSON."""
    job = json.load(sys.stdin)
    try:
        for row in write_patients(Path(job["folder"]), job["seed"], job["patients"], job["size"], job["format"]):
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
    except LaennecError as error:
        sys.stderr.write(json.dumps([error.message, error.hint]) + "\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
