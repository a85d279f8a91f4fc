"""The Atari family: the games that ale-py ships, under the field's protocols."""

from __future__ import annotations

from typing import Any

from envs.atari_sets import SETS
from envs.family import Family, Frames, Game
from envs.games import GAMES, action_meanings, rom_id
from envs.protocol import PROTOCOLS, find_protocol
from envs.published_scores import (
    SOURCES,
    human_normalized,
    published_scores,
    reference_scores,
)
from envs.rendered import FRAME_RATE, make_reference_env
from envs.vec_env import AtariVecEnv


class Atari(Family):
    """The Atari games of ale-py."""

    name = "Atari"
    protocols = PROTOCOLS
    actions_per_second = FRAME_RATE / PROTOCOLS["v4"].frame_skip
    games = tuple(GAMES)
    sources = SOURCES
    game_sets = SETS

    def check_game(self, game: str) -> None:
        """Raises UnknownGameError unless a game has exactly this name."""
        rom_id(game)

    def observation_shape(self, protocol: str) -> tuple[int, int, int]:
        """(frames, height, width)."""
        rules = find_protocol(protocol)
        return rules.stack, rules.screen_size, rules.screen_size

    def environment_id(self, game: str, protocol: str) -> str:
        """Gymnasium's id of the game, with or without sticky actions.

        Newer games have no v4 id in Gymnasium; they get the id that it would be.
        """
        sticky = find_protocol(protocol).repeat_action_probability > 0
        return f"ALE/{game}-v5" if sticky else f"{game}NoFrameskip-v4"

    def rules_in_words(self, protocol: str) -> str:
        """The rules that a score depends on."""
        rules = find_protocol(protocol)
        sticky = f"actions stick with probability {rules.repeat_action_probability:g}"
        ends = "a lost life ends a training episode"
        return "; ".join(
            (
                sticky if rules.repeat_action_probability else "no sticky actions",
                ends if rules.life_loss_ends_episode else "a lost life does not end an episode",
                f"up to {rules.noop_max} no-ops at the start and FIRE at the start of each life",
                f"an action is held for {rules.frame_skip} frames",
                f"the agent sees {self.observation_in_words(protocol)}",
                "the minimal action set",
                f"a game is truncated after {rules.max_frames:,} frames",
            )
        )

    def observation_in_words(self, protocol: str) -> str:
        """Description of an observation."""
        frames, height, width = self.observation_shape(protocol)
        return f"the last {frames} screens, the newest last, {height}×{width} gray"

    def action_meanings(self, game: str) -> tuple[str, ...]:
        """The game's minimal action set."""
        return action_meanings(game)

    def make_vec_env(
        self,
        game: str,
        n_envs: int,
        protocol: str,
        *,
        seed: int = 0,
        training: bool,
        threads: int = 1,
        batches: int = 1,
    ) -> AtariVecEnv:
        """ale-py's vector environment."""
        return AtariVecEnv(
            game, n_envs, protocol, seed=seed, training=training, threads=threads, batches=batches
        )

    def watched_game(self, game: str, protocol: str, seed: int) -> tuple[Game, Frames]:
        """The game in Gymnasium's environment, because ale-py's vector environment cannot render.

        The vector environment draws the number of no-ops in its own way, so it is asked for it.
        """
        # Closed before the renderer is made, so that its threads and ROM are freed by then.
        asked = AtariVecEnv(game, 1, protocol, training=False, threads=1)
        try:
            asked.reset_games([seed])
            begin: Any = asked.reset_infos[0]["episode_frame_number"]
        finally:
            asked.close()
        env = make_reference_env(game, protocol, training=False, render=True)
        try:
            observation, _ = env.reset(seed=seed, options={"episode_frame_number": begin})
        except BaseException:
            env.close()
            raise
        return env, observation

    def human_normalized(self, game: str, score: float) -> float | None:
        """Normalized with the random and human scores of Wang et al. 2016."""
        return human_normalized(game, score)

    def published_scores(self, game: str, algo: str, protocol: str) -> dict[str, float | None]:
        """Scores from `atari_reference_scores.csv`."""
        return published_scores(game, algo, protocol)

    def reference_play(self, game: str) -> dict[str, float | None]:
        """Scores of random play and of a human tester."""
        known = reference_scores(game)
        return {"random play": known.get("random"), "human": known.get("human")}


ATARI = Atari()
