"""scikit-learn's digits, MNIST's files, and invalid or damaged files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cli.errors import UserError
from studies.detection.digits import (
    MAX_BYTES,
    MNIST_FILES,
    digest,
    ink_boxes,
    load_digits,
    read_idx_images,
)


def _idx(images: NDArray[np.uint8], magic: int = 0x803) -> bytes:
    return np.array([magic, *images.shape], ">u4").tobytes() + images.tobytes()


def _images(n: int = 3) -> NDArray[np.uint8]:
    images = np.random.default_rng(1).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    images[:, 0, 0] = 255
    return images


def test_scikit_learns_digits_are_split_reproducibly() -> None:
    train, test = load_digits(None)
    assert (len(train), len(test)) == (1438, 359)
    assert train.shape[1:] == test.shape[1:] == (8, 8)
    assert [bound.item() for bound in train.aminmax()] == [0, 1]
    # No test digit is a training digit, except for one pair with identical pixels.
    known = {tuple(digit.flatten().tolist()) for digit in train}
    assert sum(tuple(digit.flatten().tolist()) in known for digit in test) <= 1
    again, _ = load_digits(None)
    assert torch.equal(train, again)


@pytest.mark.parametrize("zipped", [False, True])
def test_mnists_files_are_read_plain_and_gzipped(zipped: bool, tmp_path: Path) -> None:
    for name, n in zip(MNIST_FILES.values(), (5, 2), strict=True):
        content = _idx(_images(n))
        if zipped:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (tmp_path / name).write_bytes(content)
    train, test = load_digits(tmp_path)
    assert (len(train), len(test)) == (5, 2)
    assert torch.equal(train[0], torch.from_numpy(_images(5)[0]).float() / 255)


def test_a_digest_tells_digits_apart_and_not_their_files(tmp_path: Path) -> None:
    for folder, suffix, packed in (("plain", "", bytes), ("packed", ".gz", gzip.compress)):
        (tmp_path / folder).mkdir()
        for name, n in zip(MNIST_FILES.values(), (5, 2), strict=True):
            (tmp_path / folder / f"{name}{suffix}").write_bytes(packed(_idx(_images(n))))
    one, same = (load_digits(tmp_path / folder) for folder in ("plain", "packed"))
    assert digest(one) == digest(same)
    together = torch.cat(one)
    assert digest((together[:4], together[4:])) != digest(same)
    one[1][0, 0, 0] += 1
    assert digest(one) != digest(same)


def test_missing_mnist_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no train-images-idx3-ubyte \(or .*\.gz\)"):
        load_digits(tmp_path)
    with pytest.raises(UserError, match="has no train-images"):
        load_digits(tmp_path / "nowhere")


EMPTY = _images()
EMPTY[1] = 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes are too few for an IDX file"),
        (_idx(_images())[:12], "12 bytes are too few for an IDX file"),
        (_idx(_images(), magic=0x801), "begins with 0x00000801"),  # labels
        (_idx(_images())[:-1], "its header implies 2,368 bytes, but it has 2,367"),
        (_idx(_images()) + b"x", "its header implies 2,368 bytes, but it has 2,369"),
        (np.array([0x803, 2**32 - 1, 28, 28], ">u4").tobytes(), "4,294,967,295 images"),
        (np.array([0x803, 10, 65_536, 65_536], ">u4").tobytes(), "65536x65536"),
        (np.array([0x803, 0, 28, 28], ">u4").tobytes(), "0 images"),
        (_idx(EMPTY), "image 1 is blank"),
    ],
)
def test_invalid_idx_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    plain, zipped = tmp_path / "x-ubyte", tmp_path / "x-ubyte.gz"
    plain.write_bytes(content)
    zipped.write_bytes(gzip.compress(content))
    for path in (plain, zipped):
        with pytest.raises(UserError, match=message):
            read_idx_images(path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    whole = gzip.compress(_idx(_images()))
    for content, message in ((b"nonsense", "cannot read"), (whole[:200], "it is truncated")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            read_idx_images(path)


@pytest.mark.slow
def test_an_archive_with_too_much_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(bytes(MAX_BYTES + 1_000_000), compresslevel=1))
    with pytest.raises(UserError, match="decompresses to more than"):
        read_idx_images(path)


def test_ink_boxes_equal_hand_computed_values() -> None:
    digits = torch.zeros(2, 8, 8)
    digits[0, 2:5, 3:7] = 1
    digits[1, 7, 0] = 0.5
    assert ink_boxes(digits).tolist() == [[2, 3, 3, 4], [7, 0, 1, 1]]
