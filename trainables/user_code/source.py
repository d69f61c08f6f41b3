"""Python code of a user's own, named as FILE.py:NAME or package.module:NAME: found, read, digested and imported.

A source is its file and the files that it imports from its own folder, as texts. So it can be kept in a run's folder,
sent to workers that lack it, and be part of a trial's key.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib
import linecache
import re
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from trainables.errors import InputError, text_of, unknown_name
from trainables.user_code.user_paths import user_path

SPEC = re.compile(r"(?P<source>[^:]+\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+):(?P<name>[A-Za-z_]\w*)")
# Bytes of a source in all; more is no hand-written code.
LARGEST = 4 * 2**20
# The package below which user code is imported, followed by the source's digest.
PACKAGE = "_sweeps_user_code_"


class MissingCode(InputError):
    """There is no file or module of a user's code. spec: what named it."""

    def __init__(self, spec: str, text: str) -> None:
        super().__init__(text)
        self.spec = spec


@dataclass(frozen=True)
class Source:
    """The texts of a user's code: `files[path]`, paths relative to one folder; `main` is the file that was named.

    installed: the module's name where pip installed it. It is imported as it is, and `files` has its own text alone.
    """

    main: str
    files: Mapping[str, str]
    installed: str = ""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of SHA-256 over the names and texts of all files."""
        digest = hashlib.sha256(self.main.encode() + b"\0")
        for path, text in sorted(self.files.items()):
            digest.update(path.encode() + b"\0" + text.encode() + b"\0")
        return digest.hexdigest()[:16]

    @property
    def file_digests(self) -> dict[str, str]:
        """16 hexadecimal digits of SHA-256 over each file's text, by its path."""
        return {path: hashlib.sha256(text.encode()).hexdigest()[:16] for path, text in sorted(self.files.items())}


def is_user_code(value: object) -> bool:
    """Return whether a value has the form FILE.py:NAME or package.module:NAME."""
    return isinstance(value, str) and SPEC.fullmatch(value) is not None


def split_spec(spec: str) -> tuple[str, str]:
    """Split `"my_net.py:MyNet"` into `("my_net.py", "MyNet")`. Raises `InputError` where it is neither form."""
    match = SPEC.fullmatch(spec)
    if match is None:
        raise InputError(f"{spec!r}: write FILE.py:NAME or package.module:NAME")
    return match["source"], match["name"]


def read_source(spec: str, folder: Path | None = None) -> Source:
    """Read the texts behind a spec. folder: what a relative FILE.py is relative to; None: the working directory.

    Raises `InputError` where the file is missing or is no Python, with the line of the mistake.
    """
    source, _ = split_spec(spec)
    if source.endswith(".py"):
        path = user_path(source, folder).resolve()
        root = path.parent
    else:
        path, root = _module_file(source, folder)
    if not path.is_file():
        raise MissingCode(spec, f"{source}: there is no such file in {root}")
    files: dict[str, str] = {}
    _collect(path, root, files)
    installed = "" if source.endswith(".py") or not _is_installed(root) else source
    return Source(path.relative_to(root).as_posix(), files, installed)


def _module_file(module: str, folder: Path | None) -> tuple[Path, Path]:
    """Find the file of a module and the folder that its top package stands in; nothing is imported."""
    parts = module.split(".")
    for entry in [str(folder or Path.cwd()), *sys.path]:
        path = Path(entry or ".").resolve().joinpath(*parts)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate, Path(entry or ".").resolve()
    raise MissingCode(module, f"{module}: there is no such module; name a file as FILE.py:NAME, or install its package")


def _collect(path: Path, root: Path, files: dict[str, str]) -> None:
    """Add a file, and whatever it imports from `root`, to `files`."""
    name = path.relative_to(root).as_posix()
    if name in files:
        return
    files[name] = _text_of(path)
    if sum(map(len, files.values())) > LARGEST:
        raise InputError(f"{path}: it and what it imports beside it exceed {LARGEST // 2**20} MB: keep data elsewhere")
    tree = _parsed(files[name], path)
    for module in _imported_modules(tree, PurePosixPath(name)):
        for found in _local_files(module, root):
            _collect(found, root, files)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None


def _parsed(text: str, path: Path | str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise InputError(f"{path}{f', line {line}' if line else ''}: {getattr(error, 'msg', error)}") from None


def _imported_modules(tree: ast.Module, file: PurePosixPath) -> list[str]:
    """Return the dotted names of all modules that a file may import; relative ones are made absolute."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(file.parent.parts)[: len(file.parent.parts) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            names += [".".join(base), *(".".join([*base, alias.name]) for alias in node.names)]
    return [name for name in dict.fromkeys(names) if name]


def _local_files(module: str, root: Path) -> list[Path]:
    """Return the files in `root` that importing a module runs: its packages' `__init__.py` and its own."""
    if _is_installed(root):
        return []
    parts = module.split(".")
    packages = [root.joinpath(*parts[:end], "__init__.py") for end in range(1, len(parts) + 1)]
    return [path for path in (*packages, root.joinpath(*parts).with_suffix(".py")) if path.is_file()]


def _is_installed(root: Path) -> bool:
    """Return whether pip installs to a folder: what stands there comes with an installation, not with a source."""
    return str(root) in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), sysconfig.get_path("stdlib")}


def load_object(spec: str, source: Source) -> Any:
    """Return the object that a spec names, its module imported from the source's texts.

    Raises `InputError` where the import fails (with the line of the file) or the name is not there (closest match).
    """
    _, name = split_spec(spec)
    module = _module_of(source)
    if not hasattr(module, name):
        own = [n for n, value in vars(module).items() if not n.startswith("_") and not isinstance(value, ModuleType)]
        raise InputError(f"{source.main}: {unknown_name('name', name, own)}")
    return getattr(module, name)


def _module_of(source: Source) -> ModuleType:
    if not source.installed:
        return _imported(source.digest, source.main, tuple(sorted(source.files.items())))
    try:
        return importlib.import_module(source.installed)
    except (Exception, SystemExit) as error:
        raise InputError(f"{source.installed} cannot be imported: {first_line(error)}") from None


@cache
def _imported(digest: str, main: str, files: tuple[tuple[str, str], ...]) -> ModuleType:
    """Import the main module of a source below a package whose name holds the digest, so that none clash."""
    importer = _Importer(f"{PACKAGE}{digest}", dict(files))
    sys.meta_path.insert(0, importer)
    return importer.load(_module_name(main))


def _module_name(file: str) -> str:
    """Turn `"lab/nets.py"` into `"lab.nets"`, and `"lab/__init__.py"` into `"lab"`."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class _Importer(MetaPathFinder, Loader):
    """Imports modules from texts, below one package (a finder and loader of importlib's protocol).

    `import helper` in one of the texts leads to the source's own `helper` where there is one.
    """

    def __init__(self, package: str, texts: Mapping[str, str]) -> None:
        self.package, self.texts = package, texts
        self.own = {file.partition("/")[0].removesuffix(".py") for file in texts}

    def load(self, name: str) -> ModuleType:
        """Import a module by its name within the source. Raises `InputError` that names file and line."""
        try:
            return importlib.import_module(f"{self.package}.{name}")
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(f"{self._where(error, name)}: {first_line(error)}") from None

    def _where(self, error: BaseException, name: str) -> str:
        """Return `my_net.py, line 12`: the innermost frame that is the user's."""
        where, step = f"{name.replace('.', '/')}.py", error.__traceback__
        while step is not None:
            file = step.tb_frame.f_code.co_filename
            if file.startswith(f"<{self.package}>/"):
                where = f"{file.partition('/')[2]}, line {step.tb_lineno}"
            step = step.tb_next
        return where

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return a spec for the package itself and for what has a text or stands above one; None for all else."""
        top, _, rest = name.partition(".")
        if top != self.package:
            return None
        base = rest.replace(".", "/")
        if f"{base}.py" in self.texts:
            return self._spec(name, f"{base}.py", is_package=False)
        if not base or any(file.startswith(f"{base}/") for file in self.texts):
            return self._spec(name, f"{base}/__init__.py", is_package=True)
        return None

    def _spec(self, name: str, file: str, is_package: bool) -> ModuleSpec:
        return ModuleSpec(name, self, origin=f"<{self.package}>/{file}", loader_state=file, is_package=is_package)

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None: the module is made as usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's text, with an `import` of its own. `linecache` gets it, so that tracebacks show lines."""
        assert module.__spec__ is not None
        text, origin = self.texts.get(module.__spec__.loader_state, ""), str(module.__spec__.origin)
        linecache.cache[origin] = (len(text), None, text.splitlines(keepends=True), origin)
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        exec(compile(text, origin, "exec"), module.__dict__)

    def _import(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:
        """Import as the built-in `__import__` does; a module of the source's own goes before others of that name."""
        top = name.partition(".")[0]
        if level or top not in self.own:
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = builtins.__import__(f"{self.package}.{name}", globals, locals, fromlist, 0)
        return module if fromlist else sys.modules[f"{self.package}.{top}"]


def first_line(error: BaseException) -> str:
    """Return the error's type and the first line of its text."""
    text = text_of(error).splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
