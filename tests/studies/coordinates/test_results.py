from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.errors import UserError
from studies.coordinates.__main__ import main
from studies.coordinates.race import in_words, race
from studies.coordinates.results import FinishedCoordinates, as_markdown, find_experiments, table
from studies.folder import read_arrays


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tasks with both models on the quadrant split, very small, and a second seed of one."""
    root = tmp_path_factory.mktemp("experiments")
    small = ["--canvas", "16", "--square", "3", "--epochs", "1", "--results", str(root)]
    for task in ("classification", "regression", "rendering"):
        for model in ("conv", "coordconv"):
            main([task, "--model", model, *small])
    main(["classification", "--model", "conv", "--seed", "2", *small])
    return root


@pytest.mark.slow
def test_figures_draws_every_figure_and_the_table(experiments: Path, tmp_path: Path) -> None:
    assert main(["figures", "--results", str(experiments), "--out", str(tmp_path)]) == 0
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {
        "accuracy_over_time.png",
        "logits.png",
        "predictions.png",
        "regression.png",
        "rendering.png",
    }
    for name in pictures:
        image = np.asarray(Image.open(tmp_path / name).convert("L"))
        assert image.std() > 5, name  # not an empty page
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert len(rows) == 6
    assert {row["seeds"] for row in rows if row["task"] == "classification"} == {"1", "2"}


def test_figures_draws_what_some_of_the_experiments_allow(
    experiments: Path, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    folder = part / "regression" / "conv" / "quadrant"
    folder.mkdir(parents=True)
    (folder / "seed-1").symlink_to(experiments / "regression" / "conv" / "quadrant" / "seed-1")
    assert main(["figures", "--results", str(part), "--out", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["regression.png"]


def test_summed_probabilities_add_up_to_the_number_of_positions(experiments: Path) -> None:
    folder = experiments / "classification" / "coordconv" / "quadrant" / "seed-1"
    arrays = read_arrays(folder, ())
    for part in ("train", "test"):
        positions = len(arrays[f"{part}_positions"])
        assert arrays[f"{part}_sum"].sum() == pytest.approx(positions, rel=1e-4)
    assert arrays["snapshot_logits"].shape[1:] == (16, 16)
    steps = arrays["snapshot_steps"].tolist()
    last = json.loads((folder / "result.json").read_text())["steps"]
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0, last)


def _experiment(seed: int, test: float, seconds: float | None) -> FinishedCoordinates:
    settings = {"task": "classification", "model": "coordconv", "split": "quadrant", "seed": seed}
    result = {
        "settings": settings,
        "measure": "accuracy",
        "test": test,
        "train": 1.0,
        "best_test": test,
        "perfect": seconds is not None,
        "seconds_to_perfect": seconds,
        "parameters": 7553,
        "epochs": 2,
        "seconds": 30.0,
        "seconds_to_best_test": 9.0,
        "processor": "P",
    }
    return FinishedCoordinates(Path("nowhere"), result)


def test_the_table_equals_hand_computed_values() -> None:
    found = [_experiment(1, 1.0, 10.0), _experiment(2, 0.5, None), _experiment(3, 1.0, 20.0)]
    (row,) = table(found)
    assert (row["seeds"], row["perfect"]) == (3, 2)
    assert row["test"] == pytest.approx(2.5 / 3, abs=1e-5)
    assert (row["test_least"], row["test_most"]) == (0.5, 1.0)
    assert row["seconds_to_perfect"] == 15
    assert "2 of 3 seeds" in as_markdown([row])


def test_the_race_equals_hand_computed_values() -> None:
    def runner(**changes: object) -> FinishedCoordinates:
        return FinishedCoordinates(Path("nowhere"), {**_experiment(1, 1.0, 10.0).result, **changes})

    slow = {"parameters": 409_921, "best_test": 0.86, "seconds_to_best_test": 1500.0}
    summary = race(runner(), runner(**slow))
    assert summary["times_faster"] == 150
    assert summary["times_fewer_parameters"] == pytest.approx(54.27, abs=0.01)
    assert "86.0%" in in_words(summary)
    # One of the 729 positions of the quadrant is correct by chance now and then.
    for accuracy, shown in ((0.0, "0.0%"), (1 / 729, "0.1%")):
        none = race(runner(), runner(**{**slow, "best_test": accuracy}))
        assert none["times_faster"] is None
        assert f"at most {shown} correct" in in_words(none)
    with pytest.raises(UserError, match="did not reach 100 %"):
        race(runner(seconds_to_perfect=None), runner(**slow))
    with pytest.raises(UserError, match="their times cannot be compared"):
        race(runner(), runner(**slow, processor="another"))


def test_experiments_with_different_settings_are_not_averaged(
    experiments: Path, tmp_path: Path
) -> None:
    for seed, epochs in ((1, "1"), (2, "2")):
        arguments = ["--canvas", "16", "--square", "3", "--epochs", epochs, "--seed", str(seed)]
        main(["regression", "--model", "conv", *arguments, "--results", str(tmp_path)])
    with pytest.raises(UserError, match=r"differ in epochs \(1.0 and 2.0\)"):
        find_experiments(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": "x"}, "test is 'x'"),
        ({"perfect": None}, "perfect"),
        ({"measure": None}, "measure is None"),
        ({"settings": {}}, "'task'"),
    ],
)
def test_wrong_values_in_a_result_are_named(
    change: dict[str, object], message: str, experiments: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "regression" / "conv" / "quadrant" / "seed-1"
    folder.mkdir(parents=True)
    source = experiments / "regression" / "conv" / "quadrant" / "seed-1" / "result.json"
    content = {**json.loads(source.read_text()), **change}
    (folder / "result.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        find_experiments(tmp_path)


def test_damaged_files_are_refused_by_name(experiments: Path, tmp_path: Path) -> None:
    folder = tmp_path / "regression" / "conv" / "quadrant" / "seed-1"
    folder.mkdir(parents=True)
    source = experiments / "regression" / "conv" / "quadrant" / "seed-1"
    for name in ("result.json", "curve.csv", "arrays.npz"):
        (folder / name).write_bytes((source / name).read_bytes())
    (folder / "arrays.npz").write_bytes((source / "arrays.npz").read_bytes()[:200])
    with pytest.raises(UserError, match=r"cannot read .*arrays\.npz"):
        main(["figures", "--results", str(tmp_path), "--out", str(tmp_path)])
    (folder / "result.json").write_text('{"settings": {}}')
    with pytest.raises(UserError, match=r"result\.json is not a result"):
        find_experiments(tmp_path)
