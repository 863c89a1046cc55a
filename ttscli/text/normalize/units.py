"""Quantities: a number or a range with a unit, percent, degrees, feet and inches."""

from __future__ import annotations

import re

from ttscli.text.normalize import words
from ttscli.text.normalize.rules import Rule, glued, rest, word_after, word_before
from ttscli.text.normalize.words import FRACTION_SIGNS, NUMBER, SUPERSCRIPTS

_REGULAR = """
km kilometer; m meter; cm centimeter; mm millimeter; nm nanometer; µm micrometer; mi mile;
yd yard; yds yard; kg kilogram; kgs kilogram; g gram; mg milligram; µg microgram; mcg microgram;
lb pound; lbs pound; oz ounce; t ton; l liter; L liter; ml milliliter; mL milliliter;
cl centiliter; dl deciliter; dL deciliter; gal gallon; qt quart; pt pint; tsp teaspoon;
tbsp tablespoon; Tbsp tablespoon; Tsp teaspoon; s second; sec second; secs second;
ms millisecond; µs microsecond;
ns nanosecond; min minute; mins minute; h hour; hr hour; hrs hour; yr year; yrs year; mo month;
wk week; wks week; ha hectare; KB kilobyte; kB kilobyte; MB megabyte; GB gigabyte;
TB terabyte; PB petabyte; KiB kibibyte; MiB mebibyte; GiB gibibyte; TiB tebibyte; kb kilobit;
Mb megabit; Gb gigabit; V volt; mV millivolt; kV kilovolt; W watt; mW milliwatt; kW kilowatt;
MW megawatt; GW gigawatt; TW terawatt; mA milliampere; A ampere; Ah ampere-hour;
mAh milliampere-hour; Wh watt-hour; kWh kilowatt-hour; MWh megawatt-hour; GWh gigawatt-hour;
TWh terawatt-hour; J joule; kJ kilojoule; MJ megajoule; cal calorie; kcal kilocalorie; N newton;
kN kilonewton; Pa pascal; hPa hectopascal; kPa kilopascal; MPa megapascal; bar bar;
mbar millibar; dB decibel; dBA decibel; mol mole; mmol millimole; px pixel; pts point; ft foot;
in inch; Ω ohm; kΩ kiloohm; MΩ megaohm; ct carat; kt knot; kts knot; cc cubic_centimeter;
nmi nautical_mile; ly light_year; eV electronvolt; keV kiloelectronvolt; MeV megaelectronvolt;
GeV gigaelectronvolt; TeV teraelectronvolt; rad radian; F farad; pF picofarad; nF nanofarad;
µF microfarad; T tesla; mT millitesla; Sv sievert; mSv millisievert; day day; year year;
month month; hour hour; week week; person person; minute minute; second second; night night
"""
_ALIKE = {
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "THz": "terahertz",
    "mph": "miles per hour", "kph": "kilometers per hour", "kmh": "kilometers per hour",
    "kmph": "kilometers per hour", "rpm": "R P M", "fps": "frames per second", "dpi": "D P I",
    "ppm": "parts per million", "ppb": "parts per billion", "psi": "P S I",
    "mmHg": "millimeters of mercury",
    "bps": "bits per second", "kbps": "kilobits per second", "Kbps": "kilobits per second",
    "Mbps": "megabits per second", "Gbps": "gigabits per second", "bpm": "beats per minute",
    "hp": "horsepower", "mpg": "miles per gallon", "%": "percent", "‰": "per thousand",
    "‱": "per ten thousand",
    "K": "kelvin",
}  # fmt: skip
_DEGREES = {
    "°": ("degree", "degrees"), "º": ("degree", "degrees"),
    "C": "Celsius", "F": "Fahrenheit", "K": "Kelvin", "N": "north", "S": "south", "E": "east",
    "W": "west",
}  # fmt: skip
_SPACED_NEVER = frozenset(
    "A F J K N T ct day hour in minute mo month night person pt second week year".split()
)
_ATTACHED_NEVER = frozenset("FKTs")
_OF_DECADES = frozenset("the his her their my your our its early mid late".split())
_BEFORE_SECONDS = frozenset(
    "in after within for every per took takes take wait waits waited last lasts lasted about least"
    " most than next another under over exactly only just sleep".split()
)
_LASTING = frozenset(
    "timeout timeouts delay delays interval intervals limit window countdown pause pauses clip"
    " clips timer break wait".split()
)
_COMPOUND = r"[A-Za-zµμΩ%‰‱]{1,6}"


def _table() -> dict[str, tuple[str, str]]:
    table = {symbol: (name, name) for symbol, name in _ALIKE.items()}
    for entry in _REGULAR.replace("\n", " ").split(";"):
        symbol, name = entry.split()
        name = name.replace("_", " ")
        many = {"foot": "feet", "inch": "inches", "person": "people"}.get(name, name + "s")
        table[symbol] = (name, many)
    return table


UNITS = _table()
"""Symbols to the name of one and of many."""

_POWERS = {"2": "square", "3": "cubic", "²": "square", "³": "cubic"}


def _unit(match: re.Match[str]) -> tuple[str, str] | None:
    """The name of one and of many of a match's unit."""
    area, power, per, per_power = match.group("area", "power", "per", "per_power")
    symbol = match["symbol"].replace("μ", "µ")
    spaced = match["space"] != ""
    if symbol not in UNITS:
        return None
    if not (area or power or per) and symbol in (
        _SPACED_NEVER if spaced and match["space"] != "-" else _ATTACHED_NEVER
    ):
        dotted = symbol == "in" and match["dot"] and not rest(match).lstrip()[:1].islower()
        if not dotted and not (symbol == "s" and not spaced and _is_time(match)):
            return None
    one, many = UNITS[symbol]
    kind = {"sq": "square ", "cu": "cubic ", "fl": "fluid "}.get((area or "").strip(" ."), "")
    if power:
        kind = _POWERS[power] + " "
    tail = ""
    if per:
        per = per.replace("μ", "µ")
        if per not in UNITS:
            return None
        what = UNITS[per][0]
        if per_power:
            what = f"{what} squared" if per == "s" else f"{_POWERS[per_power]} {what}"
        tail = f" per {what}"
    return kind + one + tail, kind + many + tail


def _is_time(match: re.Match[str]) -> bool:
    """Whether "30s" are seconds, and not a decade or several things with a number for a name."""
    before, figure = word_before(match), match["high"] or match["low"]
    if word_after(match).lower() in (_LASTING | {"later", "ago"}):
        return True
    if before.lower() in _OF_DECADES:
        return False
    if before.lower() in _BEFORE_SECONDS or "." in figure:
        return True
    plural = len(figure) > 2 or (figure[-1] == "0" and figure >= "20")
    if plural:  # "80s music", "two 747s"
        alone = match.start() == 0 and not rest(match).strip(" .!?")
        return len(figure) == 2 and alone
    return not any(map(str.isupper, before))  # "iPhone 5s"


def _rate(match: re.Match[str]) -> str:
    return f"{UNITS[match[1]][1]} per {UNITS[match[2]][0]}"


def _figure(figure: str) -> str:
    if figure[-1] in FRACTION_SIGNS:
        top, bottom = FRACTION_SIGNS[figure[-1]].split("/")
        whole = figure[:-1].strip()
        return words.mixed(whole, top, bottom) if whole else words.fraction(top, bottom)
    found = re.fullmatch(r"(?:([0-9]+)[ -])?([0-9]{1,3})/([0-9]{1,3})", figure)
    if "10" in figure and ("^" in figure or figure[-1] in "⁰¹²³⁴⁵⁶⁷⁸⁹"):
        factor, _, exponent = re.sub(r"\s", "", figure).replace("x", "×").partition("×10")
        power = words.power(exponent.translate(SUPERSCRIPTS).lstrip("^"))
        return f"{words.number(factor)} times ten {power}"
    if found:
        return words.mixed(*found.groups()) if found[1] else words.fraction(found[2], found[3])
    return words.number(figure)


def _quantity(match: re.Match[str]) -> str | None:
    unit = _unit(match)
    if unit is None:
        return None
    low, high = match["low"], match["high"]
    joined = match["space"] == "-" or word_after(match).lower() in _LASTING
    small = ("/" in low and " " not in low) or low in FRACTION_SIGNS
    one = unit[0] if joined or (not high and (low == "1")) else unit[1]
    if small and not high:
        one = (
            unit[0]
            if unit[0] == unit[1]
            else f"of a{'n' if unit[0][0] in 'aeio' else ''} {unit[0]}"
        )
        if _figure(low) == "one half":
            return (
                f"half a{'n' if unit[0][0] in 'aeio' else ''} {unit[0]}"
                if unit[0] != unit[1]
                else f"one half {unit[0]}"
            )
    sign = {
        "-": "minus ",
        "−": "minus ",
        "+": "plus ",
        "±": "plus or minus ",
        "~": "about ",
        "<": "less than ",
        ">": "more than ",
        "": "",
    }[match["sign"] or ""]
    if match["sign"] in ("-", "−") and glued(match):
        return None
    spoken = _figure(low)
    if high:
        spoken += f" to {_figure(high)}"
    joiner = "-" if joined and " " not in one else " "
    return f"{sign}{spoken}{joiner}{one}"


def _degrees(match: re.Match[str]) -> str | None:
    sign = {"-": "minus ", "−": "minus ", "+": "plus ", "±": "plus or minus ", "": ""}[
        match["sign"] or ""
    ]
    if sign and glued(match):
        return None
    low, high, scale = match["low"], match["high"], match["scale"] or ""
    if match["mark"] in "℃℉":
        scale = "C" if match["mark"] == "℃" else "F"
    spoken = words.number(low)
    if high:
        spoken += f" to {'minus ' if match['high_sign'] else ''}{words.number(high)}"
    name = "degree" if low == "1" and not high else "degrees"
    return f"{sign}{spoken} {name} {_DEGREES[scale] if scale else ''}".rstrip()


def _feet(match: re.Match[str]) -> str:
    feet, inches = match[1], match[2]
    spoken = f"{words.cardinal(feet)} {'foot' if feet == '1' else 'feet'}"
    if inches:
        spoken += f" {words.number(inches)} {'inch' if inches == '1' else 'inches'}"
    return spoken


def _inches(match: re.Match[str]) -> str | None:
    near = match.string[max(0, match.start() - 200) : match.start()]
    if near.count('"') % 2 == 1 and match[2] == '"':
        return None  # the figure ends a quotation
    return f"{_figure(match[1])} {'inch' if match[1] == '1' else 'inches'}"


def _coordinates(match: re.Match[str]) -> str:
    spoken = f"{words.number(match[1])} degrees {words.number(match[2])} minutes"
    if match[3]:
        spoken += f" {words.number(match[3])} seconds"
    return f"{spoken} {_DEGREES[match[4]] if match[4] else ''}".rstrip()


def _duration(match: re.Match[str]) -> str:
    parts = zip(("hour", "minute", "second"), match.groups(), strict=True)
    return " ".join(
        f"{words.cardinal(count)} {name}{'' if count == '1' else 's'}"
        for name, count in parts
        if count
    )


def _scaled(match: re.Match[str]) -> str | None:
    from ttscli.text.normalize.money import SCALES

    if match["short"] in ("k",) and len(match["low"]) > 4:
        return None
    if match["short"] == "m" and word_before(match) == "within":
        return None  # a distance, perhaps
    spoken = f"{words.number(match['low'])}"
    return f"{spoken} {SCALES[match['short'].lower()]}"


# What there may be millions of: "1m people".
_MANY = (
    "people|users|views|viewers|followers|subscribers|members|customers|visitors|downloads|copies"
    "|votes|voters|jobs|barrels|tons|tonnes|dollars|euros|pounds|residents|children|workers"
)
_SIGN = r"(?P<sign>[-−+±~<>]?)"
_FIGURE = (
    rf"{NUMBER}\s?[x×]\s?10(?:\^-?[0-9]{{1,4}}|[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{{1,4}})|(?:[0-9]{{1,4}}[ -])?["
    rf"0-9]{{1,3}}/[0-9]{{1,3}}(?![0-9/])|[0-9]{{0,4}} ?[{''.join(FRACTION_SIGNS)}]|{NUMBER}|\."
    rf"[0-9]{{1,20}}"
)
_QUANTITY = (
    _SIGN + rf"(?P<low>{_FIGURE})(?:\s?%?\s?[-–]\s?(?P<high>{NUMBER}))?(?P<space>[\s-]?)"
    rf"(?P<area>(?:sq|cu|fl)\.?\s)?(?P<symbol>{_COMPOUND})(?P<power>[²³23])?"
    rf"(?:/(?P<per>[A-Za-zµμ]{{1,6}})(?P<per_power>[²³23])?)?(?![A-Za-z0-9²³/'])(?P<dot>"
    r"(?:(?<=in)|(?<=ft)|(?<=lbs)|(?<=lb)|(?<=oz)|(?<=min)|(?<=sec)|(?<=hrs)|(?<=yd)|(?<=mi)|(?<=hr))"
    r"\.|(?:(?<=km)|(?<=kg)|(?<=tsp)|(?<=tbsp)|(?<=Tbsp)|(?<=gal)|(?<=qt)|(?<=ml))\.(?=\s[a-z]))?"
)
_TEMPERATURE = (
    r"(?P<sign>[-−+±]?)"
    + rf"(?P<low>{NUMBER})(?:\s?°?[CF]?\s?[-–]\s?(?P<high_sign>-?)(?P<high>{NUMBER}))?\s?"
    r"(?P<mark>[°º℃℉])(?:\s?(?P<scale>[CFKNSEW])(?![A-Za-z]))?"
)

RULES = (
    Rule("feet", r"([0-9]{1,3})['′]\s?([0-9]{1,2}(?:\.[0-9])?)(?:\"|″|'')", _feet),
    Rule("feet", r"([0-9]{1,5})['′](?![A-Za-z0-9])()", _feet),
    Rule("feet", r"([0-9]{1,3})\s?ft\.?\s([0-9]{1,2})\s?in(?:\.|(?![A-Za-z0-9]))", _feet),
    Rule("inches", rf"({_FIGURE})(\"|″)", _inches),
    Rule(
        "coordinates",
        r"([0-9]{1,3})°\s?([0-9]{1,2})['′]\s?(?:([0-9.]{1,6})(?:\"|″)\s?)?([NSEW])?(?![A-Za-z])",
        _coordinates,
    ),
    Rule("degrees", _TEMPERATURE, _degrees),
    Rule("duration", r"([0-9]{1,3})h\s?([0-9]{1,2})(?:min|m)?()(?![A-Za-z0-9])", _duration),
    Rule(
        "duration",
        r"(?:([0-9]{1,3})h\s?)?([0-9]{1,3})m(?:in)?\s?([0-9]{1,2})s(?![A-Za-z0-9])",
        _duration,
    ),
    Rule("number", rf"(?P<low>{NUMBER})(?P<short>m)(?=\s(?:{_MANY})(?![a-z]))", _scaled),
    Rule("unit", _QUANTITY, _quantity),
    Rule(
        "number",
        rf"(?P<low>{NUMBER})(?P<short>bn|mn|tn|[kM]|(?<=[.][0-9])B)(?![A-Za-z0-9])",
        _scaled,
    ),
)
WORD_RULES = (
    Rule(
        "unit",
        r"(km|mi|m|cm|mm|ft|[kKMGT]i?B|[kMG]b|mL|ml|L|l|kg|mg|g|kWh|px)/"
        r"(hr|h|sec|s|min|day|mL|ml|L|l|kg|m)(?![A-Za-z0-9²³/'])",
        _rate,
    ),
)
SIGN_RULES = (
    Rule("degrees", r"(?=[-−+±])" + _TEMPERATURE, _degrees),
    Rule("unit", rf"(?=[-−+±~<>.{''.join(FRACTION_SIGNS)}])" + _QUANTITY, _quantity),
)
