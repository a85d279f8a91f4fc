"""Agents on a hub: a run named `hub:owner/name` is downloaded into a run folder.

Uploaded files are untrusted. Only the files of a published run are downloaded, by their exact names
and up to a size limit. They are read like those of any other run, without executing their code.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import UserError
from cli.progress import ProgressReport
from cli.settings import shown
from files.durable import REMEDIES, cannot_write, new_folder
from records.checkpoint import POLICY_FILE
from records.published import CONFIG, belongs

PREFIX = "hub:"
# Outside runs/, so that a downloaded agent does not enter a comparison by accident.
FOLDER = Path("hub")
# Agents of this suite have 7 to 14 MB.
MOST_BYTES = 500_000_000
SECONDS_FOR_AN_ANSWER = 20.0
# huggingface_hub reads these when it is imported: no telemetry, and we report progress and errors.
QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
}

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?!.*(?:\.\.|--))({_PART})/({_PART})(?:@({_PART}))?")


def download_if_hub(name: str) -> Path:
    """The folder of a run that the user has named, downloaded if it is on a hub.

    An agent on a hub is downloaded to `hub/owner/name` once and used from there afterwards, without
    a network. Its scores are written there too.

    Args:
        name: a path, `hub:owner/name` or `hub:owner/name@revision`.

    Raises:
        UserError: the agent does not exist, is too large, or cannot be downloaded.
    """
    if not name.startswith(PREFIX):
        return Path(name)
    named = _NAME.fullmatch(name.removeprefix(PREFIX))
    if named is None:
        raise UserError(
            f"{shown(name)} does not name an agent on a hub: write hub:owner/name or "
            "hub:owner/name@revision, where the revision is a branch, a tag or a commit"
        )
    owner, agent, revision = named.groups()
    folder = FOLDER / owner / (f"{agent}@{revision}" if revision else agent)
    if os.path.lexists(folder):
        print(
            f"using the downloaded copy of {name}; remove {folder} to download it again",
            file=sys.stderr,
        )
    else:
        _download(f"{owner}/{agent}", revision, folder)
    return folder


def _download(repository: str, revision: str | None, folder: Path) -> None:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from huggingface_hub import HfApi, hf_hub_download
    except ImportError as error:
        raise UserError(
            f"{PREFIX}{repository} needs the package huggingface_hub: pip install '.[hub]'"
        ) from error
    with new_folder(folder) as made, _user_errors(repository, revision, folder):
        about = HfApi().model_info(
            repository, revision=revision, files_metadata=True, timeout=SECONDS_FOR_AN_ANSWER
        )
        sizes = {file.rfilename: file.size for file in about.siblings or []}
        wanted = _wanted(repository, sizes)
        title = f"downloading {PREFIX}{repository}"
        with ProgressReport(title, sum(wanted.values()), unit="bytes") as progress:
            done = 0
            for name, size in wanted.items():
                hf_hub_download(repository, name, revision=about.sha, local_dir=made)
                progress.update(done := done + size)
        shutil.rmtree(made / ".cache")  # needed only to continue an interrupted download
    print(f"{PREFIX}{repository} at commit {about.sha} is now {folder}", file=sys.stderr)


def _wanted(repository: str, sizes: dict[str, int | None]) -> dict[str, int]:
    """The files to download and their sizes.

    Raises:
        UserError: it is not an agent of this suite, or too large.
    """
    found = {name: size for name, size in sizes.items() if belongs(name)}
    if CONFIG not in found or not any(name.endswith(POLICY_FILE) for name in found):
        missing = "checkpoints/<step>/" + POLICY_FILE if CONFIG in found else CONFIG
        raise UserError(f"{PREFIX}{repository} is not an agent of this suite: it has no {missing}")
    wanted = {name: size for name, size in found.items() if size is not None}
    if len(wanted) < len(found) or sum(wanted.values()) > MOST_BYTES:
        raise UserError(
            f"{PREFIX}{repository} is too large: its files have {sum(wanted.values()):,} bytes or "
            f"more, and at most {MOST_BYTES:,} are downloaded"
        )
    return wanted


@contextmanager
def _user_errors(repository: str, revision: str | None, folder: Path) -> Iterator[None]:
    from huggingface_hub import constants, errors

    agent, hub = f"{PREFIX}{repository}", constants.ENDPOINT
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(
            f"access to {agent} must be requested: request it on {hub}/{repository}, then log in "
            "with hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{hub} has no {agent}, or it is private: check the name, or log in with hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{agent} has no revision {revision}") from error
    except errors.HfHubHTTPError as error:
        raise UserError(
            f"cannot download {agent}: {hub} answered {error.response.status_code}"
        ) from error
    except Exception as error:  # its network libraries raise their own errors
        # An OSError may come from the network or from the disk.
        if isinstance(error, OSError) and (error.errno in REMEDIES or error.filename):
            raise cannot_write(folder, error) from error
        cause = error.__cause__ or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]
        raise UserError(
            f"cannot download {agent} from {hub}: {reason}: check the network and try again"
        ) from error
