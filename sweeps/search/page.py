"""What came out of a search, for people and for train.py."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from cli.table import markdown
from files.durable import write_durably
from records.config import is_of_the_machine
from sweeps.search.fresh import fresh_points
from sweeps.search.objective import unit
from sweeps.search.point import told
from sweeps.search.request import Search, names
from sweeps.search.trials import Trials, Tried

PAGE, TABLE, BEST = "README.md", "trials.csv", "best.toml"


def write_results(
    search: Search, arms: Mapping[str, Trials], made_by: Mapping[str, Any], *, complete: bool
) -> None:
    """Write the page, the table of all trials, and each arm's best settings."""
    for arm, trials in arms.items():
        best = trials.best()
        if best is not None:
            write_durably(search.folder(arm) / BEST, best_settings(search, arm, best))
    write_durably(search.out / TABLE, _table(search, arms))
    write_durably(search.out / PAGE, page(search, arms, made_by, complete=complete))


def best_settings(search: Search, arm: str, best: Tried) -> str:
    """The best trial's settings as `train.py --config` takes them; game, steps and seed are free.

    JSON's texts and numbers are TOML's too.
    """
    fields = type(search.config).model_fields
    named = {
        name: value
        for name, value in search.settings.items()
        if value != fields[name].default and not is_of_the_machine(name) and name != "steps"
    }
    values = {"algo": search.algo, "extractor": arm, **named, **best.values}
    head = (
        f"# Trial {best.number} of {search.trials}, {search.config.total_steps:,} steps a run; "
        f"score {best.score:.4f} on {names(search.games)}, seeds {names(search.seeds)}.\n"
    )
    return head + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def page(
    search: Search, arms: Mapping[str, Trials], made_by: Mapping[str, Any], *, complete: bool
) -> str:
    """The whole page as Markdown."""
    measured = unit(search.config.family, search.games)
    parts = [
        f"# Which settings suit each arm? {search.algo.upper()}",
        "" if complete else "**Not finished:** the command below goes on with it.",
        f"Each arm had {search.trials} trials. A trial trains on {names(search.games)} from seeds "
        f"{names(search.seeds)}, {search.config.total_steps:,} agent steps a run. Varied: "
        f"{'; '.join(varied.told for varied in search.ranges)}. The first {search.first} trials "
        "are the same points in every arm, the default before all others; TPE proposes the rest, "
        "trial n with seed n. From its half on, a trial below the lower quartile of the complete "
        "ones is pruned.",
        f"The score is {measured}: the mean over the runs of the mean of the training games that "
        "ended in the last quarter of the run.",
        "## What came out",
        _outcome(search, arms),
        _caution(search),
        "## What it took",
        _budget(search, arms),
        "## Every trial",
        _trials(search, arms),
        "A pruned trial's score is that of the moment when it was pruned, and is no result: what "
        "it would have come to is not known.",
        "## How it was made",
        _origin(made_by),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _outcome(search: Search, arms: Mapping[str, Trials]) -> str:
    rows = []
    for arm, trials in arms.items():
        best = trials.best()
        again = {point.what: _number(point.score) for point in fresh_points(search, trials)}
        for which, tried in (("default", _default(trials)), ("best", best)):
            if tried is None or (which == "best" and tried.number == 0):
                continue
            name = "default and best" if best is not None and best.number == 0 else which
            fresh = again.get(f"{which} on fresh seeds", "")
            rows.append([arm, name, told(tried.values), _number(tried.score), fresh])
    seeds = f" ({names(search.fresh_seeds)})" if search.fresh_seeds else ""
    heads = ["arm", "settings", "values", "score where they were chosen", f"on fresh seeds{seeds}"]
    return markdown(heads, rows)


def _default(trials: Trials) -> Tried | None:
    return next((t for t in trials.over() if t.number == 0 and t.state == "complete"), None)


def _caution(search: Search) -> str:
    count = len(search.games) * len(search.fresh_seeds)
    again = (
        f"So the default and the best were trained again on seeds that chose nothing: {count} "
        f"{'run' if count == 1 else 'runs'} each, which is the column to read, and says nothing "
        "about how far another seed would be from it."
        if search.fresh_seeds
        else "Nothing was trained again on fresh seeds: the best is not shown to be better."
    )
    return (
        "What this can say is whether an arm has settings, among those tried, with which it does "
        "better here than with the default. It is no verdict about the arms: these are few trials, "
        "few games and seeds, and short runs, whose best settings need not be those of long ones. "
        "The best of several scores is the best by luck as well, so the score where settings were "
        f"chosen is too high. {again} Compare arms by `sweep.py` and `evaluate.py compare` on "
        "other games and seeds, with the settings held fixed; `compare` leaves these runs out."
    )


def _budget(search: Search, arms: Mapping[str, Trials]) -> str:
    rows = []
    for arm, trials in arms.items():
        over = trials.over()
        counts = [
            sum(t.state == state for t in over) for state in ("complete", "pruned", "diverged")
        ]
        allowed, used = search.trials * search.steps_of_a_trial, sum(t.steps for t in over)
        rows.append([arm, *map(str, (len(over), *counts)), f"{allowed:,}", f"{used:,}"])
    heads = ("arm", "trials", "complete", "pruned", "diverged", "steps allowed", "steps used")
    return markdown(heads, rows)


def _trials(search: Search, arms: Mapping[str, Trials]) -> str:
    varied = [each.name for each in search.ranges]
    rows = [
        [
            arm,
            str(tried.number),
            *(f"{tried.values[name]:.3g}" for name in varied),
            _number(tried.score),
            tried.state,
            f"{tried.steps:,}",
        ]
        for arm, trials in arms.items()
        for tried in trials.over()
    ]
    shown = [name.replace("_", "-") for name in varied]
    return markdown(["arm", "trial", *shown, "score", "state", "steps"], rows)


def _table(search: Search, arms: Mapping[str, Trials]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    varied = [each.name for each in search.ranges]
    table.writerow(["arm", "trial", *varied, "score", "state", "steps"])
    for arm, trials in arms.items():
        for t in trials.over():
            values = [t.values[name] for name in varied]
            score = "" if t.score is None else t.score
            table.writerow([arm, t.number, *values, score, t.state, t.steps])
    return text.getvalue()


def _origin(made_by: Mapping[str, Any]) -> str:
    commit = str(made_by.get("commit"))[:12] + (" with changes" if made_by.get("dirty") else "")
    packages: Mapping[str, str] = made_by.get("packages") or {}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return (
        f"```\n{made_by.get('told')}\n```\n\n"
        f"Commit {commit}; {made_by.get('processor')}, {made_by.get('cores')} cores; {versions}; "
        f"begun {made_by.get('started')}. `{TABLE}` has the trials unrounded."
    )


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"
