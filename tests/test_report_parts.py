"""A report beside its figures, and the documents made of it: from the card, the report and audits, and nothing else."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import numpy as np
import pytest

from laennec.card import Architecture, Card, DataSeen, FileSeal, TrainingSeen
from laennec.checks import Audit
from laennec.costs import Cost, Timing
from laennec.decisions import outcomes
from laennec.errors import UsageError
from laennec.estimates import Estimate
from laennec.intervals import wilson
from laennec.labels import LabelSet
from laennec.page import as_markdown, data_sheet, errors_pictured, model_card, report_page
from laennec.page.documents import STATED, at, sources
from laennec.page.report_parts import duration, parts
from laennec.page.voice import Voice
from laennec.preprocess import Preprocess
from laennec.prevalence import predictive_values
from laennec.results import Mistake, OperatingPoint, Report
from laennec.sections import Head
from laennec.trust import Abstained, Calibration
from test_audit_page import CURVES, made_audit, made_check, tongue
from test_page import DIGEST, EVIL, Parsed, made_report, thumbnail

POINTS = {
    rule: OperatingPoint(
        rule=rule, threshold=at_, sensitivity=0.95, specificity=0.9, n=40, split_digest=DIGEST, model_digest=DIGEST
    )
    for rule, at_ in (("balanced", 0.5), ("rule_out", 0.35), ("rule_in", 0.65))
}  # fmt: skip


def made_card(**changes: Any) -> Card:
    told: dict[str, Any] = {
        "name": "a-model", "task": "classify", "parent": "cd" * 32,
        "labels": LabelSet(names=("normal", "pneumonia"), positive=("pneumonia",)),
        "preprocess": Preprocess(size=128), "backend": "onnxruntime", "precision": "int8",
        "model": Architecture(name="cnn", options={}, head=Head()), "parameters": 918051, "starting_weights": "random",
        "operating_points": POINTS, "decision": "balanced", "recipe": {"name": "<b>tiny</b>", "seed": 7},
        "data": DataSeen(
            collection="a set", collection_digest=DIGEST, licence="CC BY 4.0", citation="a paper",
            notes=("children of <one> hospital",), split_digest=DIGEST, split_how="by patient",
            images={"train": 4432, "val": 784, "test": 60}, patients={"train": 3106, "val": 548, "test": 30},
            files={"train": DIGEST, "val": DIGEST, "test": DIGEST},
        ),
        "training": TrainingSeen(
            epochs=6, kept_epoch=5, seconds=422.7, hardware="a machine", threads=2, validation={"auroc": 0.99}
        ),
        "made": "2025-01-01", "laennec": "0.0.0", "files": {"model.onnx": FileSeal(sha256=DIGEST, bytes=3694556)},
    }  # fmt: skip
    return Card(**(told | changes))


COST = Cost(
    parameters=918051, name="a-model", bundle_digest=DIGEST, backend="onnxruntime", precision="int8", megabytes=3.69,
    timings=(
        Timing(
            backend="onnxruntime", precision="int8", threads=2, batch=1, milliseconds=4.17, milliseconds_p95=5.29,
            images_per_second=239.8,
        ),
    ),
    batch=16, threads=2, hardware="a machine", made="2025", laennec="0.0.0",
)  # fmt: skip
ALONE = LabelSet(names=("a", "b"), exclusive=False, positive=("a",))
REFERRED = Abstained(
    asked=0.95, covered={"normal": Estimate(value=0.937, low=0.9, high=0.96, n=30, method="wilson")},
    referred=Estimate(value=0.117, low=0.1, high=0.14, n=60), uncertain=Estimate(value=0.1, n=60),
    unlike=Estimate(value=0.033, n=60), sizes={1: 50, 2: 10}, error=Estimate(value=0.041, n=50),
    error_all=Estimate(value=0.083, n=60), error_referred=Estimate(value=0.3, n=10),
    risk_coverage=((0.5, 0.01), (1.0, 0.083)), aurc=Estimate(value=0.02, n=60),
)  # fmt: skip
TWICE = tuple(made_check(name, "warn", charts=(CURVES,)) for name in ("one", "other"))
AUDITS = (
    made_audit("model", part="val"),
    made_audit("data", collection_digest=DIGEST),
    made_audit("data", split_digest="00" * 32, checks=(made_check("parted", "pass"),)),
    made_audit("data", collection_digest="00" * 32, checks=(made_check("foreign", "pass"),)),
    made_audit("model", bundle_digest="ee" * 32, part="test", checks=(made_check("stranger", "fail"),)),
)


def known_report(**changes: Any) -> Report:
    """With what an evaluation says of other prevalences, and of referring."""
    report = made_report(abstention=REFERRED, **changes)
    cells = outcomes(report.scores, report.truths, report.threshold)
    return report.model_copy(update={"prevalences": predictive_values(*cells)})


@cache
def page(full: bool = True) -> str:
    if not full:
        return report_page(made_report(), card=made_card())
    return report_page(
        known_report(), card=made_card(), audits=AUDITS, cost=COST, thumbnails={EVIL: thumbnail()},
        maps={EVIL: thumbnail()}, language="fr",
    )  # fmt: skip


@pytest.mark.parametrize("full", [True, False])
def test_page_keeps_the_rules_of_all_pages(full: bool) -> None:
    parsed = Parsed(page(full))
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object", "embed", "base", "form", "i"}
    for tag, attributes in parsed.tags:
        assert "style" not in attributes, tag
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), tag
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', page(full))) <= set(ids)
    assert all(cell.get("scope") in ("row", "col") for cell in parsed.all("th"))


@pytest.mark.parametrize(
    ("lang", "order"),
    [
        (
            "en",
            "What it is for, and not for|What this means|Operating points|Figures|The most certain errors|All figures|"
            "Predictive values by prevalence|When it asks a person|Subgroups, shortcuts and robustness|The data|"
            "Cost and energy|Where it comes from",
        ),
        (
            "fr",
            "À quoi il sert, et à quoi il ne sert pas|Ce que cela veut dire|Seuils de décision au choix|Graphiques|"
            "Les erreurs les plus assurées|Tous les résultats|Valeurs prédictives selon la prévalence|"
            "Quand il s’en remet à une personne|Sous-groupes, raccourcis et robustesse|Les données|Coût et énergie|"
            "Provenance",
        ),
    ],
)
def test_parts_follow_one_another(lang: str, order: str) -> None:
    half = page().split('<div class="tongue" lang="fr">')[lang == "fr"]
    heads = [re.sub(r"<[^>]*>", "", head) for head in re.findall(r"<h[23][^>]*>(.*?)</h[23]>", half)]
    place = 0
    for name in order.split("|"):
        place = heads.index(name, place)


def test_every_operating_point_is_judged_on_these_images() -> None:
    report, card = made_report(), made_card()
    rows = {row["rule"]: row for row in parts(report, card, (), None, Voice("en"))["points"]}
    assert list(rows) == ["rule_out", "balanced", "rule_in"]
    for rule, row in rows.items():
        with_it = [report.scores[key] for key, truth in report.truths.items() if truth]
        hits = sum(score >= POINTS[rule].threshold for score in with_it)
        assert row["sensitivity"] == wilson(hits, len(with_it))
        assert row["missed"] == len(with_it) - hits
    assert rows["balanced"]["here"] and not rows["rule_in"]["here"]
    assert rows["rule_out"]["sensitivity"].value >= rows["rule_in"]["sensitivity"].value
    other = {"balanced": POINTS["balanced"].model_copy(update={"model_digest": "00" * 32})}
    assert parts(report, made_card(operating_points=other), (), None, Voice("en"))["points"] == []


def test_what_is_known_is_told_and_what_is_not_is_told_as_such() -> None:
    full, bare = tongue(page(), "en"), tongue(page(False), "en")
    for sentence in ("4,432 of 3,106 patients from a set", "children of <one> hospital", "7.0 min", "93.7", "4.17 ms"):
        assert sentence in full
    assert "It refers 11.7" in full and "This model refers nobody" in bare
    assert "shift at length" in full and "stranger" not in full
    assert "Not measured: whether it does worse in some groups" in bare
    assert "No audit of these data lies with the model" in bare
    assert "Time of one image not measured" in bare
    assert "cd" * 32 in full and "918,051 parameters, 3.69 MB" in full
    assert "<b>tiny</b>" in full  # the recipe, as text
    assert tongue(page(), "fr").count("Non mesuré") == 0
    assert len(Parsed(page()).all("img")) == 4  # picture and map, in both languages


@pytest.mark.parametrize(
    ("changes", "part", "sentence", "missing"),
    [
        ({}, "test", "this report measures it within a set only", "unlike both"),
        ({}, "external", "unlike both a set and a set", "within a set only"),
        ({"labels": ALONE}, "test", "of others it says nothing", "knows no other"),
        ({"task": "segment"}, "test", "Outlining the lungs", "Telling whether"),
    ],
)  # fmt: skip
def test_use_is_read_from_card_and_report(changes: dict[str, Any], part: str, sentence: str, missing: str) -> None:
    found = parts(made_report(part=part), made_card(**changes), (), None, Voice("en"))["use"]
    text = " ".join(map(str, [*found["for"], *found["not"]]))
    assert sentence in text
    assert missing not in text
    groups = made_audit("model", checks=(made_check("subgroups", "warn"),))
    assert "age, sex" in text
    found = parts(made_report(part=part), made_card(**changes), (groups,), None, Voice("en"))["use"]
    assert "age, sex" not in " ".join(map(str, found["not"]))


def test_durations() -> None:
    assert [duration(s, Voice("en")) for s in (61.0, 422.7, 9000.0)] == ["61 s", "7.0 min", "2.5 h"]


def numbers(value: Any) -> list[float]:
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int | float):
        return [float(value)]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [number for one in inside for number in numbers(one)]


def documents(report: Report, card: Card, audits: tuple[Audit, ...], cost: Cost | None) -> list[dict[str, Any]]:
    return [model_card(card, report, audits, cost), data_sheet(card, report, audits)]


@pytest.mark.parametrize("full", [True, False])
def test_documents_hold_only_what_stands_in_their_sources(full: bool) -> None:
    card, audits, cost = made_card(), (AUDITS[0], AUDITS[1], AUDITS[-1]) if full else (), COST if full else None
    report = known_report() if full else made_report()
    files = json.loads(json.dumps(sources(card, report, audits, cost)))
    for document in json.loads(json.dumps(documents(report, card, audits, cost))):
        seen = 0
        for section in document["sections"]:
            assert section["entries"] or section["name"]["en"].startswith("Audits"), section["name"]
            for entry in section["entries"]:
                assert entry["name"]["en"].strip() and entry["name"]["fr"].strip()
                if entry["source"] is None:
                    assert entry["value"] is None
                elif entry["source"] == STATED:
                    assert not re.search(r"\d", "".join(entry["value"].values()))
                else:
                    file, _, pointer = entry["source"].partition("#")
                    assert entry["value"] == at(files, file, pointer), entry
                    seen += len(numbers(entry["value"]))
        assert seen >= 10
    told = str(documents(report, card, audits, cost))
    assert "stranger" not in told  # of another model
    for name in report.metrics:
        assert f"report.json#/metrics/{name}" in told


def test_documents_in_markdown() -> None:
    report, card = known_report(), made_card()
    for document in documents(report, card, AUDITS, COST):
        english, french = as_markdown(document), as_markdown(document, "fr")
        assert english.count("\n## ") == french.count("\n## ") == len(document["sections"])
        assert english.count("\n| ") == french.count("\n| ")
        assert "<script" not in english.replace("\\<", "")
        assert "Research use only" in english and "Réservé à la recherche" in french
        for line in (line for line in english.splitlines() if line.startswith("|")):
            assert len(re.findall(r"(?<!\\)\|", line)) == 4, line
    english = as_markdown(model_card(card, report, (), None))
    auroc = report.metrics["auroc"]
    assert f"| AUROC | {auroc.value:.3f} [{auroc.low:.3f}; {auroc.high:.3f}] (n = 60, DeLong)" in english
    assert "| Milliseconds for one image | not measured or not stated | – |" in english
    assert "4 432" in as_markdown(model_card(card, report, (), None), "fr").replace("\u202f", " ")


def test_pointers_escape_and_count() -> None:
    files = {"f": {"a/b": {"~": [1, 2, 3]}}}
    assert at(files, "f", "/a~1b/~0/2") == 3
    assert at(files, "f", "/a~1b/~0/#") == 3
    assert at(files, "f", "/a~1b/~0/3") is None
    assert at(files, "g", "/a") is None


def test_evaluation_leaves_the_documents_beside_the_report(trained: Any) -> None:
    from laennec.evaluation import audits, evaluate, report_folder

    found = evaluate(trained, "val")
    folder = report_folder(trained, "val")
    audit = made_audit("model", bundle_digest=found.bundle_digest)
    strange = made_audit("model")
    for name, one in (("audit-val", audit), ("audit-test", strange)):
        place = folder.parent / name
        place.mkdir(exist_ok=True)
        (place / "audit.json").write_text(one.model_dump_json(), encoding="utf-8")
    try:
        assert audits(trained) == [audit]
        evaluate(trained, "val")
        told = json.loads((folder / "model_card.json").read_text(encoding="utf-8"))
        assert "twins at length" in str(told)
        assert "twins at length" in tongue((folder / "report.html").read_text(encoding="utf-8"), "en")
    finally:
        for name in ("audit-val", "audit-test"):
            (folder.parent / name / "audit.json").unlink()
            (folder.parent / name).rmdir()
    for name in ("model_card", "data_sheet"):
        assert (folder / f"{name}.md").is_file() and (folder / f"{name}.fr.md").is_file()


def test_a_data_audit_is_of_these_data_and_this_split() -> None:
    report, card = known_report(), made_card()
    other = card.data.model_copy(update={"split_digest": "11" * 32})
    for made, wanted in ((card, 1), (card.model_copy(update={"data": other}), 0)):
        assert len(parts(report, made, AUDITS, None, Voice("en"))["data_audits"]) == wanted
        told = str(data_sheet(made, report, AUDITS))
        assert ("twins at length" in told) == bool(wanted)
        assert "parted in short" not in told and "foreign in short" not in told
    assert len(parts(report, None, AUDITS, None, Voice("en"))["data_audits"]) == 1
    away = known_report(part="external", collection="another", collection_digest="22" * 32, split_digest="33" * 32)
    assert len(parts(away, card, AUDITS, None, Voice("en"))["data_audits"]) == 1  # of what the model learned from
    assert "twins at length" in str(data_sheet(card, away, AUDITS))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split_digest": "00" * 32, "split_how": "seed 8"}, r"of another split \(seed 8\)"),
        ({"collection_digest": "00" * 32}, "of other images, labels or patients"),
        ({"of": "model"}, "of a model"),
    ],
)
def test_an_audit_of_anything_else_is_not_kept(changes: dict[str, str], said: str, trained: Any, tmp_path: Any) -> None:
    from laennec.evaluation import evaluate, report_folder

    seen = trained.card.data
    mine = {"collection_digest": seen.collection_digest, "split_digest": seen.split_digest}
    (tmp_path / "audit.json").write_text(made_audit(**(mine | changes)).model_dump_json(), encoding="utf-8")
    with pytest.raises(UsageError, match=said) as caught:
        evaluate(trained, "val", audited=tmp_path)
    assert "own recipe, with its seed and its split" in caught.value.hint
    assert not (report_folder(trained, "audit-data") / "audit.json").exists()


def test_a_kept_audit_names_no_image_and_keeps_what_it_found(trained: Any, tmp_path: Any) -> None:
    from laennec.evaluation import audits, evaluate, report_folder

    seen = trained.card.data
    whole = made_audit(collection_digest=seen.collection_digest, split_digest=seen.split_digest)
    (tmp_path / "audit.json").write_text(whole.model_dump_json(), encoding="utf-8")
    folder = report_folder(trained, "audit-data")
    try:
        evaluate(trained, "val", audited=tmp_path)
        (kept,) = (audit for audit in audits(trained) if audit.of == "data")
        text = (folder / "audit.json").read_text(encoding="utf-8")
        sheet = json.loads((report_folder(trained, "val") / "data_sheet.json").read_text(encoding="utf-8"))
    finally:
        for path in folder.glob("*"):
            path.unlink()
        folder.rmdir()
    for named in ("s0000", "other:s0000b0", "likeness", "<b>bad</b>", "ends <early>"):
        assert named in whole.model_dump_json()
        assert named not in text
    for before, after in zip(whole.checks, kept.checks, strict=True):
        assert after.suspects == () and sum(after.withheld.values()) == len(before.suspects)
        same = {"suspects", "withheld"}
        assert before.model_dump(exclude=same) == after.model_dump(exclude=same)
    assert kept.checks[1].withheld == {"exact": 115, "near": 115}
    assert [one.code for one in kept.refused] == ["corrupt_image"]
    told = {entry["name"]["fr"]: entry["value"] for one in sheet["sections"] for entry in one["entries"]}
    assert told["twins · images signalées · mêmes octets"] == 115
    assert kept.anonymous() == kept


def test_a_data_sheet_keeps_the_data_and_the_images_judged_apart() -> None:
    away = known_report(part="external", collection="another set", collection_digest="22" * 32)
    sections = {one["name"]["en"]: one["entries"] for one in data_sheet(made_card(), away)["sections"]}
    for name, entries in sections.items():
        if name != "Images it was judged on":
            assert not [one for one in entries if str(one["source"]).startswith("report.json")], name
    named = {one["name"]["en"]: one["value"] for one in sections["Images it was judged on"]}
    assert named["Collection"] == "another set" and named["Part"] == "external"
    assert named["another set · external · Images labelled · normal"] == away.per_class[0].n
    assert named["another set · external · Files that could not be read"] == 1


def test_documents_in_french_are_french() -> None:
    report, card = known_report(split_how="test official, validation 15% of the training patients drawn"), made_card()
    text = as_markdown(model_card(card, report, AUDITS), "fr")
    auroc = report.metrics["auroc"]
    low, high = (Voice("fr").number(bound) for bound in (auroc.low, auroc.high))
    assert f"[{low}\u202f; {high}] (n = 60, DeLong)" in text.replace("\\", "")
    for word in ("bootstrap par patient", "MOVER", "À corriger", "| Équilibre |", "| Test |", "tirés au sort"):
        assert word in text.replace("\\", ""), word
    values = [line.split(" | ")[1] for line in text.splitlines() if line.startswith("| ")]
    assert not [one for one in values if re.search(r"bootstrap$|patient bootstrap|delong|wilson|official", one)]
    assert "fail" not in values and "balanced" not in values


def test_splits_are_told_in_french() -> None:
    said = "test 15% of patients drawn, validation fold 2 of 5 of the training patients; by patient, stratified, seed 7"
    assert Voice("en").split(said) == said
    assert Voice("fr").split(said).replace("\u202f", " ").replace("\u00a0", " ") == (
        "test : 15 % des patients, tirés au sort, validation : pli 2 sur 5 des patients d’entraînement ; par patient, "
        "stratifié, graine 7"
    )
    assert Voice("fr").split("by hand") == "by hand"


def test_predictive_values_are_the_reports_own_in_table_and_curve() -> None:
    report, voice = known_report(), Voice("en")
    words = tongue(report_page(report), "en")
    for one in report.prevalences:
        for figure in (one.ppv, one.npv):
            assert f"{voice.percent(figure.value)} {voice.interval(figure, share=True)}".replace("\xa0", " ") in words
    old = tongue(report_page(made_report()), "en")
    assert "Predictive values by prevalence" in words and "Predictive values by prevalence" not in old
    assert "Where the finding is rarer" not in old
    drawn = parts(report, None, (), None, voice)["predictive"]
    changed = report.model_copy(update={"scores": {key: 1 - score for key, score in report.scores.items()}})
    assert drawn != parts(changed, None, (), None, voice)["predictive"]


def test_charts_of_one_report_never_share_an_id() -> None:
    audits = (
        made_audit("model", part="val", checks=TWICE), made_audit("model", part="val", checks=TWICE),
        made_audit("data", checks=TWICE),
    )  # fmt: skip
    found = parts(made_report(), made_card(), audits, None, Voice("en"))
    checks = [check for one in (*found["audits"], *found["data_audits"]) for check in one["checks"]]
    drawn = [set(re.findall(r' id="([^"]*)"', chart["svg"])) for check in checks for chart in check["charts"]]
    assert len(drawn) == 6 and all(drawn)
    assert len(set().union(*drawn)) == sum(map(len, drawn))


@pytest.mark.parametrize(("part", "en", "fr"), [("val", "on which the epoch was chosen", "à fixer les seuils"),
                                                ("train", "learned these very images", "appris ces images mêmes"),
                                                ("test", "", "")])  # fmt: skip
def test_a_report_says_what_the_audited_part_was_used_for(part: str, en: str, fr: str) -> None:
    text = report_page(made_report(), card=made_card(), audits=(made_audit("model", part=part, checks=()),))
    for lang, said in (("en", en), ("fr", fr)):
        assert said in tongue(text, lang)
        assert (("flatter" in tongue(text, lang)) or ("flatteurs" in tongue(text, lang))) == bool(said)


@pytest.mark.parametrize("verdict", ["pass", "fail", "skipped"])
def test_patients_apart_rests_on_the_split_and_the_audit(verdict: Any) -> None:
    audit = made_audit("data", checks=(made_check("patients", verdict),))
    text = report_page(made_report(), card=made_card(), audits=(audit,))
    for lang, said, looked, short in (
        ("en", "loading refuses a split that straddles", "looked at the patients", "patients in short"),
        ("fr", "le chargement refuse", "a examiné les patients", "patients en bref"),
    ):
        words = tongue(text, lang)
        assert said in words and DIGEST[:12] + "…" in words
        assert (looked in words) == (verdict != "skipped") and short in words
        assert (looked in tongue(page(False), lang)) is False


def test_what_the_audits_warn_of_stands_where_the_page_begins() -> None:
    for lang, model, data, end in (
        (
            "en",
            "audit of this model found what must be fixed: Check twins",
            "audit of the data calls for",
            "All figures",
        ),
        (
            "fr",
            "L’audit de ce modèle a relevé des défauts à corriger : Contrôle twins",
            "prudence",
            "Tous les résultats",
        ),
    ):
        top = tongue(page(), lang).split(end)[0]
        assert model in top and data in top
        assert "calls for caution" not in tongue(page(False), lang) and "appelle à" not in tongue(page(False), lang)


def test_the_errors_pictured_are_those_told_first() -> None:
    random = np.random.default_rng(1)
    truths = {f"i{i}": int(i % 2) for i in range(80)}
    scores = {key: float(random.random() * (0.4 if truth else 1.0)) for key, truth in truths.items()}
    certain = {key: (0.5 - score if score < 0.5 else score - 0.5) * 2 for key, score in scores.items()}
    wrong = [key for key in truths if (scores[key] >= 0.5) != bool(truths[key])]
    mistakes = tuple(
        Mistake(id=key, truth="", decided="", score=scores[key], certainty=certain[key])
        for key in sorted(wrong, key=lambda key: -certain[key])
    )
    report = made_report(scores=scores, truths=truths, mistakes=mistakes)
    keys = errors_pictured(report)
    missed = [key for key in keys if truths[key]]
    assert len(keys) == len(set(keys)) == 12 and keys[: len(missed)] == missed and 0 < len(missed) < 12
    assert missed == sorted((key for key in wrong if truths[key]), key=lambda key: -certain[key])[: len(missed)]
    shown = report_page(report, thumbnails=dict.fromkeys(keys, thumbnail()))
    assert [image["alt"].split()[1].rstrip(":") for image in Parsed(shown).all("img")] == keys * 2
    assert errors_pictured(made_report(operating_point=None)) == []


def test_a_share_is_not_rounded_to_nothing_or_all() -> None:
    told = [Voice("en").percent(value).replace("\u00a0", " ") for value in (0.0, 0.00042, 0.5, 0.99966, 0.999999, 1.0)]
    assert told == ["0.0 %", "0.04 %", "50.0 %", "99.97 %", "100.000 %", "100.0 %"]


def test_sets_that_hold_the_truth_too_rarely_are_told() -> None:
    for high, told in ((0.949, True), (0.951, False)):
        covered = {"normal": Estimate(value=0.9, low=0.85, high=high, n=30, method="wilson")}
        text = tongue(report_page(made_report(abstention=REFERRED.model_copy(update={"covered": covered}))), "fr")
        assert ("moins souvent que demandé pour normal" in text) == told


@pytest.mark.parametrize("kept", [True, False])
def test_what_validation_promised_and_the_test_does_not_keep_is_told_first(kept: bool) -> None:
    report = made_report()
    point, metrics = report.operating_point, dict(report.metrics)
    assert point is not None
    promised = (metrics["specificity"].high or 1.0) + (-0.01 if kept else 0.01)
    metrics["ece"] = Estimate(value=0.2, low=0.049 if kept else 0.051, high=0.3, n=60)
    report = report.model_copy(
        update={"operating_point": point.model_copy(update={"specificity": promised}), "metrics": metrics}
    )
    calibration = Calibration(
        method="beta", a=1.0, b=1.0, c=0.0, prevalence=0.5, n=9, positives=5, patients=9, split_digest=DIGEST,
        model_digest=DIGEST,
    )  # fmt: skip
    card = made_card(calibration=calibration)
    said = {"en": ("Specificity was", "does not hold here"), "fr": ("La spécificité était de", "ne tient pas ici")}
    for lang, words in said.items():
        text = tongue(report_page(report, card=card), lang)
        assert all((one in text) != kept for one in words)
    validation = tongue(report_page(report.model_copy(update={"part": "val"}), card=card), "en")
    assert "Specificity was" not in validation
