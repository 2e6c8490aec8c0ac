"""Static files: the layers of ``studio/css`` joined into one stylesheet, and names by hash once collected."""

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


def joined() -> str:
    """Return the whole stylesheet. Each file names its own layer, so order is all that joining takes."""
    files = [SOURCES / f"{layer}.css" for layer in LAYERS[:3]]
    for layer in LAYERS[3:]:
        files += sorted((SOURCES / layer).glob("*.css"))
    return "\n".join([f"@layer {', '.join(LAYERS)};", *(file.read_text() for file in files)])


class StylesheetFinder(BaseFinder):
    """Give ``collectstatic`` and development servers ``studio/studio.css``, written below ``STATE`` when it changed."""

    def __init__(self, app_names: Iterable[str] | None = None, *args: Any, **kwargs: Any) -> None:
        self.storage = FileSystemStorage(location=settings.STATE / "stylesheet")

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        found = [self._write()] if path == NAME else []
        return found if find_all else next(iter(found), None)

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, FileSystemStorage]]:
        self._write()
        yield NAME, self.storage

    def _write(self) -> str:
        target, css = Path(self.storage.path(NAME)), joined()
        if not target.exists() or target.read_text() != css:
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_suffix(f".{id(css)}")
            unfinished.write_text(css)
            unfinished.replace(target)  # two servers may start at once: readers see the old file or the new one
        return str(target)


class HashedOnceCollected(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Compressed files with a hash in their names; before the first ``collectstatic``, files by their own names."""

    def stored_name(self, name: str) -> str:
        return str(super().stored_name(name)) if self.hashed_files else name
