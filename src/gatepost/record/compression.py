"""Zstandard (RFC 8878), where it is to be had: in Python from 3.14 on, else from the package ``zstandard``."""

from __future__ import annotations

import importlib
from typing import Any, Final, final

from gatepost.record.errors import RecordError

SUFFIX: Final = ".zst"
_LEVEL: Final = 3  # records shrink to a tenth with it; higher levels cost more than they gain


def _find() -> tuple[Any, bool] | None:
    """The module, and whether it is Python's own."""
    for name, own in (("compression.zstd", True), ("zstandard", False)):
        try:
            return importlib.import_module(name), own
        except ImportError:
            continue
    return None


def available() -> bool:
    """Whether files can be compressed and compressed ones be read."""
    return _find() is not None


def _module() -> tuple[Any, bool]:
    found = _find()
    if found is None:
        raise RecordError(
            "compressed records need Zstandard, which this Python does not have",
            hint="pip install 'gatepost[zstd]', or Python 3.14",
        )
    return found


@final
class Compressor:
    """One frame, which can be read up to the last ``flush`` at any time.

    :raises RecordError: when there is no Zstandard.
    """

    __slots__ = ("_modes", "_own", "_stream")

    def __init__(self) -> None:
        module, self._own = _module()
        self._stream: Any
        self._modes: tuple[Any, Any]
        if self._own:
            self._stream = module.ZstdCompressor(level=_LEVEL)
            self._modes = (module.ZstdCompressor.FLUSH_BLOCK, module.ZstdCompressor.FLUSH_FRAME)
        else:
            self._stream = module.ZstdCompressor(level=_LEVEL).compressobj()
            self._modes = (module.COMPRESSOBJ_FLUSH_BLOCK, module.COMPRESSOBJ_FLUSH_FINISH)

    def add(self, data: bytes) -> bytes:
        """What has to be written so that everything up to ``data`` can be read."""
        if self._own:
            return bytes(self._stream.compress(data, mode=self._modes[0]))
        return bytes(self._stream.compress(data)) + bytes(self._stream.flush(self._modes[0]))

    def finish(self) -> bytes:
        """The end of the frame."""
        return bytes(self._stream.flush(self._modes[1]))


@final
class Decompressor:
    """Reads frames as far as they have come; what is cut off at the end is no error.

    :raises RecordError: when there is no Zstandard.
    """

    __slots__ = ("_module", "_own", "_stream")

    def __init__(self) -> None:
        self._module, self._own = _module()
        self._stream: Any = None

    def add(self, data: bytes) -> bytes:
        """The octets that can be read now.

        :raises RecordError: when it is not Zstandard.
        """
        parts = []
        while data:
            if self._stream is None:
                self._stream = (
                    self._module.ZstdDecompressor() if self._own else self._module.ZstdDecompressor().decompressobj()
                )
            try:
                parts.append(bytes(self._stream.decompress(data)))
            except (self._module.ZstdError, EOFError) as error:
                raise RecordError(f"the file is no Zstandard: {error}") from error
            data = b""
            if self._stream.eof:
                data, self._stream = bytes(self._stream.unused_data), None
        return b"".join(parts)
