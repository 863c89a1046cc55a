"""Words that are said in two ways: "close the door", "close to me"; "a record", "to record"."""

from __future__ import annotations

import re

_WORDS_BEFORE = re.compile(r"(?:([a-z']+) +)?([a-z']+) +$")
_WORD_AFTER = re.compile(r" +([a-z']+)")
_NEAR = 40  # characters that are looked at on each side: time stays linear

_BEFORE_VERBS = frozenset(
    "to will would can could shall should may might must do does did don't doesn't didn't won't"
    " wouldn't can't cannot couldn't shouldn't let's please i'll you'll he'll she'll it'll we'll"
    " they'll i'd you'd he'd she'd we'd they'd".split()
)
_SUBJECTS = frozenset("i you we they who".split())
_SUBJECTS_OF_S = frozenset("he she it who which".split())
_NOT_SUBJECTS = frozenset("are were am is was keep keeps kept bring brings".split())
_BEFORE_NOUNS = frozenset(
    "a an the this these those my your his her its our their no any some every each another such"
    " of in for with by on at from into without under per own new first last next great good big"
    " long full high old world personal public".split()
)
_BEFORE_CLAUSES = frozenset(("", "and", "or", "then", "just"))
_OBJECTS = frozenset(
    "the a an this these those my your his her its our their it them me us him all any some each"
    " every both everything something nothing".split()
)


def part_of_speech(text: str, start: int, end: int) -> str:
    """As what a word is used: "(v)" a verb, "(n)" a noun or adjective, "" if that is not clear.

    Two words in front of it and one behind it are looked at; in "close the door" it is a verb
    because a clause begins and an object follows.

    Args:
        text: what the word stands in, in any case.
        start: where the word starts.
        end: where it ends.
    """
    found = _WORDS_BEFORE.search(text[max(0, start - _NEAR) : start].lower())
    earlier, before = found.groups() if found else (None, "")
    following = _WORD_AFTER.match(text[end : end + _NEAR].lower())
    after = following[1] if following else ""
    word = text[start:end].lower()
    subjects = _SUBJECTS_OF_S if word.endswith("s") else _SUBJECTS
    is_subject = before in subjects and earlier not in _NOT_SUBJECTS
    if before in _BEFORE_VERBS or (is_subject and word != "read"):  # "I read it" is often past
        return "(v)"
    if before in _BEFORE_NOUNS or after == "of":
        return "(n)"
    if before in _BEFORE_CLAUSES and after in _OBJECTS:
        return "(v)"
    return ""
