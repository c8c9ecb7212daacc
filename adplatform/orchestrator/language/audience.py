"""Who and where: audiences, age bands, regions and exclusions."""

from __future__ import annotations

import re

from adplatform.contracts.brief import Audience
from adplatform.orchestrator.language.goal import GENERIC
from adplatform.orchestrator.language.scan import GAP, Sentence
from adplatform.orchestrator.language.vocabulary import (
    AUDIENCE,
    AUDIENCE_MARGIN,
    REGION,
    REGION_MARGIN,
    Embed,
    Vocabulary,
    forms,
    nearest,
)

ANYONE = re.compile(
    r"^(?:(?:all|the|our|new|more|any|many|young|older|old|existing|adult|of)\s+)*(?:people|users?|everyone|everybody|anyone|persons?|adults?|customers?|men|women|"
    r"audiences?|visitors?|consumers?|public|shoppers|fans|who|are|those|all|them|us|it|age|aged|ages|years?|olds?|only|please)?(?:\s+(?:who|are|of|age|aged|ages|only))*$",
    re.I,
)
NOT = r"\b(?:but\s+not|not|except(?:\s+for)?|excluding|exclude|without|other\s+than|no)\s+(?!more\b|less\b|later\b|earlier\b|only\b)(?:for\s+|to\s+)?"
PHRASE = rf"(?P<np>[^\s,;.!?(){GAP}][^;.!?(){GAP}]*)"
STRONG = r"\b(?:target(?:ing|ed at)?|reach(?:ing)?|aimed\s+at|aim(?:ing)?\s+(?:at|for)|among|audience\s*(?:is|:|of)|audience|shown?\s+(?:it\s+)?to|fans\s+of)\s+"
WEAK = r"\b(?:for|to|towards?)\s+"
AUDIENCE_STOPS = re.compile(
    r"\s+(?:from|in|at|on|with|until|till|by|starting|during|between|under|over|within|using|for|to|across|around|near|so|but|because|is|are|we|i|"
    r"please|the|throughout|next|this|not|except|excluding|aged|ages|through)\b.*$",
    re.I,
)
PLACE = rf"\b(?:in|across|around|near|throughout|within)\s+(?:the\s+|our\s+)?(?P<np>[^\s,;.!?(){GAP}]+(?:\s+(?!(?:from|for|with|at|on|until|by|to|and|or)\b)[^\s,;.!?(){GAP}]+){{0,2}})"
EVERYWHERE = re.compile(r"^(?:whole\s+country|country|all\s+regions|every\s+region|everywhere|nation|regions?)$", re.I)
GENDER = re.compile(r"\b(?:wom[ae]n|men|males?|females?|girls|boys|ladies|gentlemen)\b", re.I)
ALONE = re.compile(
    r"\d|\b(?:our|we|i|please|get|want|need|with|for|a|an|the|of|to|in|on|at|and|or|budget|spend|goal|campaign|category)\b",
    re.I,
)
NO_PLACE = frozenset(
    [
        "total",
        "order",
        "all",
        "general",
        "budget",
        "clicks",
        "sales",
        "traffic",
        "advance",
        "time",
        "full",
        "short",
        "addition",
        "person",
        "stock",
        "store",
    ]
)


def read_audience(sentence: Sentence, known: Vocabulary, embed: Embed | None) -> Audience:
    """The audience, taken out of the sentence; empty where it names none. What it names and the data lacks is noted."""
    bands = _age_bands(sentence, known)
    excluded = _excluded(sentence, known, embed)
    regions = _regions(sentence, known, embed)
    audiences = [a for a in known.audiences if _take(sentence, forms(a))]
    audiences += [a for a in _phrases(sentence, known, embed) if a not in audiences]
    audiences += [a for a in _rest(sentence, known, embed) if a not in audiences]
    if gender := GENDER.search(sentence.text):
        sentence.doubts(f"'{gender.group()}': the data knows no gender; name audiences, ages or regions")
    return Audience(
        audiences=tuple(audiences), age_bands=tuple(bands), regions=tuple(regions), excluded_segments=tuple(excluded)
    )


def _take(sentence: Sentence, pattern: str) -> bool:
    match = re.search(pattern, sentence.text, re.I)
    if match is None:
        return False
    sentence.take(match)
    return True


def _phrases(sentence: Sentence, known: Vocabulary, embed: Embed | None) -> list[str]:
    """Audiences meant by other words; a phrase after 'target', 'reach' or 'for' that means none of them is asked about."""
    found = []
    for cue in (STRONG, WEAK):
        for match in list(re.finditer(cue + PHRASE, sentence.text, re.I)):
            phrase = AUDIENCE_STOPS.sub("", " " + match.group("np")).strip()
            for item in re.split(r"\s*(?:,|/|&|\band\b|\bor\b)\s*", phrase):
                plain = re.sub(
                    r"^(?:(?:the|our|new|more|keen|all|young|people\s+who|people|those\s+who|are|love|fans\s+of)\s+)+",
                    "",
                    item.strip(),
                    flags=re.I,
                )
                if not plain or any(p.match(t) for p in (ANYONE, GENERIC) for t in (plain, item.strip())):
                    continue
                meant = nearest(plain, known.audiences, embed, AUDIENCE, AUDIENCE_MARGIN) or nearest(
                    item, known.audiences, embed, AUDIENCE, AUDIENCE_MARGIN
                )
                if meant:
                    found.append(meant)
                elif cue is STRONG or re.match(r"for\b", match.group(0), re.I):
                    sentence.doubts(
                        f"'{item.strip()}' is no audience of the data; use {', '.join(known.audiences) or 'none'}"
                    )
    return list(dict.fromkeys(found))


def _rest(sentence: Sentence, known: Vocabulary, embed: Embed | None) -> list[str]:
    """Audiences that stand alone between commas or in what nobody else has read ('..., young families')."""
    parts = [p.strip(" -") for p in re.split(rf"[{GAP},;.:!?()]+", sentence.text)]
    short = [p for p in parts if p and len(p.split()) <= 3 and not ALONE.search(p)]
    found = (nearest(p, known.audiences, embed, AUDIENCE, AUDIENCE_MARGIN) for p in short[:5])
    return [a for a in found if a is not None]


def _excluded(sentence: Sentence, known: Vocabulary, embed: Embed | None) -> list[str]:
    """Segments of the audiences that the sentence rules out."""
    ids: list[str] = []
    alone = PHRASE.replace("[^;", "[^,;")
    while match := re.search(NOT + alone, sentence.text, re.I):
        phrase = AUDIENCE_STOPS.sub("", " " + match.group("np")).strip()
        listed = re.match(r"\s*,\s*(?:and\s+|or\s+)?(?P<next>[^\s,;.]+)", sentence.text[match.end() :])
        if listed and any(re.fullmatch(forms(a), listed.group("next"), re.I) for a in known.audiences):
            sentence.doubts(
                f"'{match.group(0).strip()}, {listed.group('next')}': write 'and' between all that is to be left out"
            )
        sentence.take(match)
        for item in re.split(r"\s*(?:,|/|&|\band\b|\bor\b)\s*", phrase):
            meant = next((a for a in known.audiences if re.search(forms(a), item, re.I)), None)
            meant = meant or nearest(item, known.audiences, embed, AUDIENCE, AUDIENCE_MARGIN)
            segments = [s.segment_id for s in known.segments if s.audience == meant]
            if meant is None or not segments:
                sentence.doubts(
                    f"'{item}' is to be left out but is no audience of the data; use {', '.join(known.audiences) or 'none'}"
                )
            ids += segments
    return list(dict.fromkeys(ids))


def _regions(sentence: Sentence, known: Vocabulary, embed: Embed | None) -> list[str]:
    found = [r for r in known.regions if re.search(_region(r), sentence.text, re.I)]
    for region in found:
        while _take(sentence, rf"(?:\b(?:in|across|around|from)\s+(?:the\s+)?)?{_region(region)}"):
            pass
    for match in list(re.finditer(PLACE, sentence.text, re.I)):
        words = match.group("np").strip()
        first = words.split()[0].lower()
        if first in NO_PLACE or first.isdigit() or EVERYWHERE.match(words):
            continue
        meant = nearest(words, known.regions, embed, REGION, REGION_MARGIN)
        if meant:
            found.append(meant)
        elif words[0].isupper() or _is_country(words):
            sentence.doubts(f"'{words}' is no region of the data; use {', '.join(known.regions) or 'none'}")
            sentence.take(match)
    return list(dict.fromkeys(found))


def _region(label: str) -> str:
    return rf"\b{re.escape(label)}(?:ern(?:ers?)?)?\b"


def _is_country(words: str) -> bool:
    import pycountry

    for candidate in (words, words.split()[0]):
        if len(candidate) > 3:
            try:
                pycountry.countries.lookup(candidate)
            except LookupError:
                continue
            return True
    return False


def _age_bands(sentence: Sentence, known: Vocabulary) -> list[str]:
    """Bands that the ages named are made of; ages that cut a band are asked about."""
    years = r"(?:\s*-?\s*years?(?:\s*-?\s*olds?)?|\s+y\.?o\.?)?"
    both = rf"(?:\b(?:aged?|ages|between)\s+)?(?:between\s+)?(?<![\w.,])(?P<low>[1-9]\d)\s*(?:to|-|and)\s*(?P<high>[1-9]\d){years}(?![\w.,]*\d|\s*%)"
    over = rf"\b(?:over|above|older than|from the age of)\s+(?:the age of\s+)?(?P<low>[1-9]\d){years}(?![\d.,]*\d)|(?<![\w.,])(?P<low2>[1-9]\d)(?:\s*\+|\s+(?:and|or)\s+(?:over|older|above|up))"
    under = rf"\b(?:under|below|younger than)\s+(?:the age of\s+)?(?P<high>[1-9]\d){years}(?![\d.,]*\d)"
    decade = r"\bin their\s+(?P<d>twenties|thirties|forties|fifties|sixties|[2-6]0s)\b"
    spans: list[tuple[int, int, str]] = []
    for pattern in (both, over, under, decade):
        while match := re.search(pattern, sentence.text, re.I):
            groups = match.groupdict()
            low, high = int(groups.get("low") or groups.get("low2") or 0), int(groups.get("high") or 200)
            if word := groups.get("d"):
                low = (
                    10 * (2 + ["twe", "thi", "for", "fif", "six"].index(word[:3]))
                    if word[0].isalpha()
                    else int(word[:2])
                )
                high = low + 9
            elif pattern is under:
                high -= 1
            spans.append((low, high, sentence.take(match).strip(f" {GAP}")))
    return [band for low, high, words in spans for band in _bands_of(sentence, known, low, high, words)]


def _bands_of(sentence: Sentence, known: Vocabulary, low: int, high: int, words: str) -> list[str]:
    limits = {}
    for band in known.age_bands:
        numbers = [int(n) for n in re.findall(r"\d+", band)]
        if numbers:
            limits[band] = (numbers[0], numbers[1] if len(numbers) > 1 else 200)
    youngest = min((b[0] for b in limits.values()), default=0)
    inside = [b for b, (a, z) in limits.items() if a >= low and z <= high]
    fits_low = low <= youngest or any(limits[b][0] in (low, low + 1) for b in inside)
    fits_high = high >= 199 or any(limits[b][1] == high for b in inside)
    if not inside or not fits_low or not fits_high:
        sentence.doubts(f"'{words}' cuts the age bands of the data; use {', '.join(known.age_bands) or 'none'}")
        return []
    return inside
