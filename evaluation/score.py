"""Scores of trained agents over whole fresh games."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from agents.agent import Agent, RandomAgent, load_agent
from agents.play import Game, distinct_games, evaluation_seeds, play_games
from cli.errors import UserError
from cli.progress import ProgressReport
from cli.table import aligned
from envs import human_normalised, n_actions
from files.lock import exclusive
from policies.products import fast_products
from records.folder import RunFolder
from records.rows import EVALUATION_COLUMNS, SCORING_LOCK, CsvLog, read_csv

# No Atari game counts so far.
HIGHEST_SCORE = 1e12
# Of one checkpoint and mode, far beyond --episodes.
MOST_GAMES = 1_000_000
# How actions are chosen in games that are scored.
MODES = ("stochastic", "deterministic")


@dataclass(frozen=True)
class Score:
    """The games of one agent, summed up.

    Attributes:
        agent: where it is from: a run folder, or "random play".
        game: the game's name.
        protocol: "v4" or "sticky".
        mode: how actions were chosen.
        step: agent steps of training; None for random play.
        games: what was played.
    """

    agent: str
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
    def human_normalised(self) -> float | None:
        """Mean score on the scale where random play is 0 and a human 1; None where unknown."""
        return human_normalised(self.game, float(self.scores.mean()))


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

    Games that are in evaluation.csv already, of the same checkpoint, seed and mode, are not played
    again: they would come out the same.

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
    folder = RunFolder(path)
    known = scored_games(folder.evaluation_file, step, agent.mode)
    seeds = evaluation_seeds(episodes)
    missing = [seed for seed in seeds if seed not in known]
    if len(missing) < len(seeds):
        kept = len(seeds) - len(missing)
        print(f"{kept} of {len(seeds)} games are from {folder.evaluation_file}", file=sys.stderr)
    if missing:
        with exclusive(path, "scoring", SCORING_LOCK):
            log = CsvLog(folder.evaluation_file, EVALUATION_COLUMNS)
            try:
                # Written one by one: what is interrupted goes on where it was.
                with fast_products():
                    played = _play(
                        agent,
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
    return Score(str(path), config.game, config.protocol, agent.mode, step, games)


def score_random(
    game: str, protocol: str, episodes: int, *, n_envs: int = 8, threads: int = 0
) -> Score:
    """The same games played by the uniformly random policy."""
    agent = RandomAgent(n_actions(game))
    seeds = evaluation_seeds(episodes)
    games = _play(agent, game, protocol, seeds, n_envs, threads, f"random {game}")
    return Score("random play", game, protocol, agent.mode, None, tuple(games))


def score_table(scores: Sequence[Score]) -> str:
    """A text table: one agent a row."""
    rows = [("agent", "game", "step", "mode", "games", "mean", "std", "median", "human-norm.")]
    for score in scores:
        values, normalised = score.scores, score.human_normalised
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
                "unknown" if normalised is None else f"{normalised:.3f}",
            )
        )
    return aligned(rows, left={0, 1, 3})


def _count(score: Score) -> str:
    """Of games; with no action drawn, also how many of them differ."""
    count = len(score.games)
    if score.mode != "deterministic":
        return str(count)
    return f"{count} ({distinct_games(score.games)} distinct)"


def _play(
    agent: Agent,
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
            agent, game, protocol, seeds, n_envs=n_envs, threads=threads, on_game=count
        )


def scored_games(path: Path, step: int, mode: str) -> dict[int, Game]:
    """Games of an evaluation.csv by seed, of one checkpoint and mode; none if there is no file.

    Raises:
        UserError: a row of it cannot be read.
    """
    if not path.exists():
        return {}
    games: dict[int, Game] = {}
    for number, row in enumerate(read_csv(path, EVALUATION_COLUMNS), start=2):
        try:
            game = _game_of_row(row)
            if int(row["step"]) != step or row["mode"] != mode:
                continue
            if len(games) == MOST_GAMES:
                raise ValueError(f"it has more than {MOST_GAMES:,} games")
            if games.setdefault(game.seed, game) != game:
                raise ValueError(f"seed {game.seed} is there before with another score")
        except ValueError as error:
            raise UserError(f"{path} is damaged at line {number}: {error}") from error
    return games


def _game_of_row(row: Mapping[str, str]) -> Game:
    if row["mode"] not in MODES:
        raise ValueError(f"it is not {', '.join(EVALUATION_COLUMNS)}")
    game = Game(int(row["seed"]), float(row["score"]), int(row["length"]))
    if not abs(game.score) <= HIGHEST_SCORE:  # nor is NaN
        raise ValueError(f"the score is {game.score}")
    return game
