"""Play whole games for their raw scores, from seeds that training never uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from agents.agent import Agent, playing
from envs.family import Family
from records.rows import EvaluatedGame

# Training seeds its emulators with even numbers, and games here have odd seeds. Evaluations during
# training play other games than the final scoring: stopping or tuning by the former does not bias
# the latter.
SCORING_SEEDS_FROM = 0
TRAINING_EVALUATION_SEEDS_FROM = 500_000_000


@dataclass(frozen=True)
class Game:
    """A whole game: the seed that reproduces it, its raw score and its length in agent steps."""

    seed: int
    score: float
    length: int

    def row(self, step: int, mode: str) -> EvaluatedGame:
        """The game's row in evaluation.csv, played by the checkpoint at `step`."""
        return EvaluatedGame(step, self.seed, self.score, self.length, mode)


def distinct_games(games: Iterable[Game]) -> int:
    """The number of games that differ in score or length; a repeated game adds no information.

    Under protocol v4 a game's seed decides only how many no-ops it begins with, 0 to 30: an agent
    that does not sample actions plays at most 31 distinct games, however many are requested.
    """
    return len({(game.score, game.length) for game in games})


def evaluation_seeds(count: int, start: int = SCORING_SEEDS_FROM) -> list[int]:
    """Seeds of `count` games, which are the same for every agent, so that comparisons are fair."""
    return [2 * (start + index) + 1 for index in range(count)]


def play_games(
    agent: Agent,
    family: Family,
    game: str,
    protocol: str,
    seeds: Sequence[int],
    *,
    n_envs: int = 8,
    threads: int = 0,
    on_game: Callable[[Game], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Game]:
    """Play one whole game from each seed; the results are in the order of `seeds`.

    Every environment plays a fixed share of the games. Taking the first games to finish would favor
    short ones.

    Args:
        agent: the agent that plays.
        family: the game's family.
        game: the game's name.
        protocol: the protocol's name.
        seeds: one for each game.
        n_envs: number of environments played at the same time.
        threads: emulator threads; 0 uses as many as are useful.
        on_game: called after each finished game.
        stop: called between steps; once it is true, the games finished so far are returned.
    """
    n_envs = min(n_envs, len(seeds))
    shares = [list(range(index, len(seeds), n_envs)) for index in range(n_envs)]
    results: dict[int, Game] = {}
    env = family.make_vec_env(game, n_envs, protocol, training=False, threads=threads)
    with closing(env), playing(agent):
        current = [share.pop(0) for share in shares]
        observations = env.reset_games([seeds[number] for number in current])
        generators = [np.random.default_rng(seeds[number]) for number in current]
        while len(results) < len(seeds) and not stop():
            observations, _, dones, infos = env.step(agent.act(observations, generators))
            for index in np.flatnonzero(dones):
                number = current[index]
                if number in results:
                    continue
                record = infos[index]["episode"]
                results[number] = Game(seeds[number], float(record["r"]), int(record["l"]))
                if on_game is not None:
                    on_game(results[number])
                if shares[index]:
                    current[index] = shares[index].pop(0)
                    seed = seeds[current[index]]
                    observations[index] = env.reset_game(int(index), seed)
                    generators[index] = np.random.default_rng(seed)
    return [results[number] for number in sorted(results)]
