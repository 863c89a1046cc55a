"""The errors that users can meet, each with the exit code that the command line gives for it."""

from __future__ import annotations

from collections.abc import Sequence

from ttscli.counts import counted


class TTSError(Exception):
    """Something a user can understand and act on.

    Args:
        what: what went wrong, as the start of a sentence without a full stop.
        where: the file, line or option concerned, shown in front.
        todo: what to do about it, shown at the end.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.todo}" if self.todo else text


class UsageError(TTSError):
    """The call itself is wrong."""

    exit_code = 2


class SpeechError(TTSError):
    """The work was done, but some of the speech failed."""

    exit_code = 3


class InputError(TTSError):
    """The text, or the file it comes from, cannot be used."""

    exit_code = 4


class InputErrors(InputError):  # noqa: N818 - several
    """All that is wrong with an input, each with its place.

    Args:
        errors: what is wrong.
        complete: whether there is no more than that.
    """

    def __init__(self, errors: Sequence[InputError], *, complete: bool = True) -> None:
        self.errors = tuple(errors)
        more = "" if complete else "at least "
        super().__init__(f"{more}{counted(len(errors), 'error')}, so nothing was done")


class TemporaryError(TTSError):
    """The same command may work later: network, server, busy device."""

    exit_code = 5


class VoiceError(TTSError):
    """A voice or a checkpoint is missing, damaged or refused."""

    exit_code = 6


class OutputError(TTSError):
    """The output cannot be written."""

    exit_code = 7


class ClosedPipeError(OutputError):
    """Whoever read the output has gone away; it ends without a word, as a closed pipe does."""

    exit_code = 141  # 128 + SIGPIPE, as 130 and 143 are for the other signals


class LockedError(TTSError):
    """Another run holds the folder or the download."""

    exit_code = 8


class SlowerWarning(RuntimeWarning):
    """A device refused the fast way, and a slower one is taken."""
