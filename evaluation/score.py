"""Score trained agents on whole games from fresh seeds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from agents.agent import Agent, RandomAgent, load_agent
from agents.play import Game, distinct_games, evaluation_seeds, play_games
from cli.errors import UserError
from cli.progress import ProgressReport
from cli.table import aligned
from envs.family import FAMILIES, Family
from files.lock import exclusive
from policies.products import fast_products
from records.csv_log import SCORING_LOCK
from records.folder import RunFolder
from records.rows import evaluation_log, read_evaluated_games

# Limit for one checkpoint and mode, far above the largest --episodes.
MOST_GAMES = 1_000_000


@dataclass(frozen=True)
class Score:
    """The scored games of one agent.

    Attributes:
        agent: a run folder, or "random play".
        family: family of the game.
        game: name of the game.
        protocol: name of the rules.
        mode: how actions were chosen.
        step: agent steps of training; None for random play.
        games: the games that were played.
    """

    agent: str
    family: Family
    game: str
    protocol: str
    mode: str
    step: int | None
    games: tuple[Game, ...]

    @property
    def scores(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Raw score of each game."""
        return np.array([game.score for game in self.games])

    @property
    def human_normalized(self) -> float | None:
        """Mean score on the scale where random play is 0 and a human 1; None if unknown."""
        return self.family.human_normalized(self.game, float(self.scores.mean()))


def score_run(
    path: Path,
    episodes: int,
    *,
    deterministic: bool = False,
    checkpoint: str = "newest",
    trusted: Collection[str] = (),
    n_envs: int = 8,
    threads: int = 0,
    device: str = "cpu",
) -> Score:
    """Play `episodes` whole games with a run's agent and append them to its evaluation.csv.

    Games of the same checkpoint, seed and mode that are already in evaluation.csv are not played
    again, because their results would be equal.

    Raises:
        UserError: not a run folder, no checkpoint, or a damaged file.
    """
    agent, config, step = load_agent(
        path,
        checkpoint=checkpoint,
        trusted=trusted,
        deterministic=deterministic,
        device=device,
    )
    folder, family = RunFolder(path), FAMILIES.find(config.family)
    known = scored_games(folder.evaluation_file, step, agent.mode)
    seeds = evaluation_seeds(episodes)
    missing = [seed for seed in seeds if seed not in known]
    if len(missing) < len(seeds):
        kept = len(seeds) - len(missing)
        print(f"{kept} of {len(seeds)} games are from {folder.evaluation_file}", file=sys.stderr)
    if missing:
        with exclusive(path, "scoring", SCORING_LOCK):
            log = evaluation_log(folder.evaluation_file)
            try:
                # Each game is written at once, so that an interrupted scoring can continue.
                with fast_products():
                    played = _play(
                        agent,
                        family,
                        config.game,
                        config.protocol,
                        missing,
                        n_envs,
                        threads,
                        str(path),
                        lambda game: log.append(game.row(step, agent.mode)),
                    )
            finally:
                log.close()
        known |= {game.seed: game for game in played}
    games = tuple(known[seed] for seed in seeds)
    return Score(str(path), family, config.game, config.protocol, agent.mode, step, games)


def score_random(
    family: Family,
    game: str,
    protocol: str,
    episodes: int,
    *,
    n_envs: int = 8,
    threads: int = 0,
) -> Score:
    """Score the uniformly random policy on the same games."""
    agent = RandomAgent(len(family.action_meanings(game)))
    seeds = evaluation_seeds(episodes)
    games = _play(agent, family, game, protocol, seeds, n_envs, threads, f"random {game}")
    return Score("random play", family, game, protocol, agent.mode, None, tuple(games))


def score_table(scores: Sequence[Score]) -> str:
    """A text table with one agent per row."""
    rows = [("agent", "game", "step", "mode", "games", "mean", "std", "median", "human-norm.")]
    for score in scores:
        values, normalized = score.scores, score.human_normalized
        rows.append(
            (
                score.agent,
                f"{score.game} ({score.protocol})",
                "-" if score.step is None else f"{score.step:,}",
                score.mode,
                _count(score),
                f"{values.mean():.1f}",
                f"{values.std(ddof=1):.1f}" if len(values) > 1 else "-",
                f"{np.median(values):.1f}",
                "unknown" if normalized is None else f"{normalized:.3f}",
            )
        )
    return aligned(rows, left={0, 1, 3})


def _count(score: Score) -> str:
    """The number of games; with deterministic actions, also the number of distinct ones."""
    count = len(score.games)
    if score.mode != "deterministic":
        return str(count)
    return f"{count} ({distinct_games(score.games)} distinct)"


def _play(
    agent: Agent,
    family: Family,
    game: str,
    protocol: str,
    seeds: Sequence[int],
    n_envs: int,
    threads: int,
    title: str,
    keep: Callable[[Game], None] = lambda game: None,
) -> list[Game]:
    if threads:
        torch.set_num_threads(threads)
    with ProgressReport(f"scoring {title}", len(seeds), unit="games") as progress:
        finished: list[Game] = []

        def count(done: Game) -> None:
            keep(done)
            finished.append(done)
            progress.update(len(finished), f"mean {np.mean([g.score for g in finished]):.1f}")

        return play_games(
            agent, family, game, protocol, seeds, n_envs=n_envs, threads=threads, on_game=count
        )


def scored_games(path: Path, step: int, mode: str) -> dict[int, Game]:
    """Games of one checkpoint and mode in an evaluation.csv, by seed; empty if there is no file.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return {}
    games: dict[int, Game] = {}
    for row in read_evaluated_games(path):
        if row.step != step or row.mode != mode:
            continue
        game = Game(row.seed, row.score, row.length)
        if len(games) == MOST_GAMES:
            raise UserError(
                f"{path} is damaged: it has more than {MOST_GAMES:,} games of one agent"
            )
        if games.setdefault(game.seed, game) != game:
            raise UserError(f"{path} is damaged: seed {game.seed} has two different scores")
    return games
