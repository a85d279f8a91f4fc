"""Load handwritten digits: those that scikit-learn ships, or MNIST's own files."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cli.errors import UserError
from files.untrusted import read_bytes

# A fifth of the 1,797 digits that scikit-learn ships is kept for test images.
TEST_SHARE = 0.2
SPLIT_SEED = 0

MNIST_FILES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
IMAGES_MAGIC = 0x00000803  # unsigned bytes in three dimensions
MAX_DIGITS = 100_000
MAX_SIDE = 64
HEADER_BYTES = 16
# Limit for a file, and for the decompressed content of a gzipped one.
MAX_BYTES = HEADER_BYTES + MAX_DIGITS * MAX_SIDE**2

INK = 0.001  # darker pixels are background


def load_digits(mnist: Path | None) -> tuple[Tensor, Tensor]:
    """Load training digits and test digits.

    Args:
        mnist: a folder with MNIST's `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, plain
            or gzipped (`.gz`); None for scikit-learn's digits.

    Returns:
        Two (N, H, W) float32 from 0 to 1.

    Raises:
        UserError: the folder lacks these files, or they are not valid IDX files.
    """
    if mnist is not None:
        return tuple(_as_tensor(_mnist_file(mnist, name)) for name in MNIST_FILES.values())  # type: ignore[return-value]
    from sklearn.datasets import load_digits as shipped  # takes a second

    digits = shipped().images.astype(np.float32) / 16
    order = np.random.default_rng(SPLIT_SEED).permutation(len(digits))
    n_test = round(TEST_SHARE * len(digits))
    return torch.from_numpy(digits[order[n_test:]]), torch.from_numpy(digits[order[:n_test]])


def digest(digits: Sequence[Tensor]) -> str:
    """SHA-256 of the shapes and pixels, whatever files they were read from.

    Args:
        digits: training digits and test digits, each (N, H, W) float32.
    """
    found = hashlib.sha256()
    for part in digits:
        found.update(str(tuple(part.shape)).encode())
        found.update(part.flatten().numpy().data)
    return found.hexdigest()


def _as_tensor(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images.astype(np.float32) / 255)


def _mnist_file(folder: Path, name: str) -> NDArray[np.uint8]:
    plain, packed = folder / name, folder / f"{name}.gz"
    if plain.exists():
        return read_idx_images(plain)
    if packed.exists():
        return read_idx_images(packed)
    raise UserError(
        f"--mnist {folder} has no {name} (or {name}.gz): name the folder that holds MNIST's files, "
        "or omit --mnist to use the digits that scikit-learn ships"
    )


def read_idx_images(path: Path) -> NDArray[np.uint8]:
    """Read the images of an IDX file, gzipped if its name ends in .gz: (N, rows, columns) uint8.

    The format is that of yann.lecun.com/exdb/mnist: four big-endian 32-bit numbers (2051, images,
    rows, columns), then one byte per pixel.

    Raises:
        UserError: the file does not have this format, its size contradicts its header, or an image
            is blank.
    """
    content = read_bytes(path, MAX_BYTES)
    if path.suffix == ".gz":
        content = _unzipped(path, content)
    if len(content) < HEADER_BYTES:
        raise UserError(f"cannot read {path}: {len(content)} bytes are too few for an IDX file")
    magic, n, rows, columns = (int(k) for k in np.frombuffer(content, ">u4", 4))
    if magic != IMAGES_MAGIC:
        raise UserError(
            f"cannot read {path}: it begins with {magic:#010x}; an IDX file of images begins with "
            f"{IMAGES_MAGIC:#010x}"
        )
    if not (1 <= n <= MAX_DIGITS and 1 <= rows <= MAX_SIDE and 1 <= columns <= MAX_SIDE):
        raise UserError(
            f"cannot read {path}: it has {n:,} images of {rows}x{columns} pixels; allowed are 1 to "
            f"{MAX_DIGITS:,} images of up to {MAX_SIDE}x{MAX_SIDE} pixels"
        )
    wanted = HEADER_BYTES + math.prod((n, rows, columns))
    if len(content) != wanted:
        raise UserError(
            f"cannot read {path}: its header implies {wanted:,} bytes, but it has {len(content):,}"
        )
    images = np.frombuffer(content, np.uint8, offset=HEADER_BYTES).reshape(n, rows, columns)
    blank = np.flatnonzero(images.max(axis=(1, 2)) == 0)
    if len(blank):
        raise UserError(f"cannot read {path}: image {blank[0]:,} is blank")
    return images


def _unzipped(path: Path, content: bytes) -> bytes:
    """Decompress a gzip file with one member, up to the size limit of an IDX file."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(content, MAX_BYTES + 1)
    except zlib.error as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if len(plain) > MAX_BYTES:
        raise UserError(f"cannot read {path}: it decompresses to more than {MAX_BYTES:,} bytes")
    if not unpacker.eof:
        raise UserError(f"cannot read {path}: it is truncated")
    return plain


def ink_boxes(digits: Tensor) -> Tensor:
    """(N, 4) int64: first row, first column, height and width of each digit's ink.

    Args:
        digits: (N, H, W), each with some ink.
    """
    found = []
    for ink in (digits.amax(dim=2) > INK, digits.amax(dim=1) > INK):
        first = ink.int().argmax(dim=1)
        last = ink.shape[1] - 1 - ink.flip(1).int().argmax(dim=1)
        found.append((first, last - first + 1))
    (top, height), (left, width) = found
    return torch.stack([top, left, height, width], dim=1)
