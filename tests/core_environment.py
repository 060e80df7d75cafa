"""The proof behind `bootstrap.py core`: ``make`` writes a bundle and inputs, ``use`` answers without torch, and so does
``serve`` over HTTP.
"""

from __future__ import annotations

import csv
import importlib.util
import shutil
import sys
from pathlib import Path


def make(folder: Path) -> None:
    """A small int8 bundle, and a folder with a JPEG, a PNG, two DICOM files and one file that is no image."""
    sys.path.insert(0, str(Path(__file__).parent))
    from PIL import Image

    import laennec as ln
    from conftest import LOOSE, data_folder, tiny_pictures, tiny_recipe
    from laennec import phantom
    from laennec.phantom.write import write_dicom

    images = tiny_pictures(folder / "images")
    bundle = ln.train(tiny_recipe(images), folder / "fp32")
    ln.export(bundle, "onnxruntime", "int8", out=folder / "int8", limits=LOOSE)
    inputs = folder / "inputs"
    inputs.mkdir()
    shutil.copy(images / "sick" / "p001_0.png", inputs / "a.png")
    Image.open(inputs / "a.png").save(inputs / "b.jpg")
    write_dicom(phantom.draw(0, 1), inputs / "c.dcm", photometric="MONOCHROME1", bits=12)
    real = data_folder()
    source = sorted((real / "dicom").glob("*.dcm"))[0] if real else inputs / "c.dcm"
    shutil.copy(source, inputs / "d.dcm")
    (inputs / "e.txt").write_text("no image")


def use(folder: Path) -> None:
    """Predict and score with what the core and the dicom extra bring."""
    from laennec.cli import run

    absent = ("torch", "timm", "sklearn", "scipy", "matplotlib", "onnx", "safetensors")
    assert not [name for name in absent if importlib.util.find_spec(name)]
    inputs = sorted(str(path) for path in (folder / "inputs").glob("[a-d].*"))
    assert run(["predict", str(folder / "int8"), *inputs, "--json"]) == 0
    assert run(["score", str(folder / "int8"), str(folder / "inputs"), "--out", str(folder / "out.csv")]) == 3
    rows = list(csv.DictReader((folder / "out.csv").open(newline="")))
    assert [row["file"] for row in rows] == ["a.png", "b.jpg", "c.dcm", "d.dcm"]
    assert rows[0]["label"] == "sick"
    assert run(["evaluate", str(folder / "int8")]) == 1  # needs an extra, and says which
    print("the core environment predicts and scores without torch")


def serve(folder: Path) -> None:
    """Serve with what the extras of the service bring, and answer over HTTP as `predict` does."""
    import json
    import signal
    import subprocess
    import urllib.request

    import laennec as ln

    assert not [name for name in ("torch", "sklearn", "scipy", "matplotlib", "onnx") if importlib.util.find_spec(name)]
    command = [sys.executable, "-m", "laennec", "serve", str(folder / "int8"), "--port", "0", "--gate", "refer", "--ui"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        told = json.loads(process.stderr.readline())
        assert told["event"] == "serving", told
        predictor = ln.open(folder / "int8")
        for path in sorted((folder / "inputs").glob("[a-d].*")):
            asked = urllib.request.Request(told["url"] + "/predict", path.read_bytes(), method="POST")  # noqa: S310
            with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
                given = json.loads(answer.read())
            expected = predictor.predict(path)
            assert given["label"] == expected.label
            assert all(abs(given["probabilities"][k] - v) < 1e-6 for k, v in expected.probabilities.items())
        with urllib.request.urlopen(told["url"], timeout=30) as page:  # noqa: S310
            assert b"Research use only" in page.read()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    print("the environment of the service answers over HTTP as predict does, without torch")


if __name__ == "__main__":
    {"make": make, "use": use, "serve": serve}[sys.argv[1]](Path(sys.argv[2]))
