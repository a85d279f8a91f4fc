"""The wheel: what it brings into somebody's environment, and that it is enough."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Folders of the suite, whose names somebody's project may have too.
GENERIC = (
    "agents",
    "envs",
    "policies",
    "records",
    "cli",
    "files",
    "evaluation",
    "sweeps",
    "studies",
    "benchmarks",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline, from a copy of what git tracks, as a release is."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = (
        subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .split("\0")
    )
    for name in tracked:
        ours = name.startswith("coordconv/") or name in ("pyproject.toml", "README.md", "LICENSE")
        if ours and (ROOT / name).is_file():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    pip(
        "wheel",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        folder / "source",
    )
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """A site-packages folder with the wheel installed."""
    folder = wheel.parent / "site"
    pip("install", "--no-index", "--no-deps", "--target", folder, wheel)
    return folder


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, capture_output=True, check=True, text=True)


def somebodys_project(site: Path, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a project that has folders of the suite's names, beside the installed wheel."""
    for name in GENERIC:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("MINE = True\n")
    check = f"import coordconv; assert coordconv.__file__.startswith({str(site)!r})\n"
    mine = "".join(f"import {name}; assert {name}.MINE\n" for name in GENERIC)
    (folder / "main.py").write_text(check + mine + code)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "main.py"], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_nothing_with_a_generic_name_is_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (about,) = (name for name in names if name.endswith("METADATA"))
        metadata = Parser().parsestr(archive.read(about).decode())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"coordconv"}
    assert "coordconv/py.typed" in names
    assert {"coordconv/sb3/policy.py", "coordconv/layer.py"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert metadata["License-Expression"] == "MIT"
    needed = [text for text in metadata.get_all("Requires-Dist") or [] if "extra ==" not in text]
    assert needed == ["torch>=2.6"]


def test_every_package_of_the_library_is_in_the_wheel(wheel: Path) -> None:
    expected = {str(p.relative_to(ROOT)) for p in (ROOT / "coordconv").rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        assert expected <= set(archive.namelist())


@pytest.mark.slow
def test_the_readmes_examples_run_from_an_installed_wheel(site: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    code = """
import gymnasium, numpy as np
class Noise(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}
    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}
env = Noise()
"""
    code += "\n".join(blocks)
    code += """
from stable_baselines3.common.policies import ActorCriticCnnPolicy
model.n_steps = 8
assert isinstance(model.policy, AtariPolicy)
plain = PPO("CnnPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu",
    policy_kwargs=policy_kwargs_for(NatureExtractor, channels="coordinates")).learn(8)
ours = PPO(AtariPolicy, env, n_steps=8, batch_size=8, n_epochs=1, device="cpu",
    policy_kwargs=policy_kwargs_for(NatureExtractor, channels="coordinates")).learn(8)
names = {type(m).__name__ for m in plain.policy.features_extractor.modules()}
assert "CoordConv2d" in names
plain.save("plain.zip")
PPO.load("plain.zip", device="cpu")
print("well")
"""
    result = somebodys_project(site, tmp_path, code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("well")


@pytest.mark.slow
def test_the_layer_needs_neither_stable_baselines_nor_numpy(site: Path, tmp_path: Path) -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("stable_baselines3", "gymnasium", "onnx"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import torch
from coordconv import CoordConv2d, fold_model
layer = CoordConv2d(3, 8, 3)
x = torch.rand(2, 3, 9, 9)
assert torch.allclose(fold_model(layer, x)(x), layer(x))
try:
    import coordconv.sb3
except ModuleNotFoundError:
    print("well")
"""
    result = somebodys_project(site, tmp_path, code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "well"


@pytest.mark.slow
def test_the_commands_of_an_installed_wheel_say_that_the_suite_runs_from_a_checkout(
    site: Path, tmp_path: Path
) -> None:
    (site / "train.py").write_text("print('another project')\n")
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for name in ("train", "evaluate", "sweep"):
        command = [sys.executable, str(site / "bin" / f"coordconv-{name}"), "--help"]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"coordconv-{name}: error: the suite runs from a checkout")
        assert len(result.stderr.splitlines()) == 1


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()
