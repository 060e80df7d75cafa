"""DICOM as a file: syntaxes without preamble, open sequences, colour, facts told and untold, the real ones."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from typing import Any

import corpus
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from laennec.errors import ImageError, MissingExtra
from laennec.images import read


def close(data: bytes, expected: NDArray[Any], tolerance: float = 1e-6) -> dict[str, Any]:
    """Check the picture and give back what was done."""
    picture = read(data)
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels - expected).max() <= tolerance
    return picture.done


def test_files_without_preamble_and_without_meta() -> None:
    x = corpus.ramp(12)
    for syntax in corpus.NATIVE + corpus.LOSSLESS:
        close(corpus.dicom(x, syntax=syntax, preamble=False), x / 4095)
    for syntax in (corpus.EXPLICIT, corpus.IMPLICIT, corpus.BIG):
        data = corpus.dicom(x, syntax=syntax)
        bare = data[132 + 12 + struct.unpack_from("<I", data, 140)[0] :]
        close(bare, x / 4095)


def test_open_sequences_are_stepped_over() -> None:

    inner, outer = Dataset(), Dataset()
    inner.CodeValue, inner.Rows = "PLANTED", 3
    inner.is_undefined_length_sequence_item = True
    outer.PurposeOfReferenceCodeSequence = Sequence([inner, inner])
    outer["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    x = corpus.ramp(12)
    for syntax in (corpus.EXPLICIT, corpus.IMPLICIT, corpus.BIG, corpus.J2K_LOSSLESS):
        data = corpus.dicom(
            x,
            syntax=syntax,
            SourceImageSequence=Sequence([outer, outer]),
            VOILUTSequence=[corpus.lut([0, 4095], 2000, 12)],
        )

        ds = pydicom.dcmread(io.BytesIO(data))
        for keyword in ("SourceImageSequence", "VOILUTSequence"):
            ds[keyword].is_undefined_length = True
            for item in ds[keyword].value:
                item.is_undefined_length_sequence_item = True
        out = io.BytesIO()
        pydicom.dcmwrite(out, ds)
        close(out.getvalue(), (x > 2000).astype(float))


def test_colour_becomes_luminance() -> None:
    rng = np.random.default_rng(5)
    rgb = rng.integers(0, 256, (64, 80, 3)).astype(np.uint8)
    light = (rgb @ [0.299, 0.587, 0.114]) / 255
    for syntax in (
        corpus.EXPLICIT,
        corpus.IMPLICIT,
        corpus.DEFLATED,
        corpus.RLE,
        corpus.J2K_LOSSLESS,
        corpus.JPEG_LS,
        corpus.JPEG_LOSSLESS,
    ):
        done = close(corpus.dicom(rgb, 8, syntax=syntax, photometric="RGB"), light, 1.01 / 255)
        assert done["colour"] == "luminance"
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)).tobytes()
    close(corpus.dicom(rgb, 8, photometric="RGB", pixel_bytes=planes, PlanarConfiguration=1), light, 1.01 / 255)
    ybr = np.stack([np.round(light * 255), np.full(light.shape, 128), np.full(light.shape, 128)], -1).astype(np.uint8)
    close(corpus.dicom(ybr, 8, photometric="YBR_FULL"), light, 1.01 / 255)
    grey = corpus.noise((32, 48)) // 32 * 32
    coded = corpus.saved(np.stack([grey] * 3, -1), "JPEG", quality=98)
    coded += b"\0" * (len(coded) % 2)

    three = np.stack([grey] * 3, -1)
    jpeg = corpus.dicom(three, 8, syntax=corpus.BASELINE, photometric="YBR_FULL_422", pixel_bytes=encapsulate([coded]))
    close(jpeg, grey / 255, 0.15)


def test_facts_and_no_identity() -> None:
    x = corpus.ramp(12)
    done = read(
        corpus.dicom(
            x, ImagerPixelSpacing=["0.143", "0.15"], PixelSpacing=["1", "1"], ViewPosition="PA",
            BurnedInAnnotation="YES", PatientComments="PLANTED", ImageComments="PLANTED",
        )
    ).done  # fmt: skip
    assert (done["pixel_spacing_mm"], done["pixel_spacing_across_mm"]) == (0.143, 0.15)
    assert (done["view"], done["burned_in"]) == ("PA", True)
    assert "planted" not in str(done).lower()
    odd = read(corpus.dicom(x, ViewPosition="PLANTED", PixelSpacing=["0", "0"])).done
    assert odd["view"] == "OTHER" and "pixel_spacing_mm" not in odd
    assert read(corpus.dicom(x, ViewPosition="LL")).done["view"] == "LATERAL"


@pytest.mark.parametrize("word", ["CR", "DX", "RG", "RF", "OT", "SC", None])
def test_modalities_read(word: str | None) -> None:
    x = corpus.ramp(12)
    data = corpus.dicom(x, Modality=word) if word else corpus.dicom(x, drop=("Modality",))
    assert read(data).done["modality"] == (word or "")


def test_without_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:

    plain, coded = corpus.dicom(corpus.ramp(12)), corpus.dicom(corpus.ramp(12), syntax=corpus.J2K_LOSSLESS)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pydicom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert read(plain).done["format"] == "DICOM"
    with pytest.raises(MissingExtra) as caught:
        read(coded)
    assert "laennec[dicom]" in caught.value.hint


def test_real_files(real_data: Path) -> None:
    thorax = read(real_data / "dicom" / "pydicom-data__RG1_J2KI.dcm")
    assert thorax.pixels.shape == (1955, 1841) and thorax.done["inverted"] is True and thorax.done["view"] == "PA"
    rows, columns = thorax.pixels.shape
    spine = thorax.pixels[rows // 2 : rows * 3 // 4, columns * 47 // 100 : columns * 53 // 100].mean()
    lung = thorax.pixels[rows // 4 : rows // 2, columns // 5 : columns // 3].mean()
    assert spine > lung + 0.15  # bone and heart are white, air is dark
    lossy, exact = (read(real_data / "dicom" / f"pydicom-data__RG3_{kind}.dcm").pixels for kind in ("J2KI", "J2KR"))
    assert lossy.shape == exact.shape == (1760, 1760)
    assert np.abs(lossy - exact).mean() < 0.01


def test_an_error_is_an_image_error_with_a_hint() -> None:
    with pytest.raises(ImageError) as caught:
        read(corpus.dicom(corpus.ramp(12), Modality="CT"))
    assert caught.value.hint and caught.value.exit_code == 3
