"""Measure how bfloat16's rounding affects learning, update by update.

    python -m benchmarks.rounding RUN [RUN ...] --rollouts 64

Whole runs differ far more by their seeds than by their precision, so curves of a few seeds cannot
show a small loss. Here both precisions start from the same weights and learn from the same
rollouts, so that the remaining difference is due to rounding. Two tables are computed for each run
at its newest checkpoint, and for the first run also before it has learned anything:

- Gradients, by layer: the error of bfloat16 on one minibatch; the differences between minibatches,
  which are the noise that learning tolerates anyway; the error of the mean over all minibatches
  (unbiased rounding averages out); and the mean's component along float32's, minus 1.
- One update of the run's algorithm, paired on the same rollouts: how much it improves the policy's
  objective and the value's error on the *next* rollout, which it has not seen. The difference of
  bfloat16 from float32 is shown next to that of another order of minibatches in float32.

Weights trained in one precision are slightly wrong in the other: for example, their values are off
by a constant, which the first gradients in the other precision correct. Therefore agents trained in
either precision should be measured. The effect of rounding itself has the same sign for both; the
effect of changing the precision has opposite signs.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.logger import Logger
from torch import Tensor
from torch.nn import functional as F

from agents.build import build_model, restore
from agents.rollout_buffer import ImageRolloutBuffer
from benchmarks.measure import machine
from cli.streams import forgiving_streams
from cli.table import markdown
from envs import AtariVecEnv
from policies import AtariPolicy
from policies.products import fast_products
from records.checkpoint import Checkpoint
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint

PARTS = {
    "convolution 1": "features_extractor.convolutions.0.",
    "convolution 2": "features_extractor.convolutions.1.",
    "convolution 3": "features_extractor.convolutions.2.",
    "fully connected": "features_extractor.linear.",
    "heads": ("action_net.", "value_net."),
}
Gradient = dict[str, Tensor]
# Steps of each environment before the first rollout, after which the games differ.
STEPS_BEFORE = 500
# Scheduled learning rates and clip ranges are those of the middle of a run.
LEARNING_PROGRESS = 0.5


class Rollout(NamedTuple):
    """A rollout, and whether each environment's next step begins an episode."""

    buffer: ImageRolloutBuffer
    last_dones: NDArray[np.bool_]


class Bench:
    """One agent in both precisions, which plays rollouts in float32."""

    def __init__(self, config: RunConfig, checkpoint: Checkpoint | None) -> None:
        self.env = AtariVecEnv(config.game, config.environments, config.protocol, training=True)
        self.models: dict[str, Any] = {}
        for precision in ("bfloat16", "float32"):
            model = build_model(config.replaced(precision=precision, device="cpu"), self.env)
            if checkpoint is not None:
                restore(config, model, checkpoint)
            model.set_logger(Logger(None, []))
            # At the end of a run, a linear schedule has reached a rate of zero.
            model._current_progress_remaining = LEARNING_PROGRESS
            self.models[precision] = model
        one = self.models["float32"]
        self.start = copy.deepcopy(one.policy.state_dict())
        self.optimizer = copy.deepcopy(one.policy.optimizer.state_dict())
        one._setup_learn(config.total_steps, None, reset_num_timesteps=False)
        self.callback = CallbackList([])
        self.callback.init_callback(one)

    def rollouts(self, count: int) -> Iterator[Rollout]:
        """Play consecutive rollouts without learning."""
        model = self.models["float32"]
        before = -(-STEPS_BEFORE // model.n_steps)
        for number in range(before + count):
            self.reset()
            buffer = model.rollout_buffer = copy.deepcopy(model.rollout_buffer)
            model.collect_rollouts(self.env, self.callback, buffer, model.n_steps)
            model.outputs_kept = False
            assert isinstance(buffer, ImageRolloutBuffer)
            if number >= before:
                assert model._last_episode_starts is not None
                yield Rollout(buffer, model._last_episode_starts)

    def reset(self) -> None:
        """Restore the initial weights and optimizer of both models."""
        for model in self.models.values():
            model.policy.load_state_dict(self.start)
            model.policy.optimizer.load_state_dict(copy.deepcopy(self.optimizer))

    def give_rollout(self, precision: str, rollout: Rollout) -> Any:
        """Give the model a copy of a rollout as if it had played it, so that ratios start at 1."""
        model = self.models[precision]
        own = copy.deepcopy(rollout.buffer)
        steps = own.buffer_size
        log_probs, values = outlook(model.policy, own)
        chosen = log_probs.gather(1, _rows(own.actions).long()).squeeze(1)
        own.log_probs = chosen.view(steps, -1).numpy()
        own.values = values.view(steps, -1).numpy()
        with torch.no_grad():
            last = model.policy.predict_values(own.image_rows(steps, slice(None)))
        own.compute_returns_and_advantage(last, rollout.last_dones)
        model.rollout_buffer = own
        return model


def _rows(numbers: NDArray[Any]) -> Tensor:
    return torch.from_numpy(numbers).flatten(0, 1)


@torch.no_grad()
def outlook(policy: Any, buffer: ImageRolloutBuffer) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N, n_actions) and values (N,) of a rollout's observations."""
    assert isinstance(policy, AtariPolicy)
    policy.set_training_mode(False)
    seen = [
        policy.logits_and_values(buffer.image_rows(step, slice(None)))
        for step in range(buffer.buffer_size)
    ]
    logits, values = (torch.cat(part) for part in zip(*seen, strict=True))
    return F.log_softmax(logits, dim=1), values.squeeze(1)


@contextmanager
def capture_gradients(model: Any) -> Iterator[list[Gradient]]:
    """In this context, updates append their gradients to the list and change no weights."""
    gradients: list[Gradient] = []
    optimizer, most, epochs = model.policy.optimizer, model.max_grad_norm, None
    step: Callable[..., Any] = optimizer.step

    def capture(*_: Any) -> None:
        named = model.policy.named_parameters()
        gradients.append({name: p.grad.clone() for name, p in named if p.grad is not None})

    optimizer.step = capture
    model.max_grad_norm = math.inf
    if hasattr(model, "n_epochs"):
        epochs, model.n_epochs = model.n_epochs, 1
    try:
        yield gradients
    finally:
        optimizer.step = step
        model.max_grad_norm = most
        if epochs is not None:
            model.n_epochs = epochs


def compute_gradients(bench: Bench, precision: str, rollout: Rollout) -> list[Gradient]:
    """The gradients of each minibatch of a rollout, in the same order for both precisions."""
    bench.reset()
    model = bench.give_rollout(precision, rollout)
    np.random.seed(1)  # noqa: NPY002 - the stream that the buffer draws from
    with capture_gradients(model) as gradients:
        model.train()
    return gradients


def gradient_table(pairs: Sequence[tuple[Gradient, Gradient]]) -> str:
    """Compare float32 and bfloat16 gradients of the same minibatches by layer."""
    headings = (
        "layer",
        "error of one minibatch",
        "difference between minibatches",
        "error of the mean",
        "expected from unbiased rounding",
        "error along the gradient",
    )
    rows = []
    for title, prefix in PARTS.items():

        def vector(gradient: Gradient, prefix: Any = prefix) -> Tensor:
            return torch.cat([g.flatten() for n, g in gradient.items() if n.startswith(prefix)])

        exact = torch.stack([vector(a) for a, _ in pairs])
        error = torch.stack([vector(b) for _, b in pairs]) - exact
        mean = exact.mean(dim=0)
        norm = exact.norm(dim=1).mean()
        alone = error.norm(dim=1).mean() / norm
        spread = (exact - mean).norm(dim=1).mean() / norm
        mean_error = error.mean(dim=0).norm() / mean.norm()
        noise = (error - error.mean(dim=0)).norm(dim=1).square().mean().sqrt()
        unbiased = noise / math.sqrt(len(pairs)) / mean.norm()
        along = error @ mean / mean.square().sum()
        cells = (f"{alone:.2%}", f"{spread:.0%}", f"{mean_error:.2%}", f"{unbiased:.2%}")
        rows.append((title, *cells, _interval(along.double().numpy(), percent=True)))
    return markdown(headings, rows)


@dataclass(frozen=True)
class Gain:
    """The effect of one update, measured on the next rollout.

    Attributes:
        objective: mean of normalized advantage times the relative change of probability.
        value_error: relative decrease of the mean squared error of the values.
        moved: KL divergence of the new policy from the old.
    """

    objective: float
    value_error: float
    moved: float


def update(bench: Bench, precision: str, order: int, rollout: Rollout, after: Rollout) -> Gain:
    """Learn from one rollout and measure the effect on the next."""
    bench.reset()
    model, seen = bench.give_rollout(precision, rollout), after.buffer
    before, value_before = outlook(model.policy, seen)
    np.random.seed(order)  # noqa: NPY002
    model.train()
    now, value_now = outlook(model.policy, seen)
    advantages, returns = _rows(seen.advantages), _rows(seen.returns)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    actions = _rows(seen.actions).long()
    ratio = (now - before).gather(1, actions).squeeze(1).exp()
    error_before = (value_before - returns).square().mean()
    return Gain(
        float((advantages * (ratio - 1)).mean()),
        float((error_before - (value_now - returns).square().mean()) / error_before),
        float((before.exp() * (before - now)).sum(dim=1).mean()),
    )


def update_table(gains: dict[str, list[Gain]]) -> str:
    """The gains of float32, and the paired differences from them."""
    headings = (
        "effect of one update on the next rollout",
        "float32",
        "bfloat16 - float32",
        "another order of minibatches - float32",
    )
    rows = []
    names = {
        "objective": "increase of the objective",
        "value_error": "decrease of the value's error",
        "moved": "change of the policy (KL)",
    }
    for field, title in names.items():
        columns = {k: np.array([getattr(gain, field) for gain in v]) for k, v in gains.items()}
        cells = [_interval(columns["float32"])] + [
            _interval(columns[name] - columns["float32"]) for name in ("bfloat16", "other order")
        ]
        rows.append((title, *cells))
    return markdown(headings, rows)


def _interval(values: NDArray[np.float64], *, percent: bool = False) -> str:
    """The mean and its 95 % interval."""
    mean, half = values.mean(), 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    if percent:
        return f"{mean:+.2%} ± {half:.2%}"
    return f"{mean:.5f} ± {half:.5f}"


def report(config: RunConfig, checkpoint: Checkpoint | None, rollouts: int) -> str:
    """Compute both tables of one agent."""
    bench = Bench(config, checkpoint)
    pairs: list[tuple[Gradient, Gradient]] = []
    gains: dict[str, list[Gain]] = {"float32": [], "bfloat16": [], "other order": []}
    previous = None
    try:
        for rollout in bench.rollouts(rollouts + 1):
            if previous is not None:
                both = (compute_gradients(bench, p, previous) for p in ("float32", "bfloat16"))
                pairs += zip(*both, strict=True)
                for name, precision, order in (
                    ("float32", "float32", 1),
                    ("bfloat16", "bfloat16", 1),
                    ("other order", "float32", 2),
                ):
                    gains[name].append(update(bench, precision, order, previous, rollout))
            previous = rollout
    finally:
        bench.env.close()
    step = "untrained"
    if checkpoint is not None:
        step = f"after {checkpoint.state.step:,} steps in {config.precision}"
    return "\n\n".join(
        [
            f"#### {config.algo.upper()} {config.extractor}, {config.game}, seed {config.seed}, "
            f"{step}: {rollouts} rollouts, {len(pairs)} minibatches",
            gradient_table(pairs),
            update_table(gains),
        ]
    )


def main() -> None:
    """Print the tables of every run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--rollouts", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with fast_products():
        for number, path in enumerate(args.runs):
            folder, config = RunFolder.open(path)
            checkpoints = [open_checkpoint(folder)]
            for checkpoint in [None, *checkpoints] if number == 0 else checkpoints:
                print(report(config, checkpoint, args.rollouts), end="\n\n", flush=True)
    print(machine())


if __name__ == "__main__":
    with forgiving_streams():
        main()
