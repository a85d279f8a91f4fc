"""The trials of each arm, stored by Optuna in a file of the search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.errors import UserError
from sweeps.search.objective import RUNGS
from sweeps.search.ranges import first_points
from sweeps.search.request import Search

if TYPE_CHECKING:
    import optuna

STORAGE = "search.db"
# Nothing is pruned in the first half of a trial, and later only a trial far behind most others:
# games that end early say next to nothing. Pruning by the median from three tenths on removed the
# only trial with a high learning rate in one of two arms, although the same rate did best in the
# other (docs/results/search).
# Optuna keeps this percentage of the best.
PERCENTILE = 75.0


@dataclass(frozen=True)
class Tried:
    """A trial that is over.

    Attributes:
        number: counted from 0, which is the default.
        values: values of the varied settings.
        state: complete, pruned or diverged.
        score: the objective of a complete trial; the last reported score of a pruned one.
        steps: agent steps that it used.
    """

    number: int
    values: Mapping[str, float]
    state: str
    score: float | None
    steps: int


class Trials:
    """The trials of one arm: the first points, then those that Optuna's TPE sampler proposes.

    Trial n is sampled with seed n, in every arm and after any interruption. The point it gets
    also depends on the trials that are over by then, and so on how many workers there are.

    Args:
        search: the search.
        arm: one of its extractors.
        storage: Optuna's storage, shared by all arms.
    """

    def __init__(self, search: Search, arm: str, storage: Any) -> None:
        import optuna

        self._search, self.arm = search, arm
        rungs = RUNGS * len(search.games) * len(search.seeds)
        self._study = optuna.create_study(
            storage=storage,
            study_name=arm,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.PercentilePruner(
                PERCENTILE, n_startup_trials=search.first, n_warmup_steps=rungs // 2
            ),
        )
        points = first_points(search.ranges, search.default, search.first)
        for point in points[len(self._all()) :]:
            self._study.enqueue_trial(point)
        self._held: set[int] = set()

    @property
    def begun(self) -> int:
        """Number of trials that are over or were started in this process."""
        return len(self.over()) + len(self._held)

    @property
    def is_over(self) -> bool:
        """Whether all trials are over."""
        return len(self.over()) >= self._search.trials

    def take(self) -> tuple[optuna.Trial, dict[str, float]] | None:
        """Start the next trial, an interrupted one first, and return it with its settings.

        None if no trial can be started now.
        """
        import optuna

        states = optuna.trial.TrialState
        started = [trial for trial in self._all() if trial.state != states.WAITING]
        left = [t for t in started if t.state == states.RUNNING and t.number not in self._held]
        if not left and len(started) >= self._search.trials:
            return None
        self._study.sampler = optuna.samplers.TPESampler(
            seed=left[0].number if left else len(started), n_startup_trials=self._search.first
        )
        # Optuna has no public way to continue a trial whose process was killed.
        trial = optuna.Trial(self._study, left[0]._trial_id) if left else self._study.ask()
        self._held.add(trial.number)
        return trial, {varied.name: varied.drawn(trial) for varied in self._search.ranges}

    def reported(self, trial: optuna.Trial) -> frozenset[int]:
        """The rungs at which a trial has reported a score."""
        return frozenset(self._all()[trial.number].intermediate_values)

    def tell(self, trial: optuna.Trial, state: str, score: float | None, steps: int) -> None:
        """Record that a trial is complete, pruned or diverged.

        The sampler treats a diverged trial like a pruned one.
        """
        import optuna

        trial.set_user_attr("state", state)
        trial.set_user_attr("steps", steps)
        if state == "complete":
            self._study.tell(trial, score)
        else:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        self._held.discard(trial.number)

    def over(self) -> list[Tried]:
        """The trials that are over, by number."""
        return [
            Tried(
                trial.number,
                trial.params,
                trial.user_attrs["state"],
                trial.value,
                trial.user_attrs["steps"],
            )
            for trial in self._all()
            if trial.state.is_finished()
        ]

    def best(self) -> Tried | None:
        """The complete trial with the highest score, the earliest of several; None without one."""
        complete = [tried for tried in self.over() if tried.state == "complete"]
        return max(complete, key=lambda tried: tried.score or 0.0, default=None)

    def _all(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


@contextmanager
def open_trials(search: Search) -> Iterator[dict[str, Trials]]:
    """Open the trials of every arm; the file is created if it does not exist.

    Raises:
        UserError: Optuna is not installed, or the file is damaged or cannot be written.
    """
    try:
        import optuna
        from sqlalchemy import URL
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise UserError("search.py needs Optuna: pip install -e '.[app,search]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = search.out / STORAGE
    try:
        url = URL.create("sqlite", database=str(file)).render_as_string()
        storage = optuna.storages.RDBStorage(url)
        arms = {arm: Trials(search, arm, storage) for arm in search.extractors}
        for trials in arms.values():
            trials.over()  # raises if a trial cannot be read
    except (SQLAlchemyError, RuntimeError, KeyError, ValueError) as error:
        raise UserError(
            f"{file} is damaged or from another version of Optuna: restore it, or choose another "
            f"--out ({str(error).splitlines()[0][:200]})"
        ) from error
    try:
        yield arms
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        why = str(error.__cause__ or error).splitlines()[0][:200]
        raise UserError(f"cannot write {file}: {why}") from error
