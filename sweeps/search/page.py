"""The results of a search: a page, a table, and settings for train.py."""

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
from sweeps.search.point import settings_text
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
    """The best trial's settings for `train.py --config`, without game, steps and seed.

    Values are written as JSON, whose strings and numbers are also valid TOML.
    """
    fields = type(search.config).model_fields
    named = {
        name: value
        for name, value in search.settings.items()
        if value != fields[name].default and not is_of_the_machine(name) and name != "steps"
    }
    values = {"algo": search.algo, "extractor": arm, **named, **best.values}
    head = (
        f"# Trial {best.number} of {search.trials}, {search.config.total_steps:,} steps per run; "
        f"score {best.score:.4f} on {names(search.games)}, seeds {names(search.seeds)}.\n"
    )
    return head + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def page(
    search: Search, arms: Mapping[str, Trials], made_by: Mapping[str, Any], *, complete: bool
) -> str:
    """The page in Markdown."""
    measured = unit(search.config.family, search.games)
    parts = [
        f"# Which settings suit each arm? {search.algo.upper()}",
        "" if complete else "**Not finished:** the command below continues the search.",
        f"Each arm had {search.trials} trials. A trial trains on {names(search.games)} with seeds "
        f"{names(search.seeds)} for {search.config.total_steps:,} agent steps per run. Varied "
        f"settings: {'; '.join(varied.text for varied in search.ranges)}. The first "
        f"{search.first} trials try the same points in every arm, beginning with the default; TPE "
        "proposes the other points, trial n with seed n. In its second half, a trial is pruned if "
        "it falls below the lower quartile of the complete trials.",
        f"The score is {measured}: the mean score of the training games that ended in the last "
        "quarter of a run, averaged over the runs.",
        "## Results",
        _outcome(search, arms),
        _caution(search),
        "## Budget",
        _budget(search, arms),
        "## All trials",
        _trials(search, arms),
        "The score of a pruned trial is its score when it was pruned and not a result: its final "
        "score is unknown.",
        "## How this page was made",
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
            rows.append([arm, name, settings_text(tried.values), _number(tried.score), fresh])
    seeds = f" ({names(search.fresh_seeds)})" if search.fresh_seeds else ""
    heads = ["arm", "settings", "values", "score on tuning seeds", f"score on fresh seeds{seeds}"]
    return markdown(heads, rows)


def _default(trials: Trials) -> Tried | None:
    return next((t for t in trials.over() if t.number == 0 and t.state == "complete"), None)


def _caution(search: Search) -> str:
    count = len(search.games) * len(search.fresh_seeds)
    again = (
        "The default and the best settings were therefore trained again on fresh seeds, which did "
        f"not influence the choice: {count} {'run' if count == 1 else 'runs'} each. Read that "
        "column; it does not show how far other seeds would scatter."
        if search.fresh_seeds
        else "Nothing was trained again on fresh seeds, so the best settings are not shown to be "
        "better."
    )
    return (
        "A search can show whether some of the tried settings are better for an arm than the "
        "default under these conditions. It is not a verdict on the arms: there are few trials, "
        "games and seeds, and the best settings of short runs need not be the best of long runs. "
        "The best of several scores is partly luck, so the score on the tuning seeds is too high. "
        f"{again} Compare arms with `sweep.py` and `evaluate.py compare` on other games and seeds, "
        "with the settings held fixed; `compare` leaves the runs of a search out."
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
    commit = str(made_by.get("commit"))[:12] + (
        " with uncommitted changes" if made_by.get("dirty") else ""
    )
    packages: Mapping[str, str] = made_by.get("packages") or {}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return (
        f"```\n{made_by.get('told')}\n```\n\n"
        f"Commit {commit}; {made_by.get('processor')}, {made_by.get('cores')} cores; {versions}; "
        f"started {made_by.get('started')}. `{TABLE}` contains the trials without rounding."
    )


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"
