"""Briefs: from a YAML file, or from a sentence. What is wrong or missing is said in one line, never guessed."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from adplatform.contracts.brief import Brief
from adplatform.contracts.errors import InputError
from adplatform.orchestrator.language.audience import read_audience
from adplatform.orchestrator.language.dates import read_flight
from adplatform.orchestrator.language.goal import read_goal, read_product
from adplatform.orchestrator.language.money import Amounts, read_money
from adplatform.orchestrator.language.scan import Sentence
from adplatform.orchestrator.language.vocabulary import Embed, Vocabulary, category_of, forms

LONGEST = 2000
MENDS = {
    "missing": "add it",
    "extra_forbidden": "take it out or mend its spelling",
    "greater_than": "give a larger figure",
    "date_from_datetime_parsing": "write it as 2026-12-01",
    "date_parsing": "write it as 2026-12-01",
    "date_type": "write it as 2026-12-01",
}


def load_brief(path: Path) -> Brief:
    """A brief from a YAML file. InputError names file, field, problem and mend in one line."""
    where = str(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(where, f"is not UTF-8 (byte {error.start})", "save it as UTF-8") from error
    except OSError as error:
        raise InputError(where, f"can't be read ({error.strerror})", "give the path of a YAML file") from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(
            f"{where}{line}", f"is no YAML ({getattr(error, 'problem', None) or 'unreadable'})", "mend the file"
        ) from error
    if content is None:
        raise InputError(where, "is empty", "write at least campaign_id, product, objective, budget and flight")
    if not isinstance(content, dict):
        raise InputError(where, f"holds a {type(content).__name__}, not fields", "write fields such as 'budget: 20000'")
    if isinstance(content.get("budget"), float):
        content["budget"] = str(content["budget"])
    return as_brief(content, where)


def as_brief(content: dict[str, Any], where: str) -> Brief:
    """Fields as a Brief; InputError with every field that is wrong, in one line."""
    try:
        return Brief.model_validate(content)
    except ValidationError as error:
        found = []
        mends = []
        for item in error.errors(include_url=False, include_context=False):
            name = ".".join(str(p) for p in item["loc"]) or "brief"
            problem = "is missing" if item["type"] == "missing" else item["msg"].removeprefix("Value error, ")
            given = item.get("input")
            shown = (
                f" (got {given!r})"
                if isinstance(given, str | int | float | date | Decimal) and item["type"] != "missing"
                else ""
            )
            found.append(f"{name}: {problem}{shown}")
            mends.append(MENDS.get(item["type"], "mend it"))
        mend = mends[0] if len(set(mends)) == 1 else "mend these fields"
        raise InputError(where, "; ".join(" ".join(f.split()) for f in found), mend) from error


def parse_sentence(
    text: str,
    *,
    today: date,
    known: Vocabulary,
    embed: Embed | None = None,
    currency: str | None = None,
    timezone: str = "UTC",
    campaign_id: str | None = None,
) -> Brief:
    """A brief from a sentence such as 'get clicks for our trail running shoes, €20k, 1 to 14 December, runners in the north'.

    Dates without a year are the next to come from ``today``. ``known`` are the data's own labels; ``embed`` maps other words to
    them where they are near enough. ``currency`` (ISO 4217) is used where the sentence states none; without it the currency is asked
    for. Raises one InputError that lists all that is missing or can be read in two ways.
    """
    sentence = Sentence.of(text)
    if not sentence.text or len(sentence.text) > LONGEST:
        raise InputError(
            "sentence",
            f"has {len(sentence.text)} characters",
            f"say what the campaign needs in 1 to {LONGEST} characters",
        )
    original = sentence.text
    content = _content(sentence, today, known, embed, currency)
    if sentence.missing or sentence.unclear or content is None:
        raise _asking(sentence)
    content["flight"]["timezone"] = timezone
    content["campaign_id"] = campaign_id or _campaign_id(
        content["product"]["name"], content["flight"]["starts_on"], original
    )
    return as_brief({**content, **_counts(original)}, "sentence")


def _content(
    sentence: Sentence, today: date, known: Vocabulary, embed: Embed | None, currency: str | None
) -> dict[str, Any] | None:
    """The brief's fields as the sentence has them, each reader in its turn; None where one is missing."""
    amounts = read_money(sentence, currency)
    flight = read_flight(sentence, today)
    costs = {c.objective for c in amounts.costs if c.objective is not None}
    category = _category(sentence, known)
    product = read_product(sentence, "|".join(forms(a) for a in known.audiences))
    goal = read_goal(sentence, costs)
    audience = read_audience(sentence, known, embed)
    category = category or (category_of(product, known, embed) if product else None)
    if product and category is None:
        sentence.lacks("category of the product", f"'category' and one of {', '.join(known.categories) or 'your own'}")
    money = _budget(sentence, amounts, flight)
    code = _currency(sentence, amounts, currency) if amounts.budgets else None
    cost = _cost(sentence, amounts)
    if product is None or flight is None or goal is None or money is None:
        return None
    return {
        "product": {"name": product, "category": category, "description": product[0].upper() + product[1:]},
        "objective": goal,
        "budget": money,
        "currency": code,
        "flight": {"starts_on": flight[0], "ends_on": flight[1]},
        "audience": audience,
        "target_cost": cost,
    }


def _category(sentence: Sentence, known: Vocabulary) -> str | None:
    """A category that is named as such ('category: sports')."""
    match = re.search(r"\b(?:product\s+)?category\s*(?:is|:)?\s*['\"]?(?P<c>[\w-]+)['\"]?", sentence.text, re.I)
    if match is None:
        return None
    named = next((c for c in known.categories if c.casefold() == match.group("c").casefold()), None)
    if named is None and known.categories:
        sentence.doubts(f"'{match.group('c')}' is no category of the data; use {', '.join(known.categories)}")
    sentence.take(match)
    return named or (None if known.categories else match.group("c").lower())


def _budget(sentence: Sentence, amounts: Amounts, flight: tuple[date, date] | None) -> Decimal | None:
    """The whole flight's budget; a daily one times its days."""
    if not amounts.budgets:
        if not any("is a range" in problem for problem in sentence.unclear):
            sentence.lacks("budget", "'budget €20,000'")
        return None
    for each in amounts.budgets:
        if each.amount <= 0:
            sentence.doubts(f"a budget of {each.amount} buys nothing; give one above 0")
            return None
    if len(amounts.budgets) > 1:
        listed = " and ".join(
            f"{b.amount:,f}{'' if b.period == 'total' else ' a ' + b.period}" for b in amounts.budgets
        )
        sentence.doubts(f"two budgets ({listed}); say which one is meant")
        return None
    only = amounts.budgets[0]
    if only.period == "total":
        return only.amount
    if flight is None:
        return None
    days = (flight[1] - flight[0]).days + 1
    if only.period == "day":
        return only.amount * days
    if only.period == "week" and days % 7 == 0:
        return only.amount * (days // 7)
    sentence.doubts(
        f"{only.amount} a {only.period} over {days} days is no round number of {only.period}s; give the whole budget"
    )
    return None


def _currency(sentence: Sentence, amounts: Amounts, house: str | None) -> str | None:
    """The one currency of all amounts; the house's where none is said."""
    said = [b.currency for b in amounts.budgets] + [c.currency for c in amounts.costs]
    named = {code for code in said if code is not None}
    if "kr" in named:
        sentence.doubts("'kr' may be SEK, NOK, DKK or ISK; write the code")
        return None
    if len(named) > 1:
        sentence.doubts(f"amounts in {' and '.join(sorted(named))}; use one currency")
        return None
    if not named and house is None:
        sentence.lacks("currency", "'20,000 euros'")
    return next(iter(named), house)


def _cost(sentence: Sentence, amounts: Amounts) -> Decimal | None:
    if len({(c.amount, c.objective) for c in amounts.costs}) > 1:
        sentence.doubts(
            f"two cost targets ({' and '.join(str(c.amount) for c in amounts.costs)}); say which one is meant"
        )
        return None
    if amounts.costs and amounts.costs[0].amount <= 0:
        sentence.doubts(f"a cost target of {amounts.costs[0].amount} can't be met; give one above 0")
        return None
    return amounts.costs[0].amount if amounts.costs else None


def _counts(text: str) -> dict[str, int]:
    """'8 variants' and 'top 5 combinations'."""
    found = {}
    for name, pattern in (
        ("variants", r"\b(\d{1,2})\s+(?:ad\s+|copy\s+)?(?:variants|versions|creatives|texts)\b"),
        ("combinations", r"\b(?:top\s+(\d{1,2})\b|(\d{1,2})\s+combinations\b)"),
    ):
        if match := re.search(pattern, text, re.I):
            found[name] = int(next(g for g in match.groups() if g))
    return found


def _campaign_id(product: str, start: date, text: str) -> str:
    """Readable, and different for different sentences."""
    slug = re.sub(r"[^a-z0-9]+", "-", product.lower()).strip("-")[:60] or "campaign"
    return f"{slug}-{start}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _asking(sentence: Sentence) -> InputError:
    """One line with all that is missing and all that is unclear."""
    problems = []
    if sentence.missing:
        problems.append("says no " + ", no ".join(what for what, _ in sentence.missing))
    problems += sentence.unclear
    mends = [f"{what} as {example}" for what, example in sentence.missing]
    return InputError("sentence", "; ".join(problems), "say " + "; ".join(mends) if mends else "say it in one way")
