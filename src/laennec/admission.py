"""The admission stage: a bundle held against what a site asks, each condition with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from laennec import evaluation, hardware, probing, progress, storage
from laennec.bundle import Bundle, open_bundle
from laennec.checks import VERDICTS, Audit, Verdict
from laennec.costing import REPORT, cost
from laennec.costs import Cost
from laennec.errors import LaennecError, UsageError
from laennec.estimates import Estimate
from laennec.policies import COSTS, Clearance, Condition, Policy, Ruling
from laennec.version import VERSION
from laennec.wording import Text, tell

_BY = {
    "value": Text(en="", fr=""),
    "low": Text(en=", by the low end of its interval", fr=", par la borne basse de son intervalle"),
    "high": Text(en=", by the high end of its interval", fr=", par la borne haute de son intervalle"),
}


def gate(bundle: Bundle | str | Path, policy: Policy | str | Path, *, root: str | Path | None = None) -> Clearance:
    """Hold a bundle against a policy; write ``reports/gate-<policy>.json`` beside it.

    What the policy asks for is taken from the report, audit and cost that lie with the bundle where they are of this
    very bundle, version and (for the cost) machine; else it is measured now. A figure that is not there fails: what is
    not known does not pass.

    Args:
        bundle: an opened bundle or its folder.
        policy: a policy, or the path of its file.
        root: where the data lies now, if it moved since the training.

    Raises:
        UsageError: the policy cannot be read; the data is not there, or is not what the bundle was made with; the
            bundle does not classify, and the policy asks for an audit.
    """
    bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    asked = policy if isinstance(policy, Policy) else Policy.read(policy)
    if (asked.audit or asked.verdicts) and not bundle.card.classifies:
        raise UsageError(
            f"'{bundle.name}' outlines and decides nothing to be audited",
            "leave [audit] and [verdicts] out of the policy",
        )
    rulings: list[Ruling] = []
    if asked.report:
        figures = evaluation.judged(bundle, asked.part, root=root).figures
        rulings += _rulings("report", asked.report, figures)
    if asked.audit or asked.verdicts:
        rulings += _audited(asked, probing.audited(bundle, asked.audit_part, root=root))
    if asked.cost:
        found = _measured(bundle, root)
        rulings += (_doubted(ruling, found) for ruling in _rulings("cost", asked.cost, _costs(found)))
    clearance = Clearance(
        policy=asked,
        model=bundle.name,
        bundle_digest=bundle.digest,
        rulings=tuple(rulings),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=hardware.describe(),
        laennec=VERSION,
    )
    path = bundle.path / "reports" / f"gate-{asked.name}.json"
    storage.write_json(path, clearance.model_dump(mode="json"))
    progress.say(f"gate: {path}")
    return clearance


def _audited(asked: Policy, audit: Audit) -> Iterator[Ruling]:
    """Of the model's audit: figures, then verdicts."""
    for name, conditions in asked.audit.items():
        check = audit.check(name)
        yield from _rulings(f"audit.{name}", conditions, {} if check is None else check.figures)
    for name, allowed in asked.verdicts.items():
        check, bound = audit.check(name), " or ".join(allowed)
        if check is None:
            why, passed = tell("there is no such check", "ce contrôle n’existe pas"), False
        else:
            why = tell("{v}: {s}", "{v} : {s}", v=check.verdict, s=check.said[0])
            passed = _allowed(check.verdict, allowed) and not check.unlooked
        yield Ruling(figure=f"verdicts.{name}", asked=f"<= {bound}", found=None, passed=passed, why=why)


def _allowed(verdict: Verdict, allowed: Sequence[Verdict]) -> bool:
    """Whether a verdict is no worse than one of those allowed; ``skipped`` has to be allowed by name."""
    if verdict == "skipped":
        return verdict in allowed
    return any(VERDICTS.index(verdict) <= VERDICTS.index(worst) for worst in allowed)


def _rulings(section: str, conditions: Mapping[str, Condition], figures: Mapping[str, Estimate]) -> Iterator[Ruling]:
    for name, condition in conditions.items():
        found = figures.get(name)
        passed = found is not None and condition.holds(found)
        asked = " ".join(
            f"{sign} {bound:g}"
            for sign, bound in ((">=", condition.least), ("<=", condition.most))
            if bound is not None
        )
        asked += "" if condition.by == "value" else f" ({condition.by})"
        yield Ruling(
            figure=f"{section}.{name}", asked=asked, found=found, passed=passed, why=_why(condition, found, figures)
        )


def _why(condition: Condition, found: Estimate | None, figures: Mapping[str, Estimate]) -> Text:
    if found is None:
        known = ", ".join(sorted(figures)) or "–"
        return tell("not measured; there is: {k}", "non mesuré ; il y a : {k}", k=known)
    seen = getattr(found, condition.by)
    if seen is None:
        return tell("it has no value here", "sans valeur ici")
    if condition.holds(found):
        return tell("{x:.4g}{b}", "{x:.4g}{b}", x=seen, b=_BY[condition.by])
    if condition.least is not None and seen < condition.least:
        bound, en, fr = condition.least, "below", "en dessous de"
    else:
        bound, en, fr = condition.most or 0.0, "above", "au-dessus de"
    return tell(
        f"{{x:.4g}} is {en} {{m:g}}{{b}}", f"{{x:.4g}} est {fr} {{m:g}}{{b}}", x=seen, m=bound, b=_BY[condition.by]
    )


def _measured(bundle: Bundle, root: str | Path | None) -> Cost:
    """The cost that lies with the bundle if it is of this very bundle, version and machine, else a new one."""
    path = bundle.path / "reports" / REPORT
    if path.is_file():
        with suppress(ValidationError, LaennecError):
            found = Cost.model_validate(storage.read_json(path))
            own = (found.bundle_digest, found.laennec, found.hardware) == (bundle.digest, VERSION, hardware.describe())
            if own and not found.warnings:
                return found
    return cost(bundle, root=root)


def _doubted(ruling: Ruling, found: Cost) -> Ruling:
    """The ruling on a cost, saying so where its timing was disturbed."""
    if not found.warnings:
        return ruling
    why = tell("{w}; unreliable: {x}", "{w} ; mesure peu fiable : {x}", w=ruling.why, x="; ".join(found.warnings))
    return ruling.model_copy(update={"why": why})


def _costs(found: Cost) -> dict[str, Estimate]:
    """Costs by name; see `Policy.cost`."""
    own = [
        t
        for t in found.timings
        if (t.backend, t.precision, t.threads) == (found.backend, found.precision, found.threads)
    ]
    single = [t.milliseconds for t in own if t.batch == 1]
    values: dict[str, float | None] = {
        "latency": single[0] if single else None,
        "throughput": max((t.images_per_second for t in own), default=None),
        **{name: getattr(found, name) for name in COSTS[2:]},
    }
    return {name: Estimate(value=value, n=0) for name, value in values.items() if value is not None}
