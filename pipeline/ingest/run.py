"""A run over files: documents in, events out, everything else in the report."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from pipeline.adapters.items import Document, Rejected
from pipeline.ingest.files import STDIN, Located, documents
from pipeline.ingest.intake import Intake, Outgoing, Seen, Taken, retractions
from pipeline.ingest.report import Report
from pipeline.ingest.sources import Opened

_TELL_EVERY: Final = 2_000


class Rejects:
    """The file rejected lines go to, made when there is the first; None keeps none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, located: Located) -> None:
        """Write a line; a file of CSV begins with the header its rows had."""
        if self._path is None:
            return
        if self._file is None:
            self._file = self._path.open("wb")
            if located.head:
                self._file.write(located.head + b"\n")
        self._file.write(located.raw + b"\n")


class Run:
    """Reads files of one source.

    Parameters
    ----------
    source
        Whose files.
    paths
        Files; `-` is standard input.
    history
        The events tell of the past: they were received when they occurred unless they say.
    """

    def __init__(self, source: Opened, paths: Sequence[Path], *, history: bool = False) -> None:
        self._source, self._paths = source, paths
        self.report = Report()
        self.intake = Intake(source.adapter, Seen(), retracted=self._taken_back(), history=history)

    def events(
        self, rejects: Rejects, tell: Callable[[Report], None] = lambda _: None
    ) -> Iterator[Outgoing]:
        """Yield every event once. `tell` is given the report now and then."""
        for path in self._paths:
            for located in documents(path, self._source.layout):
                taken = self._take(located, path)
                self.report.add(taken, path.name, located.line)
                if taken.rejected:
                    rejects.add(located)
                if self.report.documents % _TELL_EVERY == 0:
                    tell(self.report)
                for event in taken.events:
                    self.intake.seen.add(event.event_id)
                    yield event

    def _take(self, located: Located, path: Path) -> Taken:
        self.report.documents += 1
        if isinstance(located.document, Rejected):
            return Taken(rejected=[located.document])
        return self.intake.take(located.document, f"{path.name}:{located.line}")

    def _taken_back(self) -> Iterable[str]:
        """Look through files that can be read twice for events that are taken back later on."""
        if not self._source.adapter.retracts or STDIN in self._paths:
            return ()
        return retractions(self._source.adapter, self._json_documents())

    def _json_documents(self) -> Iterator[Document]:
        """Yield what may take something back: rows of files are never changes."""
        for path in self._paths:
            with closing(documents(path, self._source.layout)) as found:
                for located in found:
                    if not isinstance(located.document, bytes):
                        break
                    yield located.document
