"""Score, record, watch and compare trained agents; export or share one agent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agents.agent import require_trusted_extractor
from agents.export import export_sb3
from agents.onnx_file import export_onnx
from cli import completion
from cli.command_line import load_own, parse, run
from cli.errors import UserError
from cli.program import started
from cli.shell import joined, quoted
from envs.family import Family
from evaluation.arguments import (
    CardArguments,
    Command,
    CompareArguments,
    ExportArguments,
    RecordArguments,
    ScoreArguments,
    SensitivityArguments,
    WatchArguments,
    check_numbers,
)
from evaluation.card import require_license, write_card
from evaluation.plan import load_plan
from evaluation.record import record_runs
from evaluation.score import Score, score_random, score_run, score_table
from evaluation.sensitivity import measure
from files.durable import CannotWriteError, require_new, require_new_folder, write_durably
from records.algorithm import Algorithm
from records.config import names_to_offer
from records.folder import RunFolder
from records.hub import download_if_hub
from records.kept_checkpoints import named_checkpoints
from records.results_folder import make_results_folder

# What draws or opens windows is imported by the commands that need it: the libraries behind it
# take longer to load than most commands take to refuse a mistake.


def main(argv: Sequence[str]) -> int:
    """Parse the command line and run the command."""
    if completion.is_asked(argv):
        names = {"baseline": names_to_offer()["extractor"], "checkpoint": ("newest", "best")}
        print(completion.script([Command], "evaluate.py", argv, names))
        return 0
    arguments = parse(Command, "evaluate.py", __doc__ or "", argv)
    if not arguments.runs:
        raise UserError("name at least one run folder")
    load_own(arguments.own.algo, Algorithm, "algo")
    load_own(arguments.own.family, Family, "family")
    check_numbers(arguments)
    arguments = replace(arguments, runs=tuple(download_if_hub(str(run)) for run in arguments.runs))
    if isinstance(arguments, CompareArguments):
        return _compare(arguments)
    runs = []
    for path in arguments.runs:
        folder, config = RunFolder.open(path)
        require_trusted_extractor(config, arguments.own.extractor, path)
        named_checkpoints(folder, arguments.checkpoint)
        runs.append((folder, config))
    if isinstance(arguments, ExportArguments):
        return _export(arguments)
    if isinstance(arguments, WatchArguments):
        return _watch(arguments)
    if isinstance(arguments, SensitivityArguments):
        return _sensitivity(arguments)
    if isinstance(arguments, CardArguments):
        return _card(arguments)
    if arguments.dry_run:
        for path in arguments.runs:
            print(f"would use {path} for {arguments.episodes} games")
        return 0
    if arguments.out is not None:
        folders = tuple(make_results_folder(*run, arguments.out).path for run in runs)
        arguments = replace(arguments, runs=folders)
    try:
        return _score(arguments) if isinstance(arguments, ScoreArguments) else _record(arguments)
    except CannotWriteError as error:
        if arguments.out is not None:
            raise
        raise UserError(f"{error}; or store the results elsewhere with --out DIR") from error


def _score(arguments: ScoreArguments) -> int:
    scores = [
        score_run(
            path,
            arguments.episodes,
            deterministic=arguments.deterministic,
            checkpoint=arguments.checkpoint,
            trusted=arguments.own.extractor,
            n_envs=arguments.n_envs,
            threads=arguments.threads,
        )
        for path in arguments.runs
    ]
    if arguments.random:
        scores += _random_scores(scores, arguments)
    print(score_table(scores))
    return 0


def _random_scores(scores: Sequence[Score], arguments: ScoreArguments) -> list[Score]:
    """Random play on each game and protocol that was scored."""
    kinds = dict.fromkeys((score.family, score.game, score.protocol) for score in scores)
    return [
        score_random(
            family,
            game,
            protocol,
            arguments.episodes,
            n_envs=arguments.n_envs,
            threads=arguments.threads,
        )
        for family, game, protocol in kinds
    ]


def _record(arguments: RecordArguments) -> int:
    if arguments.progress and arguments.checkpoint != "newest":
        raise UserError("--progress shows every checkpoint: leave out --checkpoint")
    recordings = record_runs(
        arguments.runs,
        arguments.episodes,
        together=arguments.side_by_side,
        deterministic=arguments.deterministic,
        checkpoint=arguments.checkpoint,
        trusted=arguments.own.extractor,
        first_seed=arguments.first_game,
        max_steps=arguments.max_steps,
        progress=arguments.progress,
        with_saliency=arguments.saliency,
    )
    for recording in recordings:
        texts = [" and ".join(f"{score:.0f}" for score in scores) for _, scores in recording.scenes]
        if arguments.progress:
            steps = (step for step, _ in recording.scenes)
            texts = [f"{score} at {step:,}" for score, step in zip(texts, steps, strict=True)]
        print(f"wrote {recording.path} (score {', '.join(texts)})")
    return 0


def _watch(arguments: WatchArguments) -> int:
    from evaluation.watch import watch_runs

    watch_runs(
        arguments.runs,
        random=arguments.random,
        deterministic=arguments.deterministic,
        checkpoint=arguments.checkpoint,
        trusted=arguments.own.extractor,
        first_game=arguments.first_game,
    )
    return 0


PICTURES = (".png", ".svg")


def _sensitivity(arguments: SensitivityArguments) -> int:
    from evaluation.report.sensitivity import by_game, sensitivity_picture, sensitivity_table

    file = arguments.picture
    if file is not None:
        if file.suffix not in PICTURES:
            raise UserError(f"--picture must end in {' or '.join(PICTURES)}, got {file}")
        require_new(file)
    if arguments.dry_run:
        for path in arguments.runs:
            print(f"would measure {path}")
        return 0
    rows = by_game(
        [
            measure(path, checkpoint=arguments.checkpoint, trusted=arguments.own.extractor)
            for path in arguments.runs
        ]
    )
    print(sensitivity_table(rows).text())
    if file is not None:
        drawn = sensitivity_picture(rows, file.stem)
        write_durably(file, drawn.png if file.suffix == ".png" else drawn.svg)
        print(f"wrote {file}")
    return 0


def _export(arguments: ExportArguments) -> int:
    if len(arguments.runs) != 1:
        raise UserError(f"export takes one run folder, got {len(arguments.runs)}")
    (path,) = arguments.runs
    if arguments.onnx is None and arguments.sb3 is None:
        raise UserError("name what to write: --onnx FILE, --sb3 FILE or both")
    files = [file for file in (arguments.onnx, arguments.sb3) if file is not None]
    if len(set(files)) < len(files):
        raise UserError(f"--onnx and --sb3 both name {files[0]}: give each its own file")
    for file in files:
        require_new(file)
    if arguments.dry_run:
        print(f"would write {' and '.join(map(str, files))} from {path}")
        return 0
    chosen = arguments.checkpoint
    if arguments.onnx is not None:
        export_onnx(path, arguments.onnx, checkpoint=chosen, trusted=arguments.own.extractor)
        print(f"wrote {arguments.onnx}")
    if arguments.sb3 is not None:
        folder, config = RunFolder.open(path)
        print(f"wrote {export_sb3(folder, config, arguments.sb3, which=chosen)}")
    return 0


def _card(arguments: CardArguments) -> int:
    if len(arguments.runs) != 1:
        raise UserError(f"card takes one run folder, got {len(arguments.runs)}")
    (path,) = arguments.runs
    require_license(arguments.license)
    require_new_folder(arguments.out)
    if arguments.dry_run:
        print(f"would write {arguments.out} from {path}")
        return 0
    write_card(
        path,
        arguments.out,
        checkpoint=arguments.checkpoint,
        trusted=arguments.own.extractor,
        license=arguments.license,
        video=not arguments.no_video,
    )
    where = quoted(arguments.out)
    print(f"wrote {where}")
    print(f"share: hf upload OWNER/NAME {where}")
    return 0


def _compare(arguments: CompareArguments) -> int:
    from evaluation.compare import Request, for_terminal, grids, write_report

    request = Request(
        arguments.runs,
        arguments.out,
        arguments.baseline,
        arguments.deterministic,
        arguments.episodes,
        arguments.allow_missing,
        arguments.videos,
        arguments.own.extractor,
        None if arguments.plan is None else load_plan(arguments.plan),
    )
    if request.plan is not None and (arguments.deterministic or arguments.episodes is not None):
        raise UserError(
            "a plan decides which games count: leave out --deterministic and --episodes, or --plan"
        )
    if arguments.dry_run:
        for grid in grids(request)[0]:
            print(
                f"{grid.standing}would compare {', '.join(grid.arms)} with {grid.baseline} "
                f"({grid.part}, "
                f"{len(grid.games)} games, {len(grid.runs)} runs) into {request.out}"
            )
        return 0
    command = joined([*started("evaluate.py").split(), *sys.argv[1:]])
    print(for_terminal(write_report(request, command)))
    print(f"report: {request.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    run(Path(sys.argv[0]).name, main)
