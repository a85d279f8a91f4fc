"""Published scores of random play, a human tester and other implementations on each game.

`atari_reference_scores.csv` has one row per game; scores that were not reported are empty.

| columns | source | caveat |
| --- | --- | --- |
| `random`, `human` | DQN Zoo `atari_data.py`, 57 games | measured without sticky actions |
| `paper_a2c`, `paper_ppo` | PPO paper (Schulman et al. 2017), 49-game table: 10M agent steps, \
mean of the last 100 training episodes | 3 seeds |
| `zoo_a2c`, `zoo_ppo` | rl-baselines3-zoo `benchmark.md`: mean±std over episodes of one run, \
stochastic policy, no sticky actions | ± is not over seeds |
| `baselines_ppo2`, `cleanrl_ppo` | CleanRL `docs/benchmark/ppo_atari_envpool_xla_jax.md`: \
mean±std over 3 seeds | no trustworthy episode cap: distrust Atlantis, UpNDown, VideoPinball |
| `slm_a2c_v5`, `slm_ppo_v5` | SLM-Lab `docs/BENCHMARKS.md`: sticky actions (ALE v5) | PPO is the \
best of three λ; A2C's Tennis value is impossible |

Implementations differ from each other by more than an architecture plausibly changes a score. Use
these scores to check whether results are plausible, not as a baseline.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from envs.games import rom_id

SOURCES = (
    "PPO paper (Schulman et al. 2017, mean of the last 100 training episodes, 3 seeds); "
    "rl-baselines3-zoo benchmark.md (one run); OpenAI baselines and CleanRL from CleanRL's "
    "benchmark of ppo_atari_envpool_xla_jax (no trustworthy episode cap: distrust Atlantis, "
    "UpNDown, VideoPinball); SLM-Lab docs/BENCHMARKS.md (sticky actions); random play and human "
    "from DQN Zoo's atari_data.py."
)
# Column of the table → (label, algorithm, protocol).
REFERENCES = {
    "paper_a2c": ("A2C of the PPO paper", "a2c", "v4"),
    "zoo_a2c": ("rl-baselines3-zoo", "a2c", "v4"),
    "slm_a2c_v5": ("SLM-Lab", "a2c", "sticky"),
    "paper_ppo": ("PPO paper", "ppo", "v4"),
    "zoo_ppo": ("rl-baselines3-zoo", "ppo", "v4"),
    "baselines_ppo2": ("OpenAI baselines", "ppo", "v4"),
    "cleanrl_ppo": ("CleanRL", "ppo", "v4"),
    "slm_ppo_v5": ("SLM-Lab", "ppo", "sticky"),
}


def reference_scores(game: str) -> Mapping[str, float]:
    """Published mean scores of a game, by column of the table; empty if there are none.

    Args:
        game: name of the game, such as "MsPacman".

    Raises:
        UnknownGameError: no game has exactly this name.
    """
    rom_id(game)
    return _table().get(game, MappingProxyType({}))


def human_normalized(game: str, score: float) -> float | None:
    """The score on the scale where random play is 0 and the human tester 1.

    None if either of the two was not measured.

    Args:
        game: name of the game, such as "MsPacman".
        score: raw score of whole games.

    Raises:
        UnknownGameError: no game has exactly this name.
    """
    known = reference_scores(game)
    if "random" not in known or "human" not in known:
        return None
    return (score - known["random"]) / (known["human"] - known["random"])


def games_with_human_scores() -> tuple[str, ...]:
    """The 57 games of the published tables for which random play and a human were measured."""
    return tuple(game for game, known in _table().items() if {"random", "human"} <= known.keys())


def published_scores(game: str, algo: str, protocol: str) -> dict[str, float | None]:
    """Scores of other implementations of an algorithm, by label; None if not reported.

    Args:
        game: name of the game, such as "MsPacman".
        algo: "ppo" or "a2c"; there are no scores for other algorithms.
        protocol: "v4" or "sticky".

    Raises:
        UnknownGameError: no game has exactly this name.
    """
    known = reference_scores(game)
    return {
        label: known.get(column)
        for column, (label, of_algo, of_protocol) in REFERENCES.items()
        if (of_algo, of_protocol) == (algo, protocol)
    }


@cache
def _table() -> Mapping[str, Mapping[str, float]]:
    path = resources.files("envs") / "atari_reference_scores.csv"
    with path.open(encoding="utf-8") as file:
        return {
            row.pop("game"): MappingProxyType(
                {
                    column: float(value.partition("±")[0])  # the mean of mean±std
                    for column, value in row.items()
                    if value
                }
            )
            for row in csv.DictReader(file)
        }
