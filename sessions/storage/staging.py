"""The file the recorder gives to h5py: HDF5 never meets a full disk, and a kill never meets a half-made change.

HDF5 has no journal. A write that fails, or a process that dies, in the middle of a flush can leave a file that no
longer opens, and after a failed flush h5py crashes the interpreter on its way out.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import SEEK_END, SEEK_SET, FileIO
from typing import Any

from sessions.storage.committed_file import CommittedFile, pieces


@dataclass
class _Commit:
    """Pages on their way to disk."""

    pages: dict[int, bytearray]
    size: int
    mark: int
    end: Future[None]
    """Done once they have reached the device, or the disk has refused."""


class StagedFile:
    """A file whose writes stay in memory until they are committed, all or none of them.

    Has the methods that h5py's `fileobj` driver calls: seek, tell, read, write, truncate, flush.

    Args:
        file: Empty, unbuffered, open for reading and writing.
        durable: Whether a commit waits for the device.
    """

    def __init__(self, file: FileIO, durable: bool = True) -> None:
        self._disk = CommittedFile(file, durable)
        self._pages: dict[int, bytearray] = {}
        self._under_way: _Commit | None = None
        self._failure: BaseException | None = None
        self.broken: OSError | MemoryError | None = None
        """What made a read or write fail: HDF5 is then wrong about the file, and nothing is committed any more."""
        self._thread: ThreadPoolExecutor | None = None
        self._position = 0
        self._size = 0
        self._mark = 0

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to `offset`, from the start or (SEEK_END) the end; return the position."""
        self._position = offset + (self._size if whence == SEEK_END else 0)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes, zeros where none were written."""
        try:
            data = b"".join(self._page(page)[start:stop] for page, start, stop in pieces(self._position, count))
        except (OSError, MemoryError) as error:
            self.broken, data = error, bytes(count)
        self._position += count
        return data

    def write(self, data: Any) -> int:
        """Keep `data` (any bytes-like object) for the next commit; return its length in bytes."""
        view = memoryview(data).cast("B")
        try:
            self._stage(view)
        except (OSError, MemoryError) as error:
            self.broken = error
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def check(self) -> None:
        """Raise what made a read or write fail, if anything did."""
        if self.broken is not None:
            raise self.broken

    def truncate(self, size: int) -> int:
        """Let the file end at `size` from the next commit on."""
        self._size = size
        return size

    def flush(self) -> None:
        """Do nothing: what h5py flushes is not yet a commit."""

    @property
    def committed(self) -> int:
        """Bytes of the file on disk that belong to the last commit."""
        return self._disk.committed

    @property
    def in_place(self) -> bool:
        """Whether the file stands under its name now, with all that was committed; see `CommittedFile.in_place`."""
        return self._disk.in_place

    def read_back(self) -> None:
        """Read all that was committed from the device again; see `CommittedFile.read_back`."""
        self._land(wait=True)
        self._disk.read_back()

    def take_mends(self) -> list[str]:
        """Return what was made good of the file since the last call; see `CommittedFile`."""
        return self._disk.take_mends()

    @property
    def closed(self) -> bool:
        """Whether the file was closed."""
        return self._disk.closed

    @property
    def mark(self) -> int:
        """The mark of the last commit that is on the device."""
        self._land()
        return self._mark

    @property
    def failure(self) -> BaseException | None:
        """What stopped the last commit; None where it is done or under way."""
        self._land()
        return self._failure

    def commit(self, mark: int = 0) -> None:
        """Put all writes on the device before returning. Whatever stops this, the file holds either all or none.

        Args:
            mark: What `mark` is from then on.

        Raises:
            OSError: If the disk refuses. The writes stay in memory, and the next commit tries them again.
        """
        self._land(wait=True)
        commit = self._begin(mark)
        self._put(commit)
        self._land()
        if self._failure is not None:
            raise self._failure

    def commit_in_background(self, mark: int = 0) -> None:
        """Begin a commit, and return at once; one that is still under way is left alone, and this does nothing."""
        self._land()
        if self._under_way is None:
            # One thread for all commits: to start another takes as long as a slow step.
            self._thread = self._thread or ThreadPoolExecutor(1, "commit")
            commit = self._begin(mark)
            try:
                self._thread.submit(self._put, commit)
            except RuntimeError:  # the system has no thread to give
                self._put(commit)

    def wait(self) -> None:
        """Wait until no commit is under way."""
        self._land(wait=True)

    def close(self) -> None:
        """Close the file; writes since the last commit are lost."""
        self._land(wait=True)
        if self._thread is not None:
            self._thread.shutdown()
        self._disk.close()

    def _begin(self, mark: int) -> _Commit:
        self.check()
        self._under_way = _Commit(self._pages, self._size, mark, Future())
        self._pages, self._failure = {}, None
        return self._under_way

    def _put(self, commit: _Commit) -> None:
        try:
            self._disk.commit(commit.pages, commit.size)
        except Exception as error:
            commit.end.set_exception(error)
        else:
            commit.end.set_result(None)

    def _land(self, wait: bool = False) -> None:
        """Take note of the end of the commit under way, or let it go on."""
        commit = self._under_way
        if commit is None or not (wait or commit.end.done()):
            return
        self._failure = commit.end.exception()
        if self._failure is None:
            self._mark = commit.mark
        else:
            self._pages = commit.pages | self._pages
        self._under_way = None

    def _stage(self, view: memoryview) -> None:
        at, pages = 0, self._pages
        for page, start, stop in pieces(self._position, len(view)):
            if page not in pages:
                pages[page] = bytearray(self._page(page))
            pages[page][start:stop] = view[at : at + stop - start]
            at += stop - start

    def _page(self, page: int) -> bytes | bytearray:
        if page in self._pages:
            return self._pages[page]
        if self._under_way is not None and page in self._under_way.pages:
            return self._under_way.pages[page]
        return self._disk.read_page(page)
