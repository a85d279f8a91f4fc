"""Sets of Atari games: the 57 of the published tables, and the five and ten that represent them.

Aitchison, Sweetser & Hutter 2023, "Atari-5: Distilling the Arcade Learning Environment down to Five
Games" (arXiv:2210.02019), chose the games and fitted the weights. The weights and errors here are
from their program (github.com/maitchison/PPO, `AtariScoreNormalizer`). Least squares on their data
(github.com/maitchison/Atari-5, `dataset.csv`) reproduce the weights to six digits, and their
10-fold cross-validation reproduces the errors.
"""

from __future__ import annotations

from envs.game_sets import GameSet, MedianModel
from envs.published_scores import games_with_human_scores

SOURCE = (
    "Aitchison, Sweetser & Hutter 2023 (arXiv:2210.02019); weights and error from their program, "
    "github.com/maitchison/PPO and github.com/maitchison/Atari-5"
)
CAVEATS = (
    "it was fitted to published scores of agents whose medians were at least half of a human's, "
    "most of them trained for 200 million frames (50 million agent steps) or more and without "
    "sticky actions. For the four published tables of A2C and PPO that we have, with shorter "
    "training, it is too low by 15 to 29 % for PPO and by 48 to 68 % for A2C (docs/statistics.md)"
)

ALL = GameSet(games_with_human_scores())


def _set(relative_error: float, **weights: float) -> GameSet:
    model = MedianModel(weights, ALL.games, relative_error, CAVEATS, SOURCE)
    return GameSet(tuple(weights), model)


SETS = {
    "atari5": _set(
        0.104,
        BattleZone=0.3819751237831753,
        DoubleDunk=0.0679099488887574,
        NameThisGame=0.310804148620847,
        Phoenix=0.12412619402774641,
        Qbert=0.08048518286466755,
    ),
    "atari10": _set(
        0.072,
        Amidar=0.08246357439570691,
        Bowling=0.0559032813915904,
        Frostbite=0.06912572845204429,
        KungFuMaster=0.09861731598935165,
        Riverraid=0.048594292965417056,
        BattleZone=0.18882008828001498,
        DoubleDunk=0.08519154019954558,
        NameThisGame=0.12869695652405946,
        Phoenix=0.16432707026384483,
        Qbert=0.05922863791062832,
    ),
    "all": ALL,
}
