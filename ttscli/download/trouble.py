"""What can go wrong between a server and us, in words, and whether asking again may help."""

from __future__ import annotations

import email.utils
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from ttscli.errors import TemporaryError, VoiceError

if TYPE_CHECKING:
    from requests import Response

_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}
_ELSEWHERE = "check the address, or try another --mirror"
_PAGE = "the server sent a web page instead of the file"
_LOGIN = "log in to the network, or check the proxy or the mirror"


class TryAgainError(Exception):
    """This attempt failed; another one may not."""

    def __init__(self, reason: str, asked_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.asked_s = asked_s


class RestartError(TryAgainError):
    """What has been fetched so far does not go with what the server has now."""


def shown(url: str) -> str:
    """A url as it may be shown: without passwords and signatures."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def check_answer(response: Response, url: str) -> None:
    """Refuse answers that are not the file, by what their headers say."""
    where, headers = shown(url), response.headers
    if any(
        earlier.url.startswith("https:") and not response.url.startswith("https:")
        for earlier in response.history
    ):
        what = f"it leads from https to {shown(response.url)}"
        raise VoiceError(what, where=where, todo=_ELSEWHERE)
    _check_status(response, where)
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise VoiceError(_PAGE, where=where, todo=_LOGIN)
    coding = headers.get("Content-Encoding", "identity")
    if coding.lower() != "identity":
        what = f"the server sent the file in the coding {coding!r:.40}, which was not asked for"
        raise VoiceError(what, where=where, todo=_ELSEWHERE)


def check_start(start: bytes, url: str) -> None:
    """Refuse a page that is served in a file's place, by its first bytes."""
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise VoiceError(_PAGE, where=shown(url), todo=_LOGIN)


def _check_status(response: Response, where: str) -> None:
    code = response.status_code
    if code in (200, 206):
        return
    answer = f"the server answers {code} {response.reason or ''}".rstrip()
    if code == 416:
        raise RestartError(answer)
    if code in _MAY_PASS:
        raise TryAgainError(answer, _retry_after(response))
    raise VoiceError(answer, where=where, todo=_LOGIN if code in (407, 511) else _ELSEWHERE)


@contextmanager
def of_network(url: str, connect_s: float, stall_s: float) -> Iterator[None]:
    """Turn what requests says into `TryAgainError`, or, if that is of no use, an error."""
    import requests
    import urllib3

    where = shown(url)
    host = urlsplit(url).hostname or url
    try:
        yield
    except requests.exceptions.SSLError as error:
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            raise TryAgainError("the encrypted connection failed") from error
        todo = "if your network has a certificate of its own, set REQUESTS_CA_BUNDLE to its file"
        raise TemporaryError("its certificate is not trusted", where=where, todo=todo) from error
    except requests.TooManyRedirects as error:
        what = "the server leads round in a circle"
        raise TemporaryError(what, where=where, todo=_ELSEWHERE) from error
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise VoiceError("this address is no url", where=where, todo=_ELSEWHERE) from error
    except requests.exceptions.ProxyError as error:
        raise TryAgainError("the proxy does not answer") from error
    except requests.ConnectTimeout as error:
        raise TryAgainError(f"no connection within {connect_s:g} s") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise TryAgainError(_reason(error, host, stall_s)) from error


def _reason(error: BaseException, host: str, stall_s: float) -> str:
    """The cause at the bottom of what requests and urllib3 have wrapped around it."""
    import requests
    from urllib3.exceptions import NameResolutionError, ReadTimeoutError

    todo: list[object] = [error]
    seen: set[int] = set()
    while todo:
        cause = todo.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        if isinstance(cause, (socket.gaierror, NameResolutionError)):
            return f"{host} cannot be found (no network?)"
        if isinstance(cause, (ReadTimeoutError, requests.ReadTimeout, TimeoutError)):
            return f"nothing came for {stall_s:g} s"
        if isinstance(cause, ConnectionRefusedError):
            return f"{host} refuses the connection"
        todo += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]
    return "the connection was cut"


def _retry_after(response: Response) -> float | None:
    """Seconds that the server asks to wait."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    moment = email.utils.parsedate_tz(value)
    return None if moment is None else email.utils.mktime_tz(moment) - time.time()
