"""Results at a URI: S3, Google Cloud Storage, and whatever else pyarrow or fsspec knows. Few operations are needed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit, urlunsplit

from trainables.errors import InputError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

# an object appears when its last byte has arrived; elsewhere we rename
WHOLE_AT_ONCE = ("s3", "gcs", "abfs")
SECRETS = ("access_key", "secret_key", "session_token")
Storage = str | Path


def is_uri(storage: Storage) -> bool:
    """Return whether results are kept elsewhere; a `file://` URI is a folder here."""
    return "://" in str(storage) and not str(storage).startswith("file://")


def as_path(storage: Storage) -> Path:
    """Return the folder of a path or of a `file://` URI."""
    text = str(storage)
    return Path(unquote(urlsplit(text).path)) if text.startswith("file://") else Path(text)


@dataclass(frozen=True)
class Stamp:
    """Size and time of a file, which differ once it was changed.

    modified: ns since 1970, 0 where the file system does not say.
    """

    size: int
    modified: int


@dataclass(frozen=True)
class Remote:
    """A folder on another file system. Paths are relative to it; every method may raise `OSError`."""

    uri: str
    files: FileSystem
    folder: str

    def below(self, *parts: str) -> Remote:
        """Return a folder inside of this one."""
        split = urlsplit(self.uri)
        path = "/".join((split.path.rstrip("/"), *parts))
        return Remote(urlunsplit(split._replace(path=path)), self.files, "/".join((self.folder, *parts)))

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None where there is none."""
        try:
            with self.files.open_input_stream(f"{self.folder}/{name}") as stream:
                content: bytes = stream.read()
        except FileNotFoundError:
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file so that a reader finds the old one or the new one, never half of one."""
        path = f"{self.folder}/{name}"
        if self.files.type_name in WHOLE_AT_ONCE:
            with self.files.open_output_stream(path) as stream:
                stream.write(content)
            return
        folder, _, last = path.rpartition("/")
        beside = f"{folder}/.{last}.{os.getpid()}"
        self.files.create_dir(folder, recursive=True)
        with self.files.open_output_stream(beside) as stream:
            stream.write(content)
        try:
            self.files.move(beside, path)
        except OSError:
            # some do not rename onto a file that is there
            self.files.delete_file(path)
            self.files.move(beside, path)

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        try:
            self.files.delete_file(f"{self.folder}/{name}")
        except FileNotFoundError:
            return

    def delete_folder(self, name: str) -> None:
        """Delete all files below."""
        try:
            self.files.delete_dir(f"{self.folder}/{name}")
        except FileNotFoundError:
            return

    def stamps(self, names: Iterable[str]) -> dict[str, Stamp]:
        """Return the stamps of those files that exist, by name."""
        names = list(names)
        infos = self.files.get_file_info([f"{self.folder}/{name}" for name in names])
        return {name: _stamp(info) for name, info in zip(names, infos, strict=True) if info.is_file}

    def all_stamps(self) -> dict[str, Stamp]:
        """Return the stamp of every file below the folder, but for hidden ones."""
        stamps = {info.path[len(self.folder) :].lstrip("/"): _stamp(info) for info in self._list(True) if info.is_file}
        return {name: stamp for name, stamp in stamps.items() if not Path(name).name.startswith(".")}

    def folders(self) -> Iterator[str]:
        """Yield the names of the folders right inside."""
        yield from (info.base_name for info in self._list(False) if not info.is_file)

    def check_bucket(self) -> None:
        """Raise `FileNotFoundError` where an object store has no such bucket: a listing of it is only empty."""
        from pyarrow.fs import FileType

        bucket = self.folder.partition("/")[0]
        if self.files.type_name in WHOLE_AT_ONCE and self.files.get_file_info(bucket).type == FileType.NotFound:
            raise FileNotFoundError(f"the bucket {bucket} does not exist")

    def _list(self, recursive: bool) -> list[Any]:
        from pyarrow.fs import FileSelector

        what = FileSelector(self.folder, allow_not_found=True, recursive=recursive)
        found: list[Any] = self.files.get_file_info(what)
        return found


def _stamp(info: Any) -> Stamp:
    return Stamp(info.size or 0, info.mtime_ns or 0)


def refuse_password(uri: str) -> SplitResult:
    """Return the parts of a URI. Raises `InputError` for one with a password in it, since URIs are kept in run.json."""
    split = urlsplit(uri)
    if "@" in split.netloc or set(SECRETS) & set(parse_qs(split.query)):
        raise InputError(
            f"{split.scheme}://...{split.path}: a URI is kept in run.json, so it must hold no password: put the keys "
            "into the environment (for S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or the provider's own file"
        )
    return split


def open_remote(uri: str) -> Remote:
    """Return the folder at a URI. Raises `InputError` for a scheme that no library knows, and for a password in it."""
    from pyarrow import ArrowException, ArrowInvalid
    from pyarrow.fs import FileSystem

    split = refuse_password(uri)
    try:
        try:
            files, folder = FileSystem.from_uri(uri)
        except ArrowInvalid as error:
            if "Unrecognized filesystem" not in str(error):
                raise
            files, folder = FileSystem.from_uri(f"fsspec+{uri}")
    except (OSError, ValueError, ImportError, ArrowException) as error:
        raise InputError(f"{uri} cannot be opened ({_first_line(error)}): write s3://bucket/folder or alike") from None
    return Remote(urlunsplit(split._replace(path=split.path.rstrip("/"))), files, folder.rstrip("/"))


def _first_line(error: Exception) -> str:
    """Return the message of an error, without the words of pyarrow and AWS around it."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    text = re.sub(r" \(Request ID: [^)]*\)", "", text[max(0, text.find("AWS Error")) :]).partition("; Details:")[0]
    return text if len(text) <= 300 else text[:300] + "..."


@contextmanager
def storage_errors(remote: Remote) -> Iterator[None]:
    """Turn errors of the storage into an `InputError` that names it."""
    from pyarrow import ArrowException

    try:
        yield
    except (OSError, ArrowException) as error:
        fix = "check the bucket's name, the credentials and the network; docs/cluster.md, Storage"
        raise InputError(f"{remote.uri}: {_first_line(error)}: {fix}") from None


def check_writable(remote: Remote) -> None:
    """Write, read and delete a small file. Raises `InputError`."""
    name = f".writable-{os.getpid()}"
    with storage_errors(remote):
        remote.write(name, b"1")
        seen = remote.read(name)
        remote.delete(name)
    if seen != b"1":
        raise InputError(f"{remote.uri}: a file that was written there cannot be read back")
