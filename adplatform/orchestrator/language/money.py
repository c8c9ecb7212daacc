"""Money in a sentence: the budget, the most a click or conversion may cost, and prices that are neither."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from adplatform.contracts.brief import Objective
from adplatform.orchestrator.language.scan import Sentence

SYMBOLS = {"€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₺": "TRY", "₽": "RUB", "₴": "UAH", "zł": "PLN", "Fr.": "CHF",
           "US$": "USD", "A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "NZ$": "NZD", "HK$": "HKD", "S$": "SGD", "R$": "BRL"}  # fmt: skip
SHARED = {
    "$": ("USD", ("AUD", "CAD", "NZD", "HKD", "SGD", "MXN")),
    "dollar": ("USD", ("AUD", "CAD", "NZD", "HKD", "SGD")),
    "¥": ("JPY", ("CNY",)),
    "pound": ("GBP", ("EGP",)),
}
"""Signs of several currencies: the one meant where nothing is said, and those meant where it is the house's own."""
KRONE = ("SEK", "NOK", "DKK", "ISK")
COLLOQUIAL = {"euro": "EUR", "bucks": "USD", "quid": "GBP", "yen": "JPY", "rupee": "INR", "zloty": "PLN", "yuan": "CNY"}
NUMBER = r"\d{1,3}(?:[ ,.'\u00a0\u202f]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d+)?"
TIMES = {
    "k": 1_000,
    "thousand": 1_000,
    "grand": 1_000,
    "m": 1_000_000,
    "mn": 1_000_000,
    "mio": 1_000_000,
    "million": 1_000_000,
}
SCALE = r"(?:\s?(?:k|grand|thousand|million|mio|mn|m)\b)"
CLICK = r"(?:click|visit|visitor)s?"
CONVERSION = r"(?:sale|order|purchase|conversion|customer|sign-?up|lead|booking|acquisition|registration|subscription|download|install)s?"
EACH = r"\s*(?:a|an|per|each|every|/|for each|for every|for a|for one)\s*"
PRICE_BEFORE = re.compile(
    r"(?:priced? (?:at|of|is)|costs?|costing|sells? (?:for|at)|selling at|worth|retails? (?:for|at)|retailing at)\s*$",
    re.I,
)
COST_BEFORE = re.compile(
    rf"(?:(?P<click>CPC|cost per {CLICK}|{CLICK} cost|price per {CLICK}|pay per {CLICK})|"
    rf"(?P<conversion>CPA|CPO|CPL|cost per {CONVERSION}|cost per action)|(?P<any>target cost))"
    r"\s*(?:of|is|at|under|below|up to|at most|max(?:imum)?|no more than|target|should be|:|=|\s)*$",
    re.I,
)
PERIODS = {"day": "day", "daily": "day", "week": "week", "weekly": "week", "month": "month", "monthly": "month"}
PERIOD_AFTER = re.compile(
    r"\s*(?:(?:a\s|per\s|each\s|every\s|/)\s*(?P<period>day|week|month)|(?P<adverb>daily|weekly|monthly))\b", re.I
)
PERIOD_BEFORE = re.compile(r"\b(?P<period>daily|weekly|monthly)\s*(?:budget|spend)?\s*(?:of|is|:)?\s*$", re.I)


class Budget(NamedTuple):
    """An amount to spend; ``period`` is 'total', 'day', 'week' or 'month'."""

    amount: Decimal
    currency: str | None
    period: str


class Cost(NamedTuple):
    """The most that one click or conversion may cost."""

    amount: Decimal
    currency: str | None
    objective: Objective | None


class Amounts(NamedTuple):
    """All money of a sentence."""

    budgets: list[Budget]
    costs: list[Cost]


@lru_cache(maxsize=1)
def currency_names() -> dict[str, str]:
    """Name or code in lower case -> ISO 4217 code: CLDR's English names of every currency of ISO 4217."""
    import pycountry
    from babel.numbers import get_currency_name

    names: dict[str, str] = {}
    for code in (c.alpha_3 for c in pycountry.currencies):
        names[code.lower()] = code
        for count in (1, 2):
            names.setdefault(get_currency_name(code, count=count, locale="en").casefold(), code)
    for word, code in COLLOQUIAL.items():
        names[word] = names[f"{word}s"] = code
    return names


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    words = sorted((re.escape(n) for n in currency_names() if len(n) > 3), key=len, reverse=True)
    codes = "|".join(n.upper() for n in currency_names() if len(n) == 3 and n.isalpha())
    common = "eur|usd|gbp|chf|jpy|sek|nok|dkk|pln|cad|aud"
    signs = "|".join(re.escape(s) for s in sorted((*SYMBOLS, "$", "¥", "kr"), key=len, reverse=True))
    before = rf"(?P<before>{signs}|\b(?:{codes}|{common}))\s?(?P<minus2>-\s?)?"
    after = rf"\s?(?P<after>{signs}|(?:{codes}|{common})\b|(?i:{'|'.join(words)}|dollars?|pounds?|bucks|quid|yen)\b)"
    cents = r"\s?(?P<cents>cents?|ct|¢|pence|p)\b"
    amount = rf"(?P<number>{NUMBER})(?P<scale>(?i:{SCALE}))?"
    marked = rf"(?P<minus>(?<![\w)])-\s?|\bminus\s)?(?:{before}{amount}|(?<![\w.,])(?P<number2>{NUMBER})(?P<scale2>(?i:{SCALE}))?(?:{after}|(?i:{cents})))"
    bare = (
        rf"(?:\b(?:budget|spend|spending|invest|investing|budgeted)\b\s*(?:of|is|:|=|up to|about|around|at most|max(?:imum)?|are|will be)?\s*"
        rf"(?P<number>{NUMBER})(?P<scale>{SCALE})?|(?<![\w.,])(?P<number2>{NUMBER})(?P<scale2>{SCALE})?(?=\s+(?:(?:total|overall|daily)\s+)?budget\b))"
        r"(?!\s*(?:weeks?|days?|months?|%|percent))"
    )
    return re.compile(marked), re.compile(bare, re.I)


def read_money(sentence: Sentence, house: str | None) -> Amounts:
    """Take all money out of the sentence. ``house`` (ISO code) decides only what a sign shared by currencies means."""
    amounts = Amounts([], [])
    marked, bare = _patterns()
    _ranges(sentence)
    for pattern in (marked, bare):
        while match := pattern.search(sentence.text):
            _one(sentence, match, amounts, house)
    _bare_costs(sentence, amounts)
    return amounts


def _ranges(sentence: Sentence) -> None:
    """'€10-20k' and 'between €10k and €20k' are no amount."""
    sign = r"(?:[€£$¥]|\b[A-Z]{3}\s)"
    number = rf"(?:{NUMBER}){SCALE}?"
    for pattern in (
        rf"{sign}\s?{number}\s?-\s?{sign}?\s?{number}(?![\w-]*\d)",
        rf"\bbetween\s+{sign}\s?{number}\s+and\s+{sign}?\s?{number}",
    ):
        while match := re.search(pattern, sentence.text):
            sentence.doubts(f"'{sentence.take(match).strip()}' is a range; say one amount")


def _one(sentence: Sentence, match: re.Match[str], amounts: Amounts, house: str | None) -> None:
    """File one amount under what it is for, and take it out with its unit."""
    before, after = sentence.text[: match.start()], sentence.text[match.end() :]
    amount, code = _amount(match, before, house)
    unit = re.match(rf"{EACH}(?:(?P<click>{CLICK})|(?P<conversion>{CONVERSION}))\b", after, re.I)
    tail = unit or PERIOD_AFTER.match(after)
    if kind := unit or COST_BEFORE.search(before):
        groups = kind.groupdict()
        which = Objective.CLICKS if groups.get("click") else Objective.CONVERSIONS if groups.get("conversion") else None
        amounts.costs.append(Cost(amount, code, which))
    elif _is_price(before, after):
        # Blanks, not a gap: what stands around a price belongs together ('our €120 trail shoes').
        sentence.text = before + " " * (match.end() - match.start()) + after
        return
    else:
        named = tail or PERIOD_BEFORE.search(before)
        budget = Budget(
            amount, code, PERIODS[(named.group("period") or named.group("adverb")).lower()] if named else "total"
        )
        if budget not in amounts.budgets:
            amounts.budgets.append(budget)
    sentence.take(match)
    rest = re.compile(re.escape(tail.group(0))).match(sentence.text, match.end()) if tail else None
    if rest:
        sentence.take(rest)


def _amount(match: re.Match[str], before: str, house: str | None) -> tuple[Decimal, str | None]:
    """Value and currency of a match of either pattern."""
    found = match.groupdict()
    number, scale = found.get("number") or found.get("number2"), found.get("scale") or found.get("scale2")
    amount = value_of(str(number), scale)
    if found.get("cents"):
        amount /= 100
    if found.get("minus") or found.get("minus2"):
        amount = -amount
    sign = found.get("before") or found.get("after")
    return amount, None if sign is None else _code(sign, before, house)


def _is_price(before: str, after: str) -> bool:
    """'our €120 shoes' and 'costs €120' name the product's price."""
    if PRICE_BEFORE.search(before):
        return True
    own = re.search(r"\b(?:our|my|their|the|a|an|new)\s*$", before, re.I)
    return bool(
        own
        and re.match(
            r"\s+(?!budget|campaign|total|spend|in\b|to\b|for\b|from\b|on\b|per\b|a\b|daily)[a-z]", after, re.I
        )
    )


def _bare_costs(sentence: Sentence, amounts: Amounts) -> None:
    """'under 0.50 a click': a cost in the budget's currency."""
    pattern = rf"(?<![\w.,])(?P<number>{NUMBER}){EACH}(?:(?P<click>{CLICK})|(?P<conversion>{CONVERSION}))\b"
    while match := re.search(pattern, sentence.text, re.I):
        which = Objective.CLICKS if match.group("click") else Objective.CONVERSIONS
        amounts.costs.append(Cost(value_of(match.group("number"), None), None, which))
        sentence.take(match)


def value_of(number: str, scale: str | None) -> Decimal:
    """A number as people write it: '2.500,00', '2,500.00', '20 000', '1.5' with 'k'."""
    from price_parser import Price

    plain = number.replace("'", "").replace("\u00a0", " ").replace("\u202f", " ")
    parsed = Price.fromstring(plain).amount
    amount = Decimal(plain.replace(",", ".").replace(" ", "")) if parsed is None else Decimal(parsed)
    amount = amount * TIMES[scale.strip().lower()] if scale else amount
    return amount.to_integral_value() if amount == amount.to_integral_value() else amount


def _code(sign: str, before: str, house: str | None) -> str | None:
    name = sign.strip().casefold()
    if name == "kr":
        return house if house in KRONE else "kr"
    if sign.strip() in SYMBOLS:
        return SYMBOLS[sign.strip()]
    for shared, (usual, others) in SHARED.items():
        if name in (shared, f"{shared}s"):
            nation = re.search(r"\b(australian|canadian|new zealand|hong kong|singapore)\s*$", before, re.I)
            named = f"{nation.group(1).casefold()} dollars" if nation else ""
            return currency_names().get(named) or (house if house in others else usual)
    return currency_names().get(name)
