"""The flight in a sentence: two dates, a span, or a start with a length."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, datetime, timedelta
from typing import NamedTuple

from adplatform.orchestrator.language.scan import Sentence

MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
WEEKDAY = r"(?:mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:rs(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)\b"
DAY = r"\d{1,2}(?:st|nd|rd|th)?"
YEAR = r"(?:,?\s+\d{4}\b)"
TO = r"\s*(?:to|until|till|through|thru|up to|and|-)\s*(?:the\s+)?"
EXPRESSION = (
    rf"\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|\b{DAY}\s+(?:of\s+)?{MONTH}{YEAR}?|\b{MONTH}\s+{DAY}\b(?!\s*(?:%|k\b)){YEAR}?|"
    rf"\b(?:(?:next|this|coming)\s+)?{WEEKDAY}|\b(?:today|tomorrow|now|immediately)\b"
)
SPAN = rf"\b(?:next|this)\s+(?:month|week(?:end)?)\b|\b{MONTH}{YEAR}?"
VAGUE = rf"\b(?:early|mid|late|(?:the\s+)?(?:end|beginning|start|middle|(?:first|second|last)\s+(?:half|week|days?))\s+of)[\s-]+(?:next\s+month|{MONTH}{YEAR}?)"
NUMBERS = ["a", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
LENGTH = rf"\b(?P<n>\d{{1,3}}|an?|{'|'.join(NUMBERS)})[\s-]+(?P<unit>day|week|fortnight|month)s?\b"
END_BEFORE = re.compile(r"\b(?:until|till|through|by|before|ending|ends?|up to|to)\s*(?:on\s+)?(?:the\s+)?$", re.I)
LONGEST_ROLL = 183
"""Days: a flight over the turn of the year that is longer is two dates in the wrong order."""


class Found(NamedTuple):
    """A date expression: its first and last day (equal for a single day), whether it named its year, whether it ends the flight."""

    first: date
    last: date
    has_year: bool
    is_end: bool
    words: str


class Problem(Exception):
    """Why an expression is no date."""


def read_flight(sentence: Sentence, today: date) -> tuple[date, date] | None:
    """First and last day on air, taken out of the sentence; None with the reason noted where they can't be told."""
    try:
        return _checked(sentence, _flight(sentence, today), today)
    except Problem as problem:
        sentence.doubts(str(problem))
    except (ValueError, OverflowError):
        sentence.doubts("the flight dates lie outside the calendar; write them as 2026-12-01 to 2026-12-14")
    return None


def _flight(sentence: Sentence, today: date) -> tuple[date, date] | None:
    if vague := re.search(VAGUE, sentence.text, re.I):
        raise Problem(f"'{sentence.take(vague)}' is no date; give first and last day")
    found = _short_range(sentence, today) or _dates(sentence, today)
    length = _length(sentence)
    if len(found) > 2:
        raise Problem(f"{len(found)} dates ({', '.join(f.words for f in found)}); give first and last day alone")
    if len(found) == 2:
        return _two(found[0], found[1], today)
    if len(found) == 1:
        return _one(sentence, found[0], length, today)
    if length and length[2]:
        return today, _after(today, length)
    sentence.lacks("flight dates" if length is None else "start date", "'from 1 to 14 December'")
    return None


def _one(
    sentence: Sentence, only: Found, length: tuple[int, str, bool] | None, today: date
) -> tuple[date, date] | None:
    if only.first != only.last and length is None and not only.is_end:
        return max(only.first, today), only.last
    if length is not None:
        if only.is_end:
            count, unit, _ = length
            if unit == "month":
                raise Problem(f"a length in months before {only.words}: give the start date")
            return only.last - timedelta(days=count * {"day": 1, "week": 7, "fortnight": 14}[unit] - 1), only.last
        return only.first, _after(only.first, length)
    sentence.lacks(
        "start date" if only.is_end else "end date", "'from 1 to 14 December' or 'for two weeks from Monday'"
    )
    return None


def _two(a: Found, b: Found, today: date) -> tuple[date, date]:
    if b.has_year and not a.has_year:
        a = a._replace(first=_in_year_before(a.first, b.last))
    start, end = a.first, b.last
    if a.has_year and not b.has_year:
        end = _day(b.words, start, last=True)[1] if b.words else end
    if end < start and not (a.has_year and b.has_year):
        if start.year > end.year and _moved(start, -1) <= today <= end:
            raise Problem(f"{a.words} is past; give the year, or a start from today on")
        rolled = _moved(end, 1)
        if start.month != end.month and (rolled - start).days <= LONGEST_ROLL and not b.has_year:
            return start, rolled
    return start, end


def _checked(sentence: Sentence, flight: tuple[date, date] | None, today: date) -> tuple[date, date] | None:
    if flight is None:
        return None
    start, end = flight
    if end < start:
        raise Problem(f"flight dates are reversed ({start} to {end}); swap them")
    if start < today:
        raise Problem(f"the flight starts on {start}, before today ({today}); give dates from today on")
    return flight


def _short_range(sentence: Sentence, today: date) -> list[Found]:
    """'1 to 14 December' and 'December 1-14': one month for both days."""
    for pattern in (
        rf"\b(?P<a>{DAY}){TO}(?P<b>{DAY})\s+(?:of\s+)?(?P<m>{MONTH})(?P<y>{YEAR})?",
        rf"\b(?P<m>{MONTH})\s+(?P<a>{DAY}){TO}(?P<b>{DAY})\b(?!\s+{MONTH})(?P<y>{YEAR})?",
    ):
        if match := re.search(pattern, sentence.text, re.I):
            m, year = match.group("m"), match.group("y") or ""
            words = [f"{match.group(x)} {m}{year}" for x in "ab"]
            sentence.take(match)
            days = [_day(w, today) for w in words]
            return [Found(d[0], d[1], bool(year), i == 1, w) for i, (d, w) in enumerate(zip(days, words, strict=True))]
    return []


def _dates(sentence: Sentence, today: date) -> list[Found]:
    found: list[Found] = []
    for match in list(re.finditer(f"{EXPRESSION}|{SPAN}", sentence.text, re.I)):
        words, before = match.group(0), sentence.text[: match.start()]
        if _is_no_date(words, before):
            continue
        is_end = bool(END_BEFORE.search(before)) or (bool(found) and bool(re.search(r"\s-\s*$|\sand\s*$", before)))
        first, last = _day(words, today, last=is_end)
        found.append(Found(first, last, bool(re.search(r"\d{4}|\d[./]\d+[./]\d", words)), is_end, words))
        sentence.take(match)
    return found


def _is_no_date(words: str, before: str) -> bool:
    """'may' and 'march' are verbs, 'sun' and 'sat' are words, unless written or introduced as dates."""
    if words.lower() in {"may", "march", "mar", "sun", "sat", "wed", "dec", "now"}:
        introduced = re.search(
            r"\b(?:in|during|throughout|from|to|until|till|through|by|for|starting|on|and|all)\s*$|-\s*$", before, re.I
        )
        return not introduced
    return False


def _day(words: str, base: date, last: bool = False) -> tuple[date, date]:
    """First and last day that an expression means, the next one to come where it names no year."""
    lower = " ".join(words.lower().replace(",", " ").split())
    if lower in {"now", "immediately"}:
        return base, base
    if span := re.fullmatch(r"(next|this) (month|week|weekend)", lower):
        return _relative_span(span.group(1), span.group(2), base)
    if month := re.fullmatch(rf"({MONTH})(?: (\d{{4}}))?", lower):
        number = next(i for i, m in enumerate(MONTHS, 1) if m.startswith(month.group(1)[:3]))
        year = int(month.group(2)) if month.group(2) else base.year + (number < base.month)
        return date(year, number, 1), date(year, number, monthrange(year, number)[1])
    if numeric := re.fullmatch(r"(\d{1,2})[./](\d{1,2})[./](\d{2,4})", lower):
        return _numeric(words, *(int(x) for x in numeric.groups()))
    import dateparser

    settings = {"RELATIVE_BASE": datetime(base.year, base.month, base.day), "PREFER_DATES_FROM": "future"}
    plain = re.sub(
        r"^(?:next|this|coming) |(?<=\d)(?:st|nd|rd|th)\b| of (?=\w)", lambda m: " " if "of" in m.group() else "", lower
    )
    parsed = dateparser.parse(plain, languages=["en"], settings=settings)
    if parsed is None:
        raise Problem(f"'{words}' is no date of the calendar")
    return parsed.date(), parsed.date()


def _relative_span(which: str, unit: str, base: date) -> tuple[date, date]:
    if unit == "month":
        first = base.replace(day=1) if which == "this" else (base.replace(day=28) + timedelta(days=4)).replace(day=1)
        return first, first.replace(day=monthrange(first.year, first.month)[1])
    monday = base - timedelta(days=base.weekday()) + timedelta(days=7 * (which == "next"))
    return (monday + timedelta(days=5 if unit == "weekend" else 0)), monday + timedelta(days=6)


def _numeric(words: str, a: int, b: int, year: int) -> tuple[date, date]:
    year += 2000 if year < 100 else 0
    if a <= 12 and b <= 12 and a != b and "." not in words:
        raise Problem(
            f"'{words}' may be day/month or month/day; write {year}-{b:02d}-{a:02d} or {year}-{a:02d}-{b:02d}"
        )
    month, day = (b, a) if b <= 12 else (a, b)
    try:
        return date(year, month, day), date(year, month, day)
    except ValueError as error:
        raise Problem(f"'{words}' is no date of the calendar") from error


def _length(sentence: Sentence) -> tuple[int, str, bool] | None:
    """Count, unit, and whether it starts now ('the next two weeks')."""
    match = re.search(
        rf"(?P<cue>\b(?:for|over|during|lasting|runs?|running|within)?\s*(?:the\s+)?(?P<next>next|coming)?\s*){LENGTH}",
        sentence.text,
        re.I,
    )
    if match is None:
        return None
    word = match.group("n").lower()
    count = int(word) if word.isdigit() else max(1, NUMBERS.index("a" if word == "an" else word))
    now = bool(match.group("next"))
    sentence.take(match)
    return count, match.group("unit").lower(), now


def _after(start: date, length: tuple[int, str, bool]) -> date:
    """Last day of a flight of that length."""
    count, unit, _ = length
    if unit != "month":
        return start + timedelta(days=count * {"day": 1, "week": 7, "fortnight": 14}[unit] - 1)
    total = start.month - 1 + count
    year, month = start.year + total // 12, total % 12 + 1
    return date(year, month, min(start.day, monthrange(year, month)[1])) - timedelta(days=1)


def _moved(day: date, years: int) -> date:
    year = day.year + years
    return day.replace(year=year, day=min(day.day, monthrange(year, day.month)[1]))


def _in_year_before(day: date, end: date) -> date:
    """The latest such day that is not after ``end``; the same year where the two are reversed within one month."""
    same = _moved(day, end.year - day.year)
    return same if same <= end or same.month == end.month else _moved(same, -1)
