"""The tune stage: a recipe's ranges searched for the values that do best on validation. The test part is not read.

Best is the highest AUROC; of a task that only segments, or whose training monitors the Dice, the highest mean Dice of
the masks. Where neither can be had it is the lowest loss.

Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) proposes, its median rule stops what falls behind
(Akiba et al. 2019, arXiv:1907.10902). The search lies in a local database and each trial in a folder of its own, so a
search that was killed goes on where it was.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from laennec import hardware, progress, storage, work
from laennec.bundle import Bundle
from laennec.errors import LaennecError, StorageFull, UsageError, extra
from laennec.outputs import PROBABILITIES
from laennec.recipe import Recipe
from laennec.results import Epoch, Search, Trial
from laennec.training import train
from laennec.version import VERSION

STORE, BEST, TRIALS, TABLE = "search.db", "best.toml", "trials", "search.json"
_STARTUP = 5  # trials drawn at random before the estimator proposes, and before any is stopped


class _Behind(Exception):
    """A trial that falls behind the others."""


def tune(recipe: Recipe, out: str | Path, trials: int = 20) -> Search:
    """Train `recipe` with other values from its ``[ranges]`` until `trials` are done, and write down the best.

    Args:
        recipe: has ranges; every other value stays.
        out: folder of the search: ``search.json``, ``best.toml``, the trials' bundles, and the database to resume from.
        trials: how many in all, those of earlier calls included.

    Raises:
        UsageError: no ranges, a key that leads nowhere, or a folder with the search of another recipe.
        LaennecError: no trial came to an end.
        MissingExtra: optuna is not installed.
    """
    with extra("tune"):
        import optuna
    out = Path(out)
    _check(recipe, out)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    out.mkdir(parents=True, exist_ok=True)
    search = optuna.create_study(
        study_name=recipe.digest,
        storage=f"sqlite:///{out / STORE}",
        load_if_exists=True,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=2),
    )
    # A resumed search that drew from the same seed would propose what it has tried before.
    seed = (recipe.seed + 1_000_003 * len(search.trials)) % 2**31
    search.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP)
    state = optuna.trial.TrialState
    for left in search.get_trials(states=(state.RUNNING,)):  # of a search that was killed: asked anew, it resumes
        search.tell(left.number, state=state.FAIL)
        search.enqueue_trial(left.params)
    with progress.track("trials", trials) as step:
        done = len(search.get_trials(states=(state.COMPLETE, state.PRUNED)))
        step.advance(min(done, trials))
        while done < trials:
            trial = search.ask()
            values = {key: _suggest(trial, key, recipe) for key in recipe.ranges}
            said = ", ".join(f"{key} = {value}" for key, value in values.items())
            progress.say(f"trial {done + 1} of {trials}: {said}")
            try:
                bundle = _attempt(recipe, values, out, trial)
                search.tell(trial, _figure(bundle))
            except _Behind:
                search.tell(trial, state=state.PRUNED)
            except StorageFull:
                raise
            except LaennecError as error:
                trial.set_user_attr("reason", error.message)
                search.tell(trial, state=state.FAIL)
                progress.say(f"this trial failed: {error.message}")
                if len(search.get_trials(states=(state.FAIL,))) > trials:
                    raise
                continue
            done += 1
            step.advance()
            progress.say(
                f"best so far: {search.best_value:.4f}" if _any_complete(search, state) else "none complete yet"
            )
    if not _any_complete(search, state):
        raise LaennecError("no trial came to an end", "see the reasons above; narrow [ranges]")
    return _written(recipe, search, out)


def _check(recipe: Recipe, out: Path) -> None:
    if not recipe.ranges:
        raise UsageError(
            f"'{recipe.name}' has no ranges to search", 'add for example [ranges."phases.0.learning_rate"] low, high'
        )
    if recipe.members:
        raise UsageError("an ensemble is not searched", "search the recipes of its members")
    for key in recipe.ranges:
        recipe.changed({key: _some(recipe, key)})
    known = out / TABLE
    if (out / STORE).is_file() and known.is_file():
        before = storage.read_json(known).get("recipe_digest")
        if before != recipe.digest:
            raise UsageError(f"{out} holds the search of another recipe", "take another --out, or delete that folder")
    storage.check_free(out, {STORE, f"{STORE}-journal", BEST, TRIALS, TABLE})


def _some(recipe: Recipe, key: str) -> Any:
    span = recipe.ranges[key]
    return span.choices[0] if span.choices else span.low


def _suggest(trial: Any, key: str, recipe: Recipe) -> Any:
    span = recipe.ranges[key]
    if span.choices:
        names = [str(choice) for choice in span.choices]  # optuna keeps only plain values
        return span.choices[names.index(trial.suggest_categorical(key, names))]
    if isinstance(span.low, int) and isinstance(span.high, int):
        return trial.suggest_int(key, span.low, span.high, log=span.log)
    return trial.suggest_float(key, span.low, span.high, log=span.log)


def _attempt(recipe: Recipe, values: dict[str, Any], out: Path, trial: Any) -> Bundle:
    """One trial, in a folder named by what it tries, so that it resumes wherever it was stopped."""
    one = recipe.replace(ranges={}).changed(values)

    def told(epoch: Epoch, seen: int) -> None:
        reached = epoch.val_dice if _by_masks(one) else epoch.val_auroc
        trial.report(reached if reached is not None else -epoch.val_loss, seen)
        if trial.should_prune():
            raise _Behind

    return train(one, out / TRIALS / one.digest[:12], told=told)


def _by_masks(recipe: Recipe) -> bool:
    """Whether masks are what a trial is judged by: they are all there is, or what the training monitors."""
    return PROBABILITIES not in work.check(recipe.task) or recipe.training.monitor == "dice"


def _figure(bundle: Bundle) -> float:
    """What a trial reached on validation: its AUROC, or the Dice of its masks as they are handed out."""
    figures, outline = bundle.card.training.validation, bundle.card.outline
    reached, loss = figures["auroc"], figures["loss"]
    if _by_masks(bundle.recipe):
        reached = None if outline is None else outline.dice
    return reached if reached is not None else -float(loss or 0.0)


def _any_complete(search: Any, state: Any) -> bool:
    return bool(search.get_trials(states=(state.COMPLETE,)))


def _written(recipe: Recipe, search: Any, out: Path) -> Search:
    rows = []
    for trial in search.trials:
        if trial.state.name == "RUNNING" or not trial.params:
            continue
        values = {key: _value(recipe, key, trial.params[key]) for key in recipe.ranges if key in trial.params}
        one = recipe.replace(ranges={}).changed(values)
        rows.append(
            Trial(
                number=trial.number + 1,
                values=values,
                state=trial.state.name.lower(),
                reached=trial.value,
                epochs=len(trial.intermediate_values),
                seconds=trial.duration.total_seconds() if trial.duration else 0.0,
                folder=f"{TRIALS}/{one.digest[:12]}",
                reason=str(trial.user_attrs.get("reason", "")),
            )
        )
    ended = [row for row in rows if row.state == "complete"]
    best = max(ended, key=lambda row: -inf if row.reached is None else row.reached)
    found = Search(
        recipe=recipe.name,
        recipe_digest=recipe.digest,
        figure="dice" if _by_masks(recipe) else "auroc",
        keys=tuple(recipe.ranges),
        trials=tuple(rows),
        best=best.number,
        hardware=hardware.describe(),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        laennec=VERSION,
    )
    storage.write_bytes(out / BEST, recipe.replace(ranges={}).changed(best.values).to_toml().encode())
    storage.write_json(out / TABLE, found.model_dump(mode="json"))
    progress.say(f"best recipe: {out / BEST}")
    return found


def _value(recipe: Recipe, key: str, said: Any) -> Any:
    choices = recipe.ranges[key].choices
    return choices[[str(choice) for choice in choices].index(said)] if choices else said
