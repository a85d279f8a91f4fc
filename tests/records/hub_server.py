"""A hub on the loopback: the part of Hugging Face's protocol that a download of a model speaks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from huggingface_hub import constants

Files = dict[str, bytes]


def files_below(folder: Path) -> Files:
    """What `hf upload` would send of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass
class Hub:
    """The repositories of a hub.

    Attributes:
        url: where it answers.
        commits: of each repository "owner/name", files by branch or tag.
        claimed: sizes that it tells instead of the true ones, by file name.
        cut: the end of a file name of which it sends half of what it has promised.
        broken: a status and error code that it answers to everything.
        requests: what was asked for.
    """

    url: str = ""
    commits: dict[str, dict[str, Files]] = field(default_factory=dict)
    claimed: dict[str, int] = field(default_factory=dict)
    cut: str | None = None
    broken: tuple[int, str] | None = None
    requests: list[str] = field(default_factory=list)

    def upload(self, repository: str, files: Files, revision: str = "main") -> str:
        """Put files there; the commit that they are."""
        self.commits.setdefault(repository, {})[revision] = files
        return commit_of(files)

    def found(self, repository: str, revision: str) -> Files | None:
        """Files by a branch, a tag or a commit."""
        for name, files in self.commits[repository].items():
            if revision in (name, commit_of(files)):
                return files
        return None


def commit_of(files: Files) -> str:
    """40 digits for a state of a repository."""
    text = repr(sorted((name, hashlib.sha1(data).hexdigest()) for name, data in files.items()))
    return hashlib.sha1(text.encode()).hexdigest()


@contextmanager
def hub_on_loopback() -> Iterator[Hub]:
    """A hub that answers until the end of this, and is the one that this process asks."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            url = urlsplit(self.path)
            parts = [unquote(part) for part in url.path.strip("/").split("/")]
            if hub.broken is not None:
                return self._answer(hub.broken[0], error=hub.broken[1])
            api = parts[:2] == ["api", "models"]
            parts = parts[2:] if api else parts
            repository = "/".join(parts[:2])
            if repository not in hub.commits:
                return self._answer(404, error="RepoNotFound")
            files = hub.found(repository, parts[3] if len(parts) > 3 else "main")
            if files is None:
                return self._answer(404, error="RevisionNotFound")
            if api:
                assert "blobs" in parse_qs(url.query)  # sizes are asked for
                return self._answer(200, json.dumps(about(repository, files)).encode())
            name = "/".join(parts[4:])
            assert parts[2] == "resolve"
            if name not in files:
                return self._answer(404, error="EntryNotFound")
            content = files[name]
            if self.command == "GET" and hub.cut is not None and name.endswith(hub.cut):
                content = content[: len(content) // 2]
            return self._answer(200, content, commit=commit_of(files))

        def _answer(
            self, status: int, content: bytes = b"", *, error: str = "", commit: str = ""
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if error:
                self.send_header("X-Error-Code", error)
            if commit:
                self.send_header("X-Repo-Commit", commit)
                self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    def about(repository: str, files: Files) -> dict[str, object]:
        sizes = {name: hub.claimed.get(name, len(data)) for name, data in files.items()}
        siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
        return {"id": repository, "sha": commit_of(files), "siblings": siblings}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(constants, "ENDPOINT", hub.url)
            template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
            patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
            patch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
            yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
