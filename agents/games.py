"""Record the games that training finishes, and the mean score of the last hundred."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from records.rows import Episode, episode_log, read_episodes

SCORES_AVERAGED = 100
# A few lucky first games must not make a checkpoint the best.
GAMES_OF_A_SCORE = 20


class FinishedGames(BaseCallback):
    """Appends every finished game to episodes.csv; as an SB3 callback it sees every step.

    Args:
        file: episodes.csv.
        games: number of games finished at the checkpoint that training continues from.
        seconds: wall time of training until that checkpoint.
        keep_bytes: length of the file at that checkpoint; later rows belong to lost steps.
    """

    def __init__(self, file: Path, games: int, seconds: float, keep_bytes: int) -> None:
        super().__init__()
        self.count = games
        self._log = episode_log(file, keep_bytes)
        self._recent = last_games(file)
        self._seconds_before, self._start = seconds, time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time of training over all parts of the run."""
        return self._seconds_before + time.monotonic() - self._start

    @property
    def score(self) -> float | None:
        """Mean raw score of the last 100 games."""
        return float(np.mean([game.score for game in self._recent])) if self._recent else None

    @property
    def telling_score(self) -> float | None:
        """The mean score, once there are enough games to choose a checkpoint by; None before."""
        return self.score if len(self._recent) >= GAMES_OF_A_SCORE else None

    @property
    def length(self) -> float | None:
        """Mean length of the last 100 games in agent steps."""
        return float(np.mean([game.length for game in self._recent])) if self._recent else None

    @property
    def bytes_written(self) -> int:
        """Length of episodes.csv, which a checkpoint records."""
        return self._log.bytes_written

    def sync(self) -> None:
        """Make what was written survive a power failure."""
        self._log.sync()

    def close(self) -> None:
        """Flush to disk and close."""
        self._log.close()

    def _on_step(self) -> bool:
        for index in np.flatnonzero(self.locals["dones"]):
            record = self.locals["infos"][index].get("episode")
            if record is not None:
                game = Episode(
                    self.num_timesteps, self.seconds, float(record["r"]), int(record["l"])
                )
                self.count += 1
                self._recent.append(game)
                self._log.append(game)
        return True


def last_games(file: Path) -> deque[Episode]:
    """The last 100 finished games of a run."""
    return deque(read_episodes(file), maxlen=SCORES_AVERAGED)
