import ale_py
import gymnasium
import pytest

from envs import GAMES, UnknownGameError, action_meanings, n_actions, rom_id
from envs.atari import ATARI
from envs.protocol import PROTOCOLS


def test_game_names_are_those_that_gymnasium_registers() -> None:
    gymnasium.register_envs(ale_py)
    ids = {id_ for id_ in gymnasium.registry if id_.startswith("ALE/") and id_.endswith("-v5")}
    assert {f"ALE/{name}-v5" for name in GAMES} == ids
    assert len(GAMES) == 104


@pytest.mark.parametrize(
    ("game", "rom"),
    [("Breakout", "breakout"), ("MsPacman", "ms_pacman"), ("TicTacToe3D", "tic_tac_toe_3d")],
)
def test_rom_id_is_the_id_that_ale_py_uses(game: str, rom: str) -> None:
    assert rom_id(game) == rom
    assert ale_py.roms.get_rom_path(rom) is not None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("mspacman", "MsPacman"),
        ("ms_pacman", "MsPacman"),
        ("MSPACMAN", "MsPacman"),
        ("Ms. Pacman", "MsPacman"),
        ("ALE/Breakout-v5", "Breakout"),
        ("BreakoutNoFrameskip-v4", "Breakout"),
        ("Breakot", "Breakout"),
        ("space-invaders", "SpaceInvaders"),
    ],
)
def test_a_misspelled_game_is_refused_with_the_nearest_name(wrong: str, right: str) -> None:
    with pytest.raises(UnknownGameError) as caught:
        rom_id(wrong)
    message = str(caught.value)
    assert repr(wrong) in message
    assert f"did you mean {right}" in message
    assert "104 games" in message
    assert "\n" not in message


def test_a_name_unlike_any_game_is_refused_without_a_suggestion() -> None:
    with pytest.raises(UnknownGameError, match=r"'xyzzy-9000'.*no name is similar.*104 games"):
        rom_id("xyzzy-9000")


def test_actions_are_the_minimal_set() -> None:
    assert action_meanings("Breakout") == ("NOOP", "FIRE", "RIGHT", "LEFT")
    assert n_actions("Freeway") == 3
    assert n_actions("Seaquest") == 18
    with pytest.raises(UnknownGameError, match="did you mean Pong"):
        n_actions("pong")


@pytest.mark.parametrize(("protocol", "registered"), [("v4", 60), ("sticky", 104)])
def test_environment_ids_are_gymnasiums_for_the_same_rules(protocol: str, registered: int) -> None:
    gymnasium.register_envs(ale_py)
    ids = {ATARI.environment_id(game, protocol): game for game in GAMES}
    # Later games have no id of the old kind.
    known = [id_ for id_ in ids if id_ in gymnasium.registry]
    assert len(known) >= registered
    for id_ in known:
        rules = gymnasium.spec(id_).kwargs
        assert rules["game"] == rom_id(ids[id_])
        assert rules["repeat_action_probability"] == PROTOCOLS[protocol].repeat_action_probability
