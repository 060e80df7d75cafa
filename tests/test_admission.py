"""A model held against a policy: what passes, what fails, and that nothing passes unseen."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import laennec as ln
from laennec import admission, family, page
from laennec.bundle import Bundle, open_bundle
from laennec.checks import Audit, Check, Verdict
from laennec.cli import run
from laennec.costs import Cost, Timing
from laennec.errors import UsageError
from laennec.estimates import Estimate
from laennec.policies import Clearance, Condition, Policy
from laennec.version import VERSION
from laennec.wording import Text

WORD = Text(en="the score falls", fr="le score baisse")


@pytest.fixture
def bundle(trained: Bundle, tmp_path: Path) -> Bundle:
    """The tiny bundle, in a folder whose reports a test may write."""
    shutil.copytree(trained.path, tmp_path / "tiny", ignore=shutil.ignore_patterns("reports", "members"))
    return open_bundle(tmp_path / "tiny")


def lay_audit(bundle: Bundle, digest: str = "", verdict: Verdict = "warn") -> None:
    """A whole audit of the bundle, as `laennec audit` would leave it, with figures that are known."""
    figures = {"lungs_out": Estimate(value=0.71, low=0.66, high=0.76, n=90)}
    checks = tuple(
        Check(
            name=name,
            title=WORD,
            seconds=1.0,
            verdict=verdict if name == "shortcuts" else "pass",
            said=(WORD,),
            method=WORD,
            figures=figures if name == "shortcuts" else {},
        )
        for name in {*family.names("probes"), "shortcuts"}
    )
    audit = Audit(
        of="model", name="tiny", collection="pictures", collection_digest="c", split_digest="s", split_how="drawn",
        part="val", bundle_digest=digest or bundle.digest, positive=("sick",), images=90, patients=45, checks=checks,
        seconds=3.0, made="2026-01-01T00:00:00+00:00", hardware="-", laennec=VERSION,
    )  # fmt: skip
    path = bundle.path / "reports" / "audit-val" / "audit.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(audit.model_dump_json())


def policy(**sections: object) -> Policy:
    return Policy.model_validate({"name": "site", "part": "val", **sections})


def ruled(clearance: Clearance) -> dict[str, bool]:
    return {ruling.figure: ruling.passed for ruling in clearance.rulings}


def test_figures_of_the_report_pass_and_fail_by_value_and_by_bound(bundle: Bundle) -> None:
    auroc = ln.evaluate(bundle, "val").metrics["auroc"]
    assert auroc.value is not None and auroc.low is not None
    between = (auroc.value + auroc.low) / 2
    asked = {"auroc": {"least": between}, "accuracy": {"most": 0.01}, "npv": {"least": 0.0, "most": 1.0}}
    clearance = ln.gate(bundle, policy(report=asked))
    assert ruled(clearance) == {"report.auroc": True, "report.accuracy": False, "report.npv": True}
    assert not clearance.passed
    sure = ln.gate(bundle, policy(report={"auroc": {"least": between, "by": "low"}}))
    assert ruled(sure) == {"report.auroc": False}
    assert "low end" in sure.rulings[0].why.en and "borne basse" in sure.rulings[0].why.fr


def test_the_audit_beside_the_bundle_is_taken_and_a_strangers_is_not(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_audit(bundle)
    asked = policy(
        audit={"shortcuts": {"lungs_out": {"most": 0.7}, "moon": {"most": 1.0}}, "nothing": {"x": {"least": 0.0}}},
        verdicts={"shortcuts": "warn", "untouched": "skipped", "elsewhere": "fail"},
    )
    clearance = ln.gate(bundle, asked)
    assert ruled(clearance) == {
        "audit.shortcuts.lungs_out": False,
        "audit.shortcuts.moon": False,
        "audit.nothing.x": False,
        "verdicts.shortcuts": True,
        "verdicts.untouched": True,
        "verdicts.elsewhere": False,
    }
    reasons = {ruling.figure: ruling.why for ruling in clearance.rulings}
    assert reasons["audit.shortcuts.lungs_out"].en == "0.71 is above 0.7"
    assert reasons["audit.shortcuts.lungs_out"].fr == "0,71 est au-dessus de 0,7"
    assert "lungs_out" in reasons["audit.shortcuts.moon"].en
    shown = io.StringIO()
    Console(width=80, file=shown).print(page.clearance_text(clearance))
    assert "made on validation, where the thresholds were set" in " ".join(shown.getvalue().split())
    lay_audit(bundle, verdict="skipped")
    unknown = ln.gate(bundle, policy(verdicts={"shortcuts": "warn"}))
    assert not unknown.passed, "what could not be looked at does not pass"
    assert ln.gate(bundle, policy(verdicts={"shortcuts": ["warn", "skipped"]})).passed
    lay_audit(bundle)
    strict = ln.gate(bundle, policy(verdicts={"shortcuts": "note"}))
    assert ruled(strict) == {"verdicts.shortcuts": False} and WORD.en in strict.rulings[0].why.en

    lay_audit(bundle, digest="another")
    monkeypatch.setattr(admission.probing, "audit", lambda *_, **__: pytest.fail("asked again"))
    with pytest.raises(pytest.fail.Exception, match="asked again"):
        ln.gate(bundle, policy(verdicts={"shortcuts": "warn"}))


def test_a_cost_that_was_disturbed_is_measured_again(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = admission.cost

    def measured(one: Bundle, **how: object) -> Cost:
        asked.append(one.name)
        return real(one, threads=(1,), batches=(1,)).model_copy(update={"warnings": ("another program",)})

    monkeypatch.setattr(admission, "cost", measured)
    clearance = ln.gate(bundle, policy(cost={"latency": {"most": 1e6}}))
    assert clearance.passed and "unreliable: another program" in clearance.rulings[0].why.en
    path = bundle.path / "reports" / "cost.json"
    kept = Cost.model_validate_json(path.read_text()).model_copy(update={"warnings": ("another program",)})
    path.write_text(kept.model_dump_json())
    ln.gate(bundle, policy(cost={"latency": {"most": 1e6}}))
    assert len(asked) == 2


def test_a_bundle_that_only_outlines_is_told_before_any_work(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    card = bundle.card.model_copy(update={"task": "segment"})
    monkeypatch.setattr(admission.evaluation, "judged", lambda *_, **__: pytest.fail("judged"))
    with pytest.raises(UsageError, match="outlines"):
        ln.gate(Bundle(bundle.path, card), policy(report={"dice": {"least": 0.5}}, verdicts={"shortcuts": "warn"}))


def test_costs_are_of_the_bundles_own_backend_on_all_threads(bundle: Bundle) -> None:
    def timing(backend: str, threads: int, batch: int, ms: float) -> Timing:
        return Timing(
            backend=backend, precision="fp32", threads=threads, batch=batch, milliseconds=ms, milliseconds_p95=ms,
            images_per_second=1000 * batch / ms,
        )  # fmt: skip

    cost = Cost(
        parameters=10, name="tiny", bundle_digest=bundle.digest, backend="torch", precision="fp32", megabytes=2.5,
        timings=(timing("torch", 1, 1, 9.0), timing("torch", 2, 1, 5.0), timing("torch", 2, 16, 40.0),
                 timing("onnxruntime", 2, 1, 1.0)),
        batch=16, threads=2, hardware=admission.hardware.describe(), made="", laennec=VERSION,
    )  # fmt: skip
    path = bundle.path / "reports" / "cost.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(cost.model_dump_json())
    asked = {
        "latency": {"most": 5.0},
        "throughput": {"least": 401},
        "megabytes": {"most": 2},
        "watt_hours": {"most": 9},
    }
    clearance = ln.gate(bundle, policy(cost=asked))
    assert ruled(clearance) == {
        "cost.latency": True,
        "cost.throughput": False,
        "cost.megabytes": False,
        "cost.watt_hours": False,
    }
    assert clearance.rulings[0].found is not None and clearance.rulings[0].found.value == 5.0
    assert clearance.rulings[3].why.en.startswith("not measured")


def test_the_command_tells_every_condition_and_fails_by_its_exit_code(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "night.toml"
    path.write_text('part = "val"\n[report]\nauroc = {least = 0.5}\n')
    assert run(["gate", str(bundle.path), "--policy", str(path)]) == 0
    assert "Every condition holds" in capsys.readouterr().out
    path.write_text('part = "val"\n[report]\nauroc = {least = 0.5}\nsensitivity = {least = 1.01}\n')
    assert run(["gate", str(bundle.path), "--policy", str(path), "--json"]) == 1
    told = Clearance.model_validate(json.loads(capsys.readouterr().out))
    assert ruled(told) == {"report.auroc": True, "report.sensitivity": False}
    assert told.policy.name == "night"
    assert Clearance.model_validate_json((bundle.path / "reports" / "gate-night.json").read_text()) == told
    shown = io.StringIO()
    Console(width=80, file=shown).print(page.clearance_text(told))
    for words in ("1 of 2 conditions fail", "FAIL", "Research use only"):
        assert words in shown.getvalue()
    assert "audit was made on validation" not in " ".join(shown.getvalue().split())  # none was asked


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "sets no condition"),
        ("[report]\nauroc = {}", "needs least, most or both"),
        ("[report]\nauroc = 0.8", "{ least = 0.8 }"),
        ("[report]\nauroc = {least = 0.9, most = 0.8}", "nothing can pass"),
        ("[report]\nauroc = {least = nan}", "report.auroc.least"),
        ("[cost]\nspeed = {least = 1}", "no cost named 'speed'"),
        ("[raport]\nauroc = {least = 1}", "raport"),
        ('part = "train"\n[report]\nauroc = {least = 1}', "part"),
        ('[verdicts]\nshortcuts = "good"', "verdicts"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        Policy.read(path)


@given(
    value=st.floats(0, 1), reach=st.floats(0, 0.5), least=st.floats(0, 1), by=st.sampled_from(["value", "low", "high"])
)
def test_asking_the_low_end_is_never_easier(value: float, reach: float, least: float, by: str) -> None:
    found = Estimate(value=value, low=value - reach, high=value + reach, n=9)
    sure = Condition(least=least, by="low").holds(found)
    assert not sure or Condition.model_validate({"least": least, "by": by}).holds(found)
    assert not Condition(least=least).holds(Estimate(value=None, n=0))


def test_shipped_policies_read() -> None:
    paths = sorted((Path(__file__).parents[1] / "policies").glob("*.toml"))
    assert paths
    for path in paths:
        assert Policy.read(path).description
