"""The Atari protocols and the environments that implement them.

`AtariVecEnv` steps many games at once for training and scoring. `make_reference_env` plays one game
through Gymnasium's own wrappers: it can render, and it is the reference for testing `AtariVecEnv`.
"""

from envs.batch import GameBatch
from envs.games import GAMES, UnknownGameError, action_meanings, n_actions, rom_id
from envs.protocol import PROTOCOLS, Protocol, UnknownProtocolError, find_protocol
from envs.published_scores import human_normalized
from envs.rendered import make_reference_env
from envs.seeds import emulator_seeds
from envs.vec_env import AtariVecEnv

__all__ = [
    "GAMES",
    "PROTOCOLS",
    "AtariVecEnv",
    "GameBatch",
    "Protocol",
    "UnknownGameError",
    "UnknownProtocolError",
    "action_meanings",
    "emulator_seeds",
    "find_protocol",
    "human_normalized",
    "make_reference_env",
    "n_actions",
    "rom_id",
]
