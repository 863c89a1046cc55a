"""Addresses on the network: web pages, e-mail, hashtags, names with an at sign, paths and files."""

from __future__ import annotations

import re

from ttscli.text.normalize import words
from ttscli.text.normalize.letters import spelled
from ttscli.text.normalize.rules import Rule, glued

_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", ":": "colon", "?": "question mark",
    "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus", "~": "tilde", "@": "at",
    "\\": "backslash", "!": "exclamation mark", ",": "comma", ";": "semicolon", "*": "star",
    "$": "dollar",
}  # fmt: skip
_SPELLED = frozenset("ai api au ca de eu faq ibm id io nyc ogg py ru uk url us usb wav".split())
"""Words of addresses with vowels that are said letter by letter all the same."""
_SAID = {
    "txt": "text",
    "exe": "E X E",
    "jpg": "jay peg",
    "jpeg": "jay peg",
    "json": "jason",
    "localhost": "local host",
    "gif": "gif",
    "github": "git hub",
    "youtube": "you tube",
    "yaml": "yammel",
    "gov": "gov",
    "edu": "E D U",
    "usr": "user",
    "tmp": "temp",
}
_TOPS = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|co|uk|us|de|fr|eu|ca|au|nz|jp|cn|ru|ch|at|nl|"
    "be|es|it|se|no|dk|fi|pl|br|in|ie|tv|me|app|dev|xyz|online|site|store|blog|museum|ly|gg|f"
    "m|to"
)
_ENDINGS = (
    "txt|pdf|md|py|js|ts|html?|css|csv|tsv|jsonl?|xml|ya?ml|toml|docx?|xlsx?|pptx?|png|jpe?g|"
    "gif|svg|wav|mp[34]|flac|ogg|zip|tar|gz|exe|sh|cfg|ini|log|sql|cpp|hpp|rs|go|java|so|dll|"
    "lock|rb|php"
)
_PIECE = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]|[0-9]+|[^\w\s]|_|\w+")


def _said(address: str) -> str:
    read = []
    for piece in _PIECE.findall(address):
        if piece.isascii() and piece.isdigit():
            read.append(
                words.in_pairs(piece)
                if len(piece) < 5 and piece[0] != "0"
                else words.one_by_one(piece)
            )
        elif piece.lower() in _SAID:
            read.append(_SAID[piece.lower()])
        elif (
            piece.lower() in _SPELLED
            or (len(piece) == 1 and piece.isalpha())
            or (
                piece.isascii()
                and piece.isalpha()
                and len(piece) < 6
                and not set(piece.lower()) & set("aeiouy")
            )
        ):
            read.append(spelled(piece.lower()))
        else:
            read.append(_SIGNS.get(piece, piece))
    return " ".join(read)


def _url(match: re.Match[str]) -> str:
    address = match["address"].rstrip("/")
    return _said(address)


def _email(match: re.Match[str]) -> str:
    return _said(match[0].removeprefix("mailto:"))


def _hashtag(match: re.Match[str]) -> str:
    return "hashtag " + _said(match[1]).replace("underscore ", "")


def _handle(match: re.Match[str]) -> str | None:
    if glued(match):
        return None
    return "at " + _said(match[1])


def _path(match: re.Match[str]) -> str | None:
    if glued(match):
        return None
    return _said(match[0].rstrip("/"))


def _file(match: re.Match[str]) -> str:
    return _said(match[0])


# What ends a sentence or a clause is no part of an address.
_TAIL = r"(?:[/?#](?:[\w/?#%&=+~@:;,.!$*-]{0,300}[\w/=&#+-])?/?)?"
_HOST = r"[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}"
WORD_RULES = (
    Rule("web address", rf"(?:https?|ftp)://(?P<address>{_HOST}(?::[0-9]{{1,5}})?{_TAIL})", _url),
    Rule(
        "e-mail",
        r"(?:mailto:)?[A-Za-z0-9][\w.+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,6}",
        _email,
    ),
    Rule("web address", rf"(?P<address>www\.{_HOST}(?::[0-9]{{1,5}})?{_TAIL})", _url),
    Rule(
        "web address",
        rf"(?P<address>[A-Za-z0-9-]{{1,63}}(?:\.[A-Za-z0-9-]{{1,63}}){{0,6}}\.(?:{_TOPS})(?![A-Za-z0-9@-]|\.[a-z])(?::[0-9]{{1,5}})?{_TAIL})",
        _url,
    ),
    Rule(
        "file",
        rf"[A-Za-z0-9][\w-]{{0,60}}(?:\.[\w-]{{1,20}}){{0,3}}\.(?:{_ENDINGS})(?![A-Za-z0-9])",
        _file,
    ),
    Rule("file", r"[A-Za-z][\w-]{2,60}\.[ch](?![A-Za-z0-9])", _file),
    Rule("path", r"[A-Z]:\\[\w\\.-]{0,200}", _file),
)
SIGN_RULES = (
    Rule("name", r"\.NET(?![A-Za-z0-9])", lambda _match: "dot net"),
    Rule("hashtag", r"#([^\W\d_]\w{0,100})", _hashtag),
    Rule("name", r"@([A-Za-z][\w]{0,60})", _handle),
    Rule("path", r"~?/[\w.-]{1,60}(?:/[\w.-]{1,60}){1,12}/?(?<!\.)", _path),
    Rule("web address", rf"\.(?:{_TOPS})(?![A-Za-z0-9])", lambda match: _said(match[0])),
)
FIGURE_RULES = WORD_RULES[1:2] + WORD_RULES[3:5]
