"""Words that are said in two ways: "close the door", "close to me"; "a record", "to record".

Rules of their neighbours, for a voice's lexicon that has such words twice. They know no grammar:
what they cannot tell is left to the word's usual pronunciation.
"""

from __future__ import annotations

import re

_WORDS_BEFORE = re.compile(r"(?:([a-z']+) +)?(?:([a-z']+) +)?([a-z']+) +$")
_WORD_AFTER = re.compile(r" +([a-z']+)")
_NEAR = 60  # characters that are looked at on each side: time stays linear


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_ADVERBS = _words("not never always also often still just really even only")
_AUXILIARIES = _words("do does did will would can could shall should may might must")
_BEFORE_VERBS = _AUXILIARIES | _words(
    "to don't doesn't didn't won't wouldn't can't cannot couldn't shouldn't let's please i'll"
    " you'll he'll she'll it'll we'll they'll i'd you'd he'd she'd we'd they'd"
)
_SUBJECTS = _words("i you we they who")
_SUBJECTS_OF_S = _words("he she it who which")
_AFTER_AUXILIARIES = _SUBJECTS | _SUBJECTS_OF_S | _words("this that")
_OBJECTS = _words(
    "the a an this these those my your his her its our their it them me us him all any some each"
    " every both everything something nothing"
)
# "are you close", "I want you close": the pronoun is no subject of what follows it.
_BEFORE_OBJECTS = _words(
    "are were am is was keep keeps kept bring brings brought hold holds held want wants wanted make"
    " makes made get gets got give gives gave send sends sent find finds found have has had thank"
)
# "listen to live music", "due to imports": what follows is no infinitive.
_BEFORE_TO_A_NOUN = _words(
    "due next according subject related relation compared back exposed access listen listened"
    " listening talk talked talking addition similar opposed close"
)
_BEFORE_NOUNS = _words(
    "a an the this these those my your his her its our their no any some every each another such"
    " many few several two three little much what of in for with by on at from into without under"
    " per own new first last next great good big long full high old world personal public"
)
_BEFORE_CLAUSES = _words("and or then")
# What a word beside them is, whatever else is around it.
_VERB_IF_BEFORE = {"lives": _words("in at with near here there alone on by under")}
_NOUN_IF_BEFORE = {
    "live": _words("music show shows stream streams streaming broadcast concert event events tv"),
    "use": _words("case cases of"),
}
_NOUN_IF_BEHIND = {"live": _words("is are am was were be go goes going went i'm we're broadcast")}
_NOT_BEFORE_THE_NOUN = {"live": _words("long some many few no")}  # "Long live the king"


def part_of_speech(text: str, start: int, end: int) -> str:
    """As what a word is used: "(v)" a verb, "(n)" a noun or adjective, "" if that is not clear.

    Args:
        text: what the word stands in, in any case.
        start: where the word starts.
        end: where it ends.
    """
    word = text[start:end].lower()
    found = _WORDS_BEFORE.search(text[max(0, start - _NEAR) : start].lower())
    before = [other for other in found.groups() if other] if found else []
    following = _WORD_AFTER.match(text[end : end + _NEAR].lower())
    after = following[1] if following else ""
    while before and before[-1] in _ADVERBS:
        before.pop()
    earlier, last = ["", "", *before][-2:]
    if _is_noun(word, earlier, last, after):
        return "(n)"
    return "(v)" if _is_verb(word, earlier, last, after) else ""


def _is_noun(word: str, earlier: str, last: str, after: str) -> bool:
    if after in _NOUN_IF_BEFORE.get(word, ()) or last in _NOUN_IF_BEHIND.get(word, ()):
        return True
    if last == "to":
        return earlier in _BEFORE_TO_A_NOUN or _ends_in_s(word)
    if last not in _BEFORE_NOUNS or last in _NOT_BEFORE_THE_NOUN.get(word, ()):
        return after == "of" and last not in _BEFORE_VERBS and last not in _SUBJECTS
    asked = last == "this" and earlier in _AUXILIARIES  # "does this use"
    return not asked and not (last == "her" and after in _OBJECTS)  # "let her use it"


def _is_verb(word: str, earlier: str, last: str, after: str) -> bool:
    if last in _BEFORE_VERBS or (earlier in _AUXILIARIES and last in _AFTER_AUXILIARIES):
        return True
    if last == "her" or (earlier == "let" and last in _OBJECTS):
        return True
    if after in _VERB_IF_BEFORE.get(word, ()):
        return True
    if word == "read":  # "I read it" is often past
        return not last
    subjects = _SUBJECTS_OF_S if _ends_in_s(word) else _SUBJECTS
    if last in subjects and earlier not in _BEFORE_OBJECTS:
        return True
    return (not last or last in _BEFORE_CLAUSES) and after in _OBJECTS


def _ends_in_s(word: str) -> bool:
    return word.endswith("s") and not word.endswith("ss")
