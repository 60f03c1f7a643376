"""Files are written whole or not at all: under another name first, which then takes their place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, folder: Path | None = None, prefix: str = ".unfinished-") -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block succeeds.

    Args:
        path: of the file that shall be there in the end.
        folder: on the same disk, for the unfinished one; default: that of `path`.
        prefix: of its name.
    """
    handle, name = tempfile.mkstemp(dir=folder or path.parent, prefix=prefix, suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """This content, text in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
