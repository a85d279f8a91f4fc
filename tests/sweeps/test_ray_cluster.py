"""Sweeps on a real Ray cluster of several nodes, one of which dies."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from agents.agent import load_agent
from cli.errors import UserError
from records.folder import RunFolder
from sweeps.grid import Sweep
from sweeps.ray_cluster import run_ray
from sweeps.status import progress
from tests.sweeps.lost_steps import newest, require_no_step_in_two_games
from tests.sweeps.test_sweep import start, words
from tests.waiting import wait_for

# Ray reads this when it is imported: all nodes and the sweep stay on the loopback.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="pip install -e '.[ray]'")
STORE_BYTES = 80 * 2**20  # Ray's least for each node's shared memory
# A dead node is noticed within seconds.
NOTICED_SOON = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}


@pytest.fixture
def cluster() -> Iterator[tuple[object, list[object]]]:
    """A head that computes nothing and two nodes of one CPU each."""
    settings = {"object_store_memory": STORE_BYTES}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": NOTICED_SOON, **settings}
    started = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    nodes = [started.add_node(num_cpus=1, **settings) for _ in range(2)]
    yield started, nodes
    started.shutdown()


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:port", "127.0.0.1:1"])
def test_without_a_cluster_it_says_so_in_a_line(small_sweep: Sweep, address: str) -> None:
    with pytest.raises(UserError, match=f"no Ray cluster answers at {address}"):
        run_ray(small_sweep, small_sweep.cells(), None, address)


@pytest.mark.slow
def test_a_node_dies_in_the_middle_of_a_cell_and_the_grid_completes(
    cluster: Any, small_sweep: Sweep
) -> None:
    started, nodes = cluster
    sweep = small_sweep.with_settings(steps=1_600, checkpoint_every=160)
    cells = sweep.cells()
    process = start(words(sweep, "--engine", "ray", "--address", started.address))
    wait_for(lambda: all(newest(cell.path) > 0 for cell in cells))
    started.remove_node(nodes[0], allow_graceful=False)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "2 cells: 2 done" in out
    resumes = []
    for cell in cells:
        assert progress(sweep, cell).state == "done"
        folder = RunFolder(cell.path)
        assert load_agent(cell.path)[2] == 1_600
        require_no_step_in_two_games(cell.path)
        with folder.evaluation_file.open() as file:
            assert [row["seed"] for row in csv.DictReader(file)] == ["1"]
        resumes.append(len(json.loads(folder.provenance_file.read_text()).get("resumed", [])))
    # The dead node's cell went on elsewhere; the other one never stopped.
    assert sorted(resumes) == [0, 1]


def test_without_ray_it_says_how_to_get_it(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="pip install -e"):
        run_ray(small_sweep, small_sweep.cells(), None, "127.0.0.1:1")
