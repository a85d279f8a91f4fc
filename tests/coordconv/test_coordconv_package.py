"""The package as a whole: examples in docstrings, public names, dependencies."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import coordconv

MODULES = ["coordconv", *(f"coordconv.{m.name}" for m in pkgutil.iter_modules(coordconv.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    torch_names = {"torch": importlib.import_module("torch")}
    result = doctest.testmod(module, extraglobs=torch_names)
    assert result.failed == 0


def test_package_docstring_has_examples() -> None:
    assert doctest.testmod(coordconv).attempted >= 8


def test_public_names_exist_and_are_documented() -> None:
    assert all(getattr(coordconv, name).__doc__ for name in coordconv.__all__)


@pytest.mark.slow
def test_folding_and_measuring_do_not_import_the_compiler() -> None:
    code = (
        "import sys, torch, coordconv as c; layer = c.CoordConv2d(3, 4, 3); "
        "x = torch.rand(1, 3, 5, 5); c.fold_model(layer, x); c.translation_dependences(layer, x); "
        "print('torch._dynamo' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.slow
def test_package_imports_nothing_of_the_suite_or_its_dependencies() -> None:
    suite = ("policies", "envs", "agents", "evaluation", "gymnasium", "stable_baselines3", "ale_py")
    code = f"import sys, coordconv; print([m for m in {suite} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
