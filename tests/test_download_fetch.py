"""Whatever a server does: the right bytes or a clear error, and nothing fetched twice."""

from __future__ import annotations

import email.utils
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bad_server as bad
import pytest

from ttscli import files
from ttscli.download import Fetch, Patience
from ttscli.errors import OutputError, TemporaryError, TTSError, VoiceError
from ttscli.events import DownloadInterrupted, DownloadProgress, DownloadStarted, Event

DATA = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
QUICK = Patience(
    connect_s=2, stall_s=0.3, attempts=3, first_wait_s=0.01, longest_wait_s=0.02, longest_asked_s=2
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[bad.Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with bad.running() as state:
        state.files["/x"] = DATA
        yield state


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "x.part"


def fetch(server: bad.Server, part: Path, **options: Any) -> list[Event]:
    events: list[Event] = []
    options = {"patience": QUICK, "on_event": events.append, **options}
    Fetch(f"{server.url}/x", part, **options).run()
    return events


def failure(server: bad.Server, part: Path, **options: Any) -> TTSError:
    with pytest.raises(TTSError) as caught:
        fetch(server, part, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{server.url}/x: ")
    return caught.value


def test_a_file_is_fetched(server: bad.Server, part: Path) -> None:
    events = fetch(server, part)
    assert part.read_bytes() == DATA
    assert events[0] == DownloadStarted("x.part", f"{server.url}/x", 0, len(DATA))
    last = events[-1]
    assert isinstance(last, DownloadProgress)
    assert (last.done, last.total, last.left_s) == (len(DATA), len(DATA), 0)
    assert last.bytes_per_s > 0
    assert fetch(server, part) == []
    assert len(server.asked) == 1, "what is whole is not asked for again"


PASSING = {
    "drops at once": [bad.drops_all],
    "drops": [bad.drops_after(100_000)],
    "drops thrice": [bad.drops_after(n) for n in (1, 50_000, 299_999)],
    "resets": [bad.resets_after(100_000)],
    "stalls": [bad.stalls_after(100_000, 0.6)],
    "stalls at once": [bad.stalls_after(0, 0.6)],
    "truncates, then ignores Range": [bad.drops_after(100_000), bad.ignores_range],
    "ignores Range and drops": [
        bad.drops_after(100_000),
        bad.ignores_range_and_drops_after(200_000),
    ],
    "sends another part": [bad.drops_after(100_000), bad.claims_range("bytes 0-299999/300000")],
    "sends part of another file": [bad.drops_after(10), bad.claims_range("bytes 10-299999/300001")],
    "sends nonsense for a part": [bad.drops_after(10), bad.claims_range("10-")],
    "500": [bad.status(500)],
    "503 twice": [bad.status(503, "0"), bad.status(503, "0")],
    "429 with a wait": [bad.status(429, "1")],
    "408, 425, 502, 504 between drops": [
        step
        for code, count in ((408, 10), (425, 20), (502, 30), (504, 40))
        for step in (bad.status(code), bad.drops_after(count * 1000))
    ],
    "416 for a part": [bad.drops_after(10), bad.status(416)],
    "no length": [bad.without_length],
    "changes": [bad.drops_after(100_000), bad.becomes("/x", DATA)],
}


@pytest.mark.parametrize("plan", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("has_checksum", [False, True])
@pytest.mark.parametrize("etags", [False, True])
def test_what_passes_is_overcome(
    server: bad.Server, part: Path, plan: list[bad.Behaviour], has_checksum: bool, etags: bool
) -> None:
    server.plan, server.etags = list(plan), etags
    fetch(server, part, has_checksum=has_checksum, size=len(DATA))
    assert part.read_bytes() == DATA


@pytest.mark.parametrize("etags", [False, True])
@pytest.mark.parametrize("then", [bad.good, bad.drops_after(200_000), bad.ignores_range])
def test_a_file_that_changes_is_never_mixed(
    server: bad.Server, part: Path, then: bad.Behaviour, etags: bool
) -> None:
    server.plan = [bad.drops_after(100_000), bad.becomes("/x", OTHER, then)]
    server.etags = etags
    fetch(server, part)
    assert part.read_bytes() == OTHER


def test_only_the_rest_is_fetched(server: bad.Server, part: Path) -> None:
    server.plan = [bad.drops_after(100_000), bad.drops_all, bad.drops_after(250_001)]
    events = fetch(server, part)
    assert part.read_bytes() == DATA
    assert [request.start for request in server.asked] == [None, 100_000, 100_000, 250_001]
    assert server.asked[1].headers["If-Range"]
    assert server.sent_twice() == 0
    assert [e.done for e in events if isinstance(e, DownloadInterrupted)] == [
        100_000, 100_000, 250_001,
    ]  # fmt: skip


def test_a_broken_connection_costs_a_block_at_most(server: bad.Server, part: Path) -> None:
    server.plan = [bad.stalls_after(bad.BLOCK * n + 5000, 0.6) for n in (3, 7)]
    fetch(server, part)
    assert part.read_bytes() == DATA
    assert server.sent_twice() <= 2 * bad.BLOCK


@pytest.mark.parametrize("size", [pytest.param(300 << 20, marks=pytest.mark.slow), 6 << 20])
def test_ten_interruptions_at_random(server: bad.Server, part: Path, size: int) -> None:
    numbers = random.Random(7)
    data = server.files["/x"] = numbers.randbytes(1 << 20) * (size >> 20)
    places = sorted(numbers.randrange(size) for _ in range(10))
    server.plan = [bad.drops_after(place) for place in places]
    fetch(server, part)
    assert part.read_bytes() == data
    assert len(server.asked) == 11
    assert server.sent_twice() <= 10 * bad.BLOCK


def test_an_earlier_run_is_continued(server: bad.Server, part: Path) -> None:
    server.plan = [bad.drops_after(100_000), *[bad.drops_all] * 3]
    error = failure(server, part)
    assert isinstance(error, TemporaryError)
    assert error.todo == "the same command goes on after 100000 bytes"
    fetch(server, part)
    assert part.read_bytes() == DATA
    assert server.asked[-1].start == 100_000


def test_a_torn_note_about_a_partial_file_starts_it_anew(server: bad.Server, part: Path) -> None:
    for note in (b"", b"{", b"[]", b'{"total": "7"}', b'{"more": 1}', b"\xff"):
        part.write_bytes(OTHER[:1000])
        part.with_name("x.part.json").write_bytes(note)
        fetch(server, part)
        assert part.read_bytes() == DATA


def test_a_partial_file_of_another_address_is_not_built_on(
    server: bad.Server, part: Path, tmp_path: Path
) -> None:
    server.files["/y"] = OTHER
    server.plan = [bad.drops_after(1000)]
    with pytest.raises(TemporaryError):
        server.plan += [bad.drops_all] * 3
        Fetch(f"{server.url}/y", part, patience=QUICK).run()
    fetch(server, part)
    assert part.read_bytes() == DATA


def test_redirects_are_followed(server: bad.Server, part: Path) -> None:
    server.files["/there"] = DATA
    server.plan = [bad.redirects_to("/there", code) for code in (301,)]
    server.plan += [bad.drops_after(1000), bad.redirects_to(f"{server.url}/there", 307)]
    fetch(server, part)
    assert part.read_bytes() == DATA
    assert server.asked[-1].start == 1000


FINAL: dict[str, tuple[list[bad.Behaviour], int, str]] = {
    "404": ([bad.status(404)], 6, "the server answers 404 Not Found; check the address"),
    "403": ([bad.status(403)], 6, "the server answers 403 Forbidden"),
    "410": ([bad.status(410)], 6, "410 Gone"),
    "501": ([bad.status(501)], 6, "501 Not Implemented"),
    "500 for ever": ([bad.status(500)] * 3, 5, "500 Internal Server Error, 3 times in a row"),
    "503 for ever": ([bad.status(503, "0")] * 3, 5, "503 Service Unavailable, 3 times"),
    "429 for a day": ([bad.status(429, "86400")], 5, "run the same command again in 86400 s"),
    "drops for ever": ([bad.drops_all] * 3, 5, "the connection was cut, 3 times in a row"),
    "talks nonsense": ([bad.talks_nonsense] * 3, 5, "the connection was cut, 3 times in a row"),
    "stalls for ever": ([bad.stalls_after(0, 0.6)] * 3, 5, "nothing came for 0.3 s, 3 times"),
    "login page": ([bad.login_page()], 6, "a web page instead of the file; log in to the network"),
    "login page in disguise": (
        [bad.login_page("application/octet-stream")], 6, "a web page instead of the file",
    ),
    "login page later": (
        [bad.drops_after(1000), bad.login_page("application/zip")], 6, "a web page",
    ),
    "round in circles": ([bad.redirects_to("/x")] * 40, 5, "leads round in a circle"),
    "to another protocol": ([bad.redirects_to("ftp://127.0.0.1/x")], 6, "no url"),
    "compressed": (
        [lambda h, d: h.serve(d, headers={"Content-Encoding": "gzip"})], 6, "the coding 'gzip'",
    ),
    "claims more for ever": ([bad.claims_length(300_100)] * 99, 5, "3 times in a row"),
}  # fmt: skip


@pytest.mark.parametrize(("plan", "code", "says"), FINAL.values(), ids=FINAL)
def test_what_does_not_pass_is_one_clear_line(
    server: bad.Server, part: Path, plan: list[bad.Behaviour], code: int, says: str
) -> None:
    server.plan = list(plan)
    error = failure(server, part)
    assert error.exit_code == code
    assert says in str(error)
    assert not part.exists() or DATA.startswith(part.read_bytes())


def test_a_length_that_is_too_long_is_found_out(server: bad.Server, part: Path) -> None:
    server.plan = [bad.claims_length(300_100)]
    fetch(server, part)
    assert part.read_bytes() == DATA


def test_a_login_page_does_not_cost_what_was_fetched(server: bad.Server, part: Path) -> None:
    server.plan = [bad.drops_after(100_000), bad.login_page()]
    failure(server, part)
    assert part.read_bytes() == DATA[:100_000]
    fetch(server, part)
    assert part.read_bytes() == DATA


def test_another_size_than_the_published_one(server: bad.Server, part: Path) -> None:
    error = failure(server, part, size=len(DATA) + 1)
    assert isinstance(error, VoiceError)
    assert "a file of 300000 bytes instead of 300001" in str(error)
    assert not part.exists()


def test_a_date_to_wait_for(server: bad.Server, part: Path) -> None:
    now = time.time()
    server.plan = [bad.status(503, email.utils.formatdate(now + 2, usegmt=True))]
    fetch(server, part, patience=Patience(longest_asked_s=5))
    assert time.time() - now > 0.9
    assert part.read_bytes() == DATA
    server.plan = [bad.status(503, email.utils.formatdate(now + 3600, usegmt=True))]
    part.unlink()
    assert "run the same command again in 35" in str(failure(server, part))


@pytest.mark.parametrize("name", ["http://127.0.0.1:{}/x", "http://no-such-host.invalid:{}/x"])
def test_nobody_there(part: Path, name: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = name.format(free.getsockname()[1])
    with pytest.raises(TemporaryError) as caught:
        Fetch(url, part, patience=QUICK).run()
    assert "refuses the connection" in str(caught.value) or "cannot be found" in str(caught.value)


def test_passwords_and_signatures_are_not_shown(server: bad.Server, part: Path) -> None:
    server.plan = [bad.status(403)]
    url = server.url.replace("http://", "http://me:secret@") + "/x?signature=secret"
    server.files["/x?signature=secret"] = DATA
    with pytest.raises(VoiceError) as caught:
        Fetch(url, part, patience=QUICK).run()
    assert "secret" not in str(caught.value)
    assert "Authorization" in server.asked[0].headers


def test_proxies_of_the_environment(
    server: bad.Server, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    server.files["http://voices.invalid/x"] = DATA
    Fetch("http://voices.invalid/x", part, patience=QUICK).run()
    assert part.read_bytes() == DATA


def test_no_space(server: bad.Server, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = files.shutil.disk_usage(part.parent)._replace(free=17 << 20)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage)
    server.files["/x"] = bytes(2 << 20)
    with pytest.raises(OutputError, match=r"2 MB are needed, 18 MB are free; free some space"):
        fetch(server, part)
    assert not part.exists()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and the certificate that it gave itself."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=127.0.0.1".split()
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def test_encryption(
    server: bad.Server, part: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bad.running(certificate) as secure:
        secure.files["/x"] = DATA
        error = failure(secure, part)
        assert isinstance(error, TemporaryError)
        assert "its certificate is not trusted; if your network has" in str(error)
        assert not part.exists()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{certificate}.crt")
        secure.plan = [bad.drops_after(100_000)]
        fetch(secure, part)
        assert part.read_bytes() == DATA
        part.unlink()
        secure.plan = [bad.redirects_to(f"{server.url}/x")]
        downgrade = failure(secure, part)
        assert f"it leads from https to {server.url}/x" in str(downgrade)
        assert not part.exists()


@pytest.mark.parametrize("etags", [False, True])
def test_no_sequence_of_faults_gives_wrong_bytes(
    server: bad.Server, part: Path, etags: bool
) -> None:
    numbers = random.Random(etags)
    server.etags = etags
    versions = [DATA, OTHER, OTHER[:150_000]]
    endings = {"right": 0, "error": 0}

    def fault() -> bad.Behaviour:
        count = numbers.randrange(310_000)
        change = bad.becomes("/x", numbers.choice(versions), bad.drops_after(count))
        return numbers.choice(
            [
                bad.drops_all, bad.drops_after(count), bad.resets_after(count), bad.ignores_range,
                bad.ignores_range_and_drops_after(count), bad.status(503, "0"), bad.status(500),
                bad.status(416), bad.status(404), bad.login_page(), bad.login_page("image/png"),
                bad.claims_length(310_000), bad.claims_range("bytes 5-9/10"), bad.talks_nonsense,
                bad.without_length, bad.redirects_to("/x"), change, change, bad.becomes("/x", DATA),
            ]
        )  # fmt: skip

    for _ in range(120):
        server.plan = [fault() for _ in range(numbers.randrange(1, 7))]
        try:
            fetch(server, part, patience=Patience(stall_s=1, attempts=4, first_wait_s=0.001))
        except TTSError:
            endings["error"] += 1
            continue  # what is here may be built on, or not
        endings["right"] += 1
        assert part.read_bytes() in versions
        part.unlink()
        part.with_name("x.part.json").unlink()
    assert min(endings.values()) > 20
