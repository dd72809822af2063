"""Writes what comes back from the network into declared folders, and nowhere else.

A path is walked one folder at a time by descriptor, never through a link; a file appears whole,
under a name of its own first, then by a rename. This guards against what a peer names, not
against another process of the same user that changes the folders meanwhile.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gensyn_lightning.errors import ArtifactError, LimitExceeded, Malformed
from gensyn_lightning.training.manifest import Folder, check_relative

FILES_MAX = 1 << 14
FILE_BYTES_MAX = 1 << 38
OUTPUT_BYTES_MAX = 1 << 40
NAME_BYTES_MAX = 255

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ConfinedFolders:
    """The folders a captured program declared writable, and the bound on what lands in them."""

    def __init__(
        self,
        folders: tuple[Folder, ...],
        places: Mapping[str, Path],
        *,
        files_max: int = FILES_MAX,
        bytes_max: int = OUTPUT_BYTES_MAX,
    ) -> None:
        self._places = {each.name: places[each.name] for each in folders if each.writable}
        self._files_left = files_max
        self._bytes_left = bytes_max

    def reserve(self, folder: str, path: str, length: int) -> None:
        """Refuse a file by its name and declared length, before a byte of it is fetched."""
        self._parts(folder, path)
        if not 0 <= length <= FILE_BYTES_MAX:
            raise LimitExceeded(f"{path}: {length} bytes exceed {FILE_BYTES_MAX}")
        if self._files_left < 1 or length > self._bytes_left:
            raise LimitExceeded(
                "the network returned more files, or larger ones, than a job may write"
            )
        self._files_left -= 1
        self._bytes_left -= length

    def write(self, folder: str, path: str, fill: Callable[[BinaryIO], None]) -> Path:
        """Create or replace the file `path` in the folder called `folder`; return where it is.

        Raises `Malformed` for a name that does not stay inside, `ArtifactError` where a link or
        anything else than a regular file is in the way.
        """
        *above, name = self._parts(folder, path)
        with self._opened(folder, above) as handle:
            _check_target(handle, name, path)
            staged = f".{secrets.token_hex(8)}.part"
            descriptor = os.open(staged, _NEW_FILE, 0o666, dir_fd=handle)
            try:
                with open(descriptor, "wb") as file:
                    fill(file)
                os.rename(staged, name, src_dir_fd=handle, dst_dir_fd=handle)
            except BaseException:
                os.unlink(staged, dir_fd=handle)
                raise
        return self._places[folder].joinpath(*above, name)

    def link(self, folder: str, path: str, target: str) -> Path:
        """Create or replace a symbolic link to a neighbour, as `save_last="link"` makes them.

        Raises `Malformed` for a target that is not below the link's own folder.
        """
        *above, name = self._parts(folder, path)
        if not check_relative(target):
            raise Malformed(f"{path} is a link to nothing")
        with self._opened(folder, above) as handle:
            _check_target(handle, name, path)
            staged = f".{secrets.token_hex(8)}.part"
            os.symlink(target, staged, dir_fd=handle)
            os.rename(staged, name, src_dir_fd=handle, dst_dir_fd=handle)
        return self._places[folder].joinpath(*above, name)

    def has(self, path: str | os.PathLike[str]) -> bool:
        """Return whether a path is in one of the folders, or is one."""
        found = Path(os.path.abspath(path))
        return any(found.is_relative_to(each) for each in self._places.values())

    def remove(self, folder: str, path: str) -> None:
        """Remove a file the program removed; one that is not there is no error."""
        *above, name = self._parts(folder, path)
        try:
            with self._opened(folder, above, create=False) as handle:
                _check_target(handle, name, path)
                os.unlink(name, dir_fd=handle)
        except FileNotFoundError:
            return

    def _parts(self, folder: str, path: str) -> list[str]:
        if folder not in self._places:
            raise Malformed(f"{folder[:40]!r} is no folder that files may come back into")
        parts = check_relative(path).split("/")
        if not all(0 < len(os.fsencode(part)) <= NAME_BYTES_MAX for part in parts):
            raise Malformed(f"{path[:80]!r} is no path of a file")
        return parts

    @contextmanager
    def _opened(self, folder: str, above: list[str], create: bool = True) -> Iterator[int]:
        base = self._places[folder]
        if create:
            base.mkdir(parents=True, exist_ok=True)
        handle = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in above:
                inner = _enter(handle, name, create)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)


def _enter(handle: int, name: str, create: bool) -> int:
    if create:
        try:
            os.mkdir(name, dir_fd=handle)
        except FileExistsError:
            return _open_folder(handle, name)
    return _open_folder(handle, name)


def _open_folder(handle: int, name: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=handle)
    except (NotADirectoryError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ArtifactError(f"{name} is a link or a file, not a folder") from None


def _check_target(handle: int, name: str, path: str) -> None:
    try:
        mode = os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):  # a link is replaced, never followed
        raise ArtifactError(f"{path} is in the way and is no regular file")
