"""HTML's names and numbers for characters, read together with the word that they are part of."""

from __future__ import annotations

import re

from ttscli.text.normalize.rules import Rule, ends_text

_ENTITY = r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});"
_PART = r"(?:[\w']|[.,](?=[0-9])){0,40}"
_SCALE = r"(?:\s(?:thousand|million|billion|trillion)(?![A-Za-z]))?"
_ALONE = {
    "&": "and", "<": "is less than", ">": "is greater than", "\xa0": " ", '"': "", "'": "'",
    "’": "'", "—": ",", "–": ",", "…": ",",
}  # fmt: skip


def _decoded(match: re.Match[str]) -> str | None:
    from html import unescape

    from ttscli.text.normalize.scanner import Normaliser
    from ttscli.text.spans import spoken

    characters = [unescape(entity) for entity in re.findall(_ENTITY, match[0])]
    # Of "&notit;", unescape decodes "&not", and leaves the rest.
    if any(c.endswith(";") and len(c) > 1 for c in characters):
        return None
    text = re.sub(_ENTITY, lambda entity: unescape(entity[0]), match[0])
    if text == "…" and ends_text(match):
        return "."
    if text in _ALONE:
        return _ALONE[text]
    if set(characters) & set("<>…"):
        return None  # one by one: a tag that is shown is no markup
    return spoken(Normaliser().spans(text))


WORD_RULES = (Rule("entity", rf"{_PART}(?:{_ENTITY}{_PART}){{1,8}}{_SCALE}", _decoded),)
"""Tried where a word or a figure begins."""

SIGN_RULES = (
    Rule("entity", "(?=&)" + WORD_RULES[0].pattern, _decoded),
    Rule("entity", _ENTITY, _decoded),
)
"""Tried where a sign begins."""
