"""Which public sets of chest radiographs hold which: whether a test on one is external to a model made with another.

Only what the sets' publishers say is written here, each line with where they say it. Sets gathered from others are
followed down to the collections their images were first published in; two sets that reach one of them may share
images, and nearly always share patients.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from laennec.noun import Noun
from laennec.wording import Text, tell


class Holding(Noun):
    """Images taken from another set: of which, whether ``all`` of its own come from there, and who says so."""

    of: str
    how: Literal["all", "some"]
    source: str


class PublicSet(Noun):
    """A public set.

    Attributes:
        name: as data sets here name themselves, where they have a member.
        names: others it goes by; compared without case, spaces and punctuation.
        holds: what it took from other sets.
        source: where it is described.
    """

    name: str
    title: str
    names: tuple[str, ...] = ()
    holds: tuple[Holding, ...] = ()
    source: str


class Answer(Noun):
    """Whether a set may be called external to another, and why."""

    external: Literal["yes", "no", "unknown"]
    why: Text


def _some(source: str, *of: str) -> tuple[Holding, ...]:
    return tuple(Holding(of=name, how="some", source=source) for name in of)


def _all(source: str, of: str) -> tuple[Holding, ...]:
    return (Holding(of=of, how="all", source=source),)


_KERMANY = "Kermany et al., Cell 2018, doi:10.1016/j.cell.2018.02.010; data doi:10.17632/rscbjbr9sj"
_RSNA = "Shih et al., Radiology: Artificial Intelligence 2019, doi:10.1148/ryai.2019180041"
_MEDMNIST = "Yang et al., Scientific Data 2023, doi:10.1038/s41597-022-01721-8"
_COVID_RADIOGRAPHY = (
    "Chowdhury et al., IEEE Access 2020, doi:10.1109/ACCESS.2020.3010287; Rahman et al., Computers in Biology and "
    "Medicine 2021, doi:10.1016/j.compbiomed.2021.104319; its metadata tables"
)
_COHEN = "Cohen et al., arXiv:2006.11988"
_COVIDX = "Wang, Lin & Wong, Scientific Reports 2020, doi:10.1038/s41598-020-76550-z"
_QU_EX = "Tahir et al., Computers in Biology and Medicine 2021, doi:10.1016/j.compbiomed.2021.105002"
_TB = "Rahman et al., IEEE Access 2020, doi:10.1109/ACCESS.2020.3031384"
_SIIM = "Filice et al., Journal of Digital Imaging 2020, doi:10.1007/s10278-019-00299-9"
_MAJKOWSKA = "Majkowska et al., Radiology 2020, doi:10.1148/radiol.2019191293"
_V7 = "V7 Labs, github.com/v7labs/covid-19-xray-dataset"
_NLM = "Jaeger et al., Quantitative Imaging in Medicine and Surgery 2014, doi:10.3978/j.issn.2223-4292.2014.11.20"
_CHEXPERT = "Irvin et al., AAAI 2019, arXiv:1901.07031"
_MIMIC = "Johnson et al., Scientific Data 2019, doi:10.1038/s41597-019-0322-0"
_PADCHEST = "Bustos et al., Medical Image Analysis 2020, doi:10.1016/j.media.2020.101797"
_VINDR = "Nguyen et al., Scientific Data 2022, doi:10.1038/s41597-022-01498-w"

SETS: tuple[PublicSet, ...] = (
    PublicSet(
        name="kermany",
        title="Chest X-Ray Images (Pneumonia)",
        names=("chest_xray", "ChestXRay2017", "chest-xray-pneumonia", "Guangzhou"),
        source=_KERMANY,
    ),
    PublicSet(
        name="pneumoniamnist", title="PneumoniaMNIST", holds=_all(_MEDMNIST, "kermany"), source=_MEDMNIST,
    ),
    PublicSet(name="chestmnist", title="ChestMNIST", holds=_all(_MEDMNIST, "nih"), source=_MEDMNIST),
    PublicSet(
        name="nih",
        title="NIH ChestX-ray14",
        names=("ChestX-ray14", "ChestX-ray8", "NIH ChestX-ray", "NIH chest x-rays", "CXR14", "NIH Clinical Center"),
        source="Wang et al., CVPR 2017, doi:10.1109/CVPR.2017.369",
    ),
    PublicSet(
        name="rsna",
        title="RSNA Pneumonia Detection Challenge",
        names=("rsna-pneumonia-detection-challenge", "rsna pneumonia"),
        holds=_all(_RSNA, "nih"),
        source=_RSNA,
    ),
    PublicSet(
        name="siim_acr",
        title="SIIM-ACR Pneumothorax Segmentation",
        names=("siim-acr-pneumothorax-segmentation", "siim acr pneumothorax", "siim"),
        holds=_all(_SIIM, "nih"),
        source=_SIIM,
    ),
    PublicSet(
        name="nih_google",
        title="NIH ChestX-ray14, four findings read by radiologists for Google",
        holds=_all(_MAJKOWSKA, "nih"),
        source=_MAJKOWSKA,
    ),
    PublicSet(
        name="cohen",
        title="COVID-19 Image Data Collection",
        names=("covid-chestxray-dataset", "covid-ccby", "ieee8023"),
        source=_COHEN,
    ),
    PublicSet(
        name="bimcv_covid", title="BIMCV-COVID19+", names=("BIMCV-COVID19", "BIMCV COVID-19+"),
        source="de la Iglesia Vayá et al., arXiv:2006.01174",
    ),
    PublicSet(
        name="covid_radiography",
        title="COVID-19 Radiography Database",
        names=("COVID-19_Radiography_Dataset", "COVID-19 Radiography Database", "covid19-radiography-database"),
        holds=_some(_COVID_RADIOGRAPHY, "kermany", "rsna", "cohen", "bimcv_covid"),
        source=_COVID_RADIOGRAPHY,
    ),
    PublicSet(
        name="covidx",
        title="COVIDx",
        names=("COVIDx CXR", "covidx-cxr-2", "covidx-cxr2"),
        holds=_some(_COVIDX, "cohen", "rsna", "covid_radiography"),
        source=_COVIDX,
    ),
    PublicSet(
        name="covid_qu_ex",
        title="COVID-QU-Ex",
        names=("COVID-QU-Ex Dataset", "covidqu"),
        holds=_some(_QU_EX, "kermany", "rsna", "padchest", "cohen", "covid_radiography"),
        source=_QU_EX,
    ),
    PublicSet(
        name="v7_covid",
        title="V7 Labs COVID-19 X-ray data set (lung masks)",
        names=("covid-19-xray-dataset", "v7 darwin covid-19"),
        holds=_some(_V7, "kermany", "cohen"),
        source=_V7,
    ),
    PublicSet(name="montgomery", title="Montgomery County tuberculosis set", names=("MontgomerySet",), source=_NLM),
    PublicSet(name="shenzhen", title="Shenzhen tuberculosis set", names=("ChinaSet_AllFiles",), source=_NLM),
    PublicSet(
        name="tb_chest",
        title="Tuberculosis (TB) Chest X-ray Database",
        names=("TB_Chest_Radiography_Database", "tuberculosis-tb-chest-xray-dataset"),
        holds=_some(_TB, "montgomery", "shenzhen", "rsna"),
        source=_TB,
    ),
    PublicSet(name="chexpert", title="CheXpert", names=("CheXpert-v1.0", "CheXpert-v1.0-small"), source=_CHEXPERT),
    PublicSet(
        name="chexpert_plus", title="CheXpert Plus", source="Chambon et al., arXiv:2405.19538",
        holds=_all("Chambon et al., arXiv:2405.19538", "chexpert"),
    ),
    PublicSet(
        name="mimic_cxr",
        title="MIMIC-CXR",
        names=("MIMIC-CXR-JPG", "mimic"),
        source=_MIMIC,
    ),
    PublicSet(name="padchest", title="PadChest", names=("BIMCV-PadChest",), source=_PADCHEST),
    PublicSet(name="vindr_cxr", title="VinDr-CXR", names=("vindr",), source=_VINDR),
    PublicSet(
        name="vinbigdata",
        title="VinBigData Chest X-ray Abnormalities Detection",
        names=("vinbigdata-chest-xray-abnormalities-detection",),
        holds=_all(_VINDR, "vindr_cxr"),
        source=_VINDR,
    ),
)  # fmt: skip


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.casefold())


_BY_NAME = {_plain(called): one for one in SETS for called in (one.title, one.name, *one.names)}


def known(name: str) -> PublicSet | None:
    """The public set of that name; None of a set that is not in the table.

    The size that a set of MedMNIST carries in its name counts for nothing (``pneumoniamnist_224``).
    """
    return _BY_NAME.get(_plain(name)) or _BY_NAME.get(_plain(re.sub(r"[_ -]?(28|64|128|224)$", "", name)))


def mentioned(text: str) -> tuple[PublicSet, ...]:
    """The public sets that a line about weights names, such as ``densenet-chexpert.safetensors``."""
    words = re.findall(r"[a-z0-9]+", text.casefold())
    runs = {"".join(words[a:b]) for a in range(len(words)) for b in range(a + 1, min(a + 5, len(words)) + 1)}
    return tuple(one for one in SETS if any(_plain(called) in runs for called in (one.name, *one.names)))


def reached(one: PublicSet) -> dict[str, tuple[Holding, ...]]:
    """The sets its images come from, itself among them, each with the way there."""
    ways: dict[str, tuple[Holding, ...]] = {one.name: ()}
    waiting = [one.name]
    while waiting:
        name = waiting.pop(0)
        for holding in _BY_NAME[_plain(name)].holds:
            if holding.of not in ways:
                ways[holding.of] = (*ways[name], holding)
                waiting.append(holding.of)
    return ways


def relatives(one: PublicSet) -> Iterator[tuple[PublicSet, Text]]:
    """Every other set in the table that may share images with it, and why."""
    for other in SETS:
        if other.name != one.name and (why := _shared(one, other)) is not None:
            yield other, why


def external(name: str, to: str) -> Answer:
    """Whether the set `name` may be called external to the set `to`: to what a model saw while it was made.

    ``yes`` takes both sets to be in the table and to reach no set in common: it rests on what is published, not on a
    look at the images. What is not in the table is ``unknown``, unless both go by one name that is.
    """
    one, other = known(name), known(to)
    if one is None or other is None:
        lacking = " and ".join(dict.fromkeys(repr(n) for n, found in ((name, one), (to, other)) if found is None))
        why = tell(
            "nothing is known here of where the images of {n} come from",
            "l’origine des images de {n} n’est pas connue ici",
            n=lacking.replace("'", "").replace(" and ", ", "),
        )
        return Answer(external="unknown", why=why)
    if one.name == other.name:
        why = tell("both are {t}", "il s’agit dans les deux cas de {t}", t=one.title)
        return Answer(external="no", why=why)
    shared = _shared(one, other)
    if shared is not None:
        return Answer(external="no", why=shared)
    why = tell(
        "{a} and {b} were gathered apart, as far as their publishers say",
        "{a} et {b} ont été constitués séparément, d’après leurs éditeurs",
        a=one.title, b=other.title,
    )  # fmt: skip
    return Answer(external="yes", why=why)


def _shared(one: PublicSet, other: PublicSet) -> Text | None:
    """Why two sets may share images; None where nothing says so."""
    mine, theirs = reached(one), reached(other)
    # the nearest set in common says most
    common = sorted(mine.keys() & theirs.keys(), key=lambda name: (len(mine[name]) + len(theirs[name]), name))
    if not common:
        return None
    name = common[0]
    way = (*mine[name], *theirs[name])
    sources = "; ".join(dict.fromkeys(holding.source for holding in way))
    middle = _BY_NAME[_plain(name)]
    if name in (one.name, other.name):
        part = other if name == one.name else one
        en, fr = "{p} takes images from {w} ({s})", "{p} reprend des images de {w} ({s})"
        if len(way) == 1 and way[0].how == "all":
            en, fr = "all images of {p} are images of {w} ({s})", "toutes les images de {p} proviennent de {w} ({s})"
        return tell(en, fr, p=part.title, w=middle.title, s=sources)
    return tell(
        "{a} and {b} both take images from {w} ({s})",
        "{a} et {b} reprennent tous deux des images de {w} ({s})",
        a=one.title, b=other.title, w=middle.title, s=sources,
    )  # fmt: skip
