"""Static files: join the layers of ``studio/css`` into one stylesheet, and name collected files by their hash."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage

SOURCES = Path(__file__).resolve().parent / "css"
NAME = "studio/studio.css"
LAYERS = ("reset", "tokens", "base", "components", "pages")


def joined_stylesheet() -> str:
    """Return the whole stylesheet: the files in the order of the layers, each of which names its own layer."""
    files = [SOURCES / f"{layer}.css" for layer in LAYERS[:3]]
    for layer in LAYERS[3:]:
        files += sorted((SOURCES / layer).glob("*.css"))
    return "\n".join([f"@layer {', '.join(LAYERS)};", *(file.read_text() for file in files)])


class StylesheetFinder(BaseFinder):
    """Finds ``studio/studio.css`` for ``collectstatic`` and development servers, and writes it if it changed."""

    def __init__(self, app_names: Iterable[str] | None = None, *args: Any, **kwargs: Any) -> None:
        self.storage = FileSystemStorage(location=settings.STATE / "stylesheet")

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        paths = [self._write()] if path == NAME else []
        return paths if find_all else next(iter(paths), None)

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, FileSystemStorage]]:
        self._write()
        yield NAME, self.storage

    def _write(self) -> str:
        target, css = Path(self.storage.path(NAME)), joined_stylesheet()
        if not target.exists() or target.read_text() != css:
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_suffix(f".{id(css)}")
            unfinished.write_text(css)
            unfinished.replace(target)  # atomic: two servers can start at once
        return str(target)


class HashedOnceCollected(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Compressed files with a hash in their names, or with their own names before the first ``collectstatic``."""

    def stored_name(self, name: str) -> str:
        return str(super().stored_name(name)) if self.hashed_files else name
