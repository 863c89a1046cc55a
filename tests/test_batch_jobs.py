"""Lists of texts: every format, every fault with its line, and names that are good everywhere."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscli.batch.folder import parse_shard
from ttscli.batch.jobs import MOST_ERRORS, Job, VoiceOptions, choose_shard, read_jobs
from ttscli.batch.names import Names, NameTemplate
from ttscli.batch.readers import READERS, choose_reader
from ttscli.errors import InputError, InputErrors, UsageError


def jobs_of(content: str, path: str = "jobs.csv", template: str = "") -> list[Job]:
    reader = choose_reader(path, None, content)
    options = VoiceOptions()
    return read_jobs(reader, path, content, template=template, seed=7, options=options)


def errors_of(content: str, path: str = "jobs.csv", template: str = "") -> list[str]:
    with pytest.raises(InputError) as caught:
        jobs_of(content, path, template)
    if isinstance(caught.value, InputErrors):
        return [str(error) for error in caught.value.errors]
    return [str(caught.value)]


# Formats


def test_plain_lines() -> None:
    jobs = jobs_of("One.\r\n\n  Two. \u2028 Still two.\nThree.", "x.txt")
    assert [(job.index, job.id, job.text, job.path, job.line) for job in jobs] == [
        (1, "1", "One.", "00001.wav", 1),
        (2, "2", "Two. \u2028 Still two.", "00002.wav", 3),
        (3, "3", "Three.", "00003.wav", 4),
    ]
    assert {job.seed for job in jobs} == {7}


def test_csv_with_quotes_and_options() -> None:
    content = 'id,text,seed,sigma,voice\na,"Hi, ""you"".\nBye.",3,0.5,other\n\nb,There.,,,\n'
    first, second = jobs_of(content)
    assert (first.text, first.seed, first.path) == ('Hi, "you".\nBye.', 3, "a.wav")
    assert first.options == VoiceOptions(voice="other", sigma=0.5)
    assert (second.text, second.seed, second.line) == ("There.", 7, 5)
    assert second.options == VoiceOptions()


def test_formats_say_the_same() -> None:
    rows = [("a1", "One."), ("b2", "Two, or more.")]
    contents = {
        "x.csv": 'id,text\na1,One.\nb2,"Two, or more."\n',
        "x.tsv": "ID\tText\r\na1\tOne.\r\nb2\tTwo, or more.\r\n",
        "x.jsonl": '{"id": "a1", "text": "One."}\n{"text": "Two, or more.", "id": "b2"}\n',
        "x.txt": "a1|One.\nb2|Two, or more.\n",
        "metadata.csv": "a1|1.|One.\nb2|2, or more.|Two, or more.\n",
        "list.txt": "wavs/a1.wav|One.\nwavs/b2.wav|Two, or more.\n",
    }
    for path, content in contents.items():
        jobs = jobs_of(content, path)
        assert [(PurePosixPath(job.id).stem, job.text) for job in jobs] == rows, path
        assert [job.path for job in jobs] == ["a1.wav", "b2.wav"], path
    assert choose_reader("list.txt", None, contents["list.txt"]).name == "filelist"


def test_a_text_with_a_bar_is_no_filelist() -> None:
    assert jobs_of("Say this | or that.\nNo bar.\n", "x.txt")[0].text == "Say this | or that."
    assert choose_reader("x.txt", "txt", "a|b\n").name == "txt"


def test_json_numbers() -> None:
    job = jobs_of('{"id": 12, "text": "Hi.", "seed": 3, "sigma": 1, "pause": null}', "x.jsonl")[0]
    assert (job.id, job.seed, job.options.sigma, job.options.pause) == ("12", 3, 1.0, 0.2)


@pytest.mark.parametrize("path", ["x.doc", "x", "-"])
def test_unknown_format(path: str) -> None:
    with pytest.raises(UsageError, match=r"--format txt\|csv"):
        choose_reader(path, None, "Hi.")
    with pytest.raises(UsageError, match="there is no format 'xml'"):
        choose_reader(path, "xml", "Hi.")
    assert choose_reader(path, "jsonl", "") is READERS["jsonl"]


# Faults, each with its line


@pytest.mark.parametrize(
    ("content", "path", "expected"),
    [
        ("id,text\na,Hi.\nb, \n", "jobs.csv", "jobs.csv:3: column 'text' is empty"),
        ('text,id\n"a\nb",x\nHi.,\n', "jobs.csv", "jobs.csv:4: column 'id' is empty"),
        ("id,text\na,Hi,there\n", "jobs.csv", "jobs.csv:2: 3 cells, but the header has 2"),
        ("id,text\na\n", "jobs.csv", "jobs.csv:2: 1 cell, but the header has 2"),
        (
            'id,text\na,Hi.\nb,"Hi.\n',
            "jobs.csv",
            "jobs.csv:3: a quotation mark begins a cell, and none",
        ),
        ("id;text\na;Hi.\n", "jobs.csv", "jobs.csv:1: the header has no column 'text'"),
        ("id,text,text\na,b,c\n", "jobs.csv", "jobs.csv:1: the header names a column twice"),
        ("id,text,tempo\na,Hi.,2\n", "jobs.csv", "jobs.csv:2: unknown column 'tempo'; there are"),
        ("text,seed\nHi.,-1\n", "jobs.csv", "jobs.csv:2: column 'seed': '-1' is not a whole"),
        ("text,seed\nHi.,1.5\n", "jobs.csv", "jobs.csv:2: column 'seed': '1.5' is not a whole"),
        ("text,sigma\nHi.,nan\n", "jobs.csv", "jobs.csv:2: column 'sigma': 'nan' is not a"),
        ("text,sigma\nHi.,11\n", "jobs.csv", "jobs.csv:2: column 'sigma': '11' is not a number"),
        ("text,speed\nHi.,3\n", "jobs.csv", "jobs.csv:2: column 'speed': '3' is refused: the s"),
        (
            "text,pause\nHi.,601\n",
            "jobs.csv",
            "jobs.csv:2: column 'pause': '601' is refused: pause",
        ),
        ("text,speed\nHi.,x\n", "jobs.csv", "jobs.csv:2: column 'speed': 'x' is not a number"),
        ("text,sample_rate\nHi.,1\n", "jobs.csv", "jobs.csv:2: column 'sample_rate': '1' is ref"),
        ("text,vocoder\nHi.,x\n", "jobs.csv", "jobs.csv:2: column 'vocoder': 'x' is neither"),
        ('{"text": "Hi."}\n{"text": 3}\n', "x.jsonl", "x.jsonl:2: column 'text': 3 is not a text"),
        ('{"text": "Hi."\n', "x.jsonl", "x.jsonl:1: this line is not a JSON object"),
        ("[1]\n", "x.jsonl", "x.jsonl:1: this line is not a JSON object"),
        ('{"id": "a"}\n', "x.jsonl", "x.jsonl:1: column 'text' is missing"),
        ('{"text": "\\ud83d"}\n', "x.jsonl", "x.jsonl:1: column 'text' has half of a surrogate"),
        ('{"text": "Hi.", "seed": true}\n', "x.jsonl", "x.jsonl:1: column 'seed': True is not"),
        ("x" * 100_001, "x.txt", "x.txt:1: the text has 100001 characters, more than 100000"),
        ("a|Hi.|3\n", "x.txt", "x.txt:1: expected path|text"),
        ("", "x.txt", "x.txt: there is nothing to speak in it"),
        ("id,text\n", "x.csv", "x.csv: there is nothing to speak in it"),
    ],
)
def test_faults(content: str, path: str, expected: str) -> None:
    assert errors_of(content, path)[0].startswith(expected)


def test_speed_and_sample_rate() -> None:
    first, second = jobs_of("text,speed,sample_rate\nHi.,1.5,16000\nBye.,,\n")
    assert first.options == VoiceOptions(speed=1.5, sample_rate=16000)
    assert second.options == VoiceOptions()


def test_a_sample_rate_that_the_format_cannot_have() -> None:
    content = "text,sample_rate\nHi.,44100\nHi.,48000\n"
    errors = errors_of(content, template="{index}.opus")
    assert len(errors) == 1
    assert errors[0].startswith("jobs.csv:2: column 'sample_rate': .opus files cannot have")
    reader, options = READERS["txt"], VoiceOptions(sample_rate=44100)
    with pytest.raises(UsageError, match=r"\.opus files"):  # said once, without a line
        read_jobs(reader, "x", "A.\nB.", template="{index}.opus", seed=0, options=options)


def test_all_faults_in_one_list() -> None:
    content = "id,text\n../../x,Hi.\n/etc/x,Hi.\nCON,Hi.\n" + "x" * 300 + ",Hi.\nok,Hi.\nok,Hi.\n"
    errors = errors_of(content)
    assert [error.split(":")[1] for error in errors] == ["2", "3", "4", "5", "7"]
    for error, part in zip(
        errors, ["has '/' in it", "has '/' in it", "a device's", "304 bytes", "that of line 6 too"],
        strict=True,
    ):  # fmt: skip
        assert part in error
    many = errors_of("id,text\n" + "a/b,Hi.\n" * 1000)
    assert len(many) == MOST_ERRORS
    many = errors_of("id,text\n" + "a/b,\n" * 1000)
    assert len(many) == MOST_ERRORS


@pytest.mark.parametrize(
    ("content", "path", "lines"),
    [
        ('{\n{"text": "Hi."}\n[1]\n{"text": ""}\n', "x.jsonl", [1, 3, 4]),
        ("id,text\na,Hi,there\nb,Hi.\nc\nd,\n", "jobs.csv", [2, 4, 5]),
        ("a|Hi.|3\nb|Hi.\nc|Hi.|4\n", "x.txt", [1, 3]),
    ],
)
def test_a_line_that_is_no_row_does_not_hide_others(
    content: str, path: str, lines: list[int]
) -> None:
    assert [int(error.split(":")[1]) for error in errors_of(content, path)] == lines
    broken = content.splitlines()[lines[0] - 1]
    assert len(errors_of(f"{content}{broken}\n" * 30, path)) == MOST_ERRORS


def test_quotation_marks_of_tables() -> None:
    lines = ["id\ttext", 'a\t"Hello," she said.', "b\t", 'c\tShe said "Hello."', 'd\t"No," no.']
    first, second, third = errors_of("\n".join(lines), "x.tsv")
    assert first == (
        "x.tsv:2: a cell goes on behind the quotation mark that closes it; a cell that begins with "
        "a quotation mark must end with one, and those in between are doubled: "
        '"""Hello,"" she said."'
    )
    assert second == "x.tsv:3: column 'text' is empty"
    assert third.startswith("x.tsv:5: a cell goes on")
    lines[1:] = ['a\t"""Hello,"" she said."', lines[3]]
    assert [job.text for job in jobs_of("\n".join(lines), "x.tsv")] == [
        '"Hello," she said.', 'She said "Hello."',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ('id,text\na,"Hi.\n" there\nb,\n', 2, "a cell goes on behind"),  # what is b a part of?
        ('id,text\nb,"Hi.\nc,\n', 2, "a quotation mark begins a cell, and none ends it"),
        ('id,text\nb,"' + "x" * (1 << 20) + '\n"\n', 2, "a cell has more than 1048576 characters"),
        ("id,text\nb,x\ry\n", 2, "there is a carriage return amid a cell"),
        ('"id"x,text\nb,\n', 1, "a cell goes on behind"),
    ],
)
def test_tables_that_cannot_be_read(content: str, line: int, says: str) -> None:
    (error,) = errors_of(content)
    assert error.startswith(f"jobs.csv:{line}: {says}")


def test_where_reading_ends_early_there_may_be_more_errors() -> None:
    for content, says in (
        ('id,text\na,\nb,"Hi.\n', "at least 2 errors"),
        ("id,text\na,\nb\n", "2 errors"),
    ):
        with pytest.raises(InputErrors, match=f"^{says}, so nothing was done"):
            jobs_of(content)


def test_all_faults_of_one_row() -> None:
    content = '{"id": "a/b", "text": "", "seed": -1, "sigma": "x", "tempo": 1, "pitch": 2}\n'
    errors = errors_of(content, "x.jsonl")
    for error, part in zip(
        errors,
        [
            "unknown columns 'tempo', 'pitch'; there are", "column 'text' is empty",
            "the file name 'a/b.wav' has '/' in it", "column 'seed': -1", "column 'sigma': 'x'",
        ],
        strict=True,
    ):  # fmt: skip
        assert error.startswith(f"x.jsonl:1: {part}")


def test_an_unknown_column_is_named_once() -> None:
    content = "id,text,tempo\na,Hi.,2\nb,,3\n"
    first, second = errors_of(content, "jobs.csv")
    assert first.startswith("jobs.csv:2: unknown column 'tempo'")
    assert second.startswith("jobs.csv:3: column 'text' is empty")


# Names


@pytest.mark.parametrize(
    "id_",
    [
        "..", ".", ".hidden", "-rf", "a/b", "a\\b", "a:b", "a*b", 'a"b', "a\tb", "a\0b", "nul",
        "COM1", "com¹", "Lpt9.x", "aux .x", "x" * 237, "é" * 119, "x.", "x ", " x", "~x", "",
    ],
)  # fmt: skip
def test_bad_names(id_: str) -> None:
    with pytest.raises(ValueError, match=r"\A(the file name|--name)"):
        NameTemplate("{id}.wav").name(1, id_, id_)


@pytest.mark.parametrize(
    "id_", ["a b", "CONTENT", "x.y", "ü", "你好", "x" * 236, "a-b", "com", "#1"]
)
def test_good_names(id_: str) -> None:
    assert NameTemplate("{id}.wav").name(1, id_, id_) == f"{id_}.wav"


@given(st.text())
def test_names_never_leave_their_folder(id_: str) -> None:
    try:
        name = NameTemplate("{id}.wav").name(1, id_, id_)
    except ValueError:
        return
    assert PurePosixPath(name).name == name
    assert "\\" not in name
    assert not name.startswith(".")
    assert len(name.encode()) <= 240


@pytest.mark.parametrize(
    ("one", "other"),
    [("a", "A"), ("é", unicodedata.normalize("NFD", "é")), ("straße", "STRASSE"), ("É", "é")],
)
def test_names_that_a_file_system_may_confuse(one: str, other: str) -> None:
    names = Names("the file name")
    names.add(f"{one}.wav", 1)
    with pytest.raises(ValueError, match="is that of line 1 too"):
        names.add(f"{other}.wav", 2)
    names.add("b.wav", 3)


@pytest.mark.parametrize(
    "template",
    [
        "x", "{index}.doc", "{index", "{name}.wav", "{0}.wav", "{id.x}.wav", "{id:d}.wav", "{}.wav",
        "{index:{id}}.wav",
    ],
)  # fmt: skip
def test_bad_templates(template: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        NameTemplate(template)


@pytest.mark.parametrize("field", ["index:", "index:0", "id:>", "index:.", "stem:x<"])
@pytest.mark.parametrize("width", ["241", "9999999999", "9" * 5000, "９９９９９９９９９９"])
def test_widths_that_no_name_can_have(field: str, width: str) -> None:
    with pytest.raises(UsageError, match=r"--name .* is no pattern"):
        NameTemplate(f"{{{field}{width}}}.wav")


def test_templates() -> None:
    content = "wavs/LJ001.wav|Hi.\nwavs/LJ002.wav|There.\n"
    for template, expected in (
        ("{index:03d}_{stem}.FLAC", ["001_LJ001.FLAC", "002_LJ002.FLAC"]),
        ("", ["LJ001.wav", "LJ002.wav"]),
    ):
        assert [job.path for job in jobs_of(content, "x.txt", template)] == expected
    with pytest.raises(InputErrors):
        jobs_of("One.\nTwo.\n", "x.txt", "same.wav")


# Shards


@given(st.integers(1, 50), st.integers(1, 12))
def test_shards_are_disjoint_complete_and_stable(count: int, of: int) -> None:
    jobs = jobs_of("Hi.\n" * count, "x.txt")
    shards = [choose_shard(jobs, (number, of)) for number in range(1, of + 1)]
    assert sorted(job.index for shard in shards for job in shard) == [job.index for job in jobs]
    longer = jobs_of("Hi.\n" * (count + 5), "x.txt")
    for number, shard in enumerate(shards, start=1):
        assert choose_shard(longer, (number, of))[: len(shard)] == shard


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "1/2/3", "-1/4", "1/4 "])
def test_bad_shards(text: str) -> None:
    with pytest.raises(UsageError, match="I/N"):
        parse_shard(text)
    assert parse_shard("2/4") == (2, 4)
