"""A folder as one archive, tar within zstd: what is moved or kept instead of thousands of files.

An archive is written beside its place, synced, and renamed: it is there whole or not at all, and
the one before stays until then. Its frame ends with a checksum, so that one which was cut or
changed on its way is known as such before anybody goes on from it.
"""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import BinaryIO

import zstandard

from stargen.files import sync_folder

_CHUNK = 256 * 1024


class DamagedArchive(Exception):
    """It is not what `pack_folder` wrote."""


def pack_folder(folder: Path, archive: Path) -> None:
    """Put a folder's files into one archive. OSError, and no change, if that cannot be."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    beside = archive.with_name(f"{archive.name}.{os.getpid()}.tmp")
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    try:
        with beside.open("wb") as file:
            with (
                compressor.stream_writer(file, closefd=False) as frame,
                tarfile.open(fileobj=frame, mode="w|") as tar,
            ):
                tar.add(folder, arcname=".")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(archive)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(archive.parent)


def unpack_folder(archive: Path, folder: Path) -> None:
    """The inverse of `pack_folder`.

    Raises
    ------
    DamagedArchive : part of it may have been unpacked
    OSError : it cannot be read, or the folder not be written
    """
    with archive.open("rb") as file:
        frame = _Frame(file)
        try:
            with tarfile.open(fileobj=io.BufferedReader(frame, _CHUNK), mode="r|") as tar:
                if hasattr(tarfile, "data_filter"):  # Python 3.11.4; it is our own in any case
                    tar.extraction_filter = tarfile.data_filter
                tar.extractall(folder)
            while frame.read(_CHUNK):  # up to the checksum
                pass
        except (zstandard.ZstdError, tarfile.TarError) as error:
            raise DamagedArchive(f"{archive}: {error}") from error


class _Frame(io.RawIOBase):
    """What a zstd frame holds; one that ends early is an error and not an end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = zstandard.ZstdDecompressor().decompressobj()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - no stub has the buffer protocol
        while not self._rest and not self._decompressor.eof:
            data = self._file.read(_CHUNK)
            if not data:
                raise zstandard.ZstdError("it ends too early")
            self._rest = memoryview(self._decompressor.decompress(data))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
