"""Goal and product in a sentence."""

from __future__ import annotations

import re

from adplatform.contracts.brief import Objective
from adplatform.orchestrator.language.scan import GAP, Sentence

CLICKS = re.compile(r"\b(?:clicks?|click-?throughs?|traffic|(?:site |web |page |shop )?visits?|visitors?)\b", re.I)
CONVERSIONS = re.compile(
    r"\b(?:sales|sell(?:ing)?|purchas(?:es?|ing)|(?<!in )orders?(?! to)|conversions?|convert(?:s|ing)?|sign-?ups?|registrations?|revenue|"
    r"bookings?|subscriptions?|checkouts?|downloads?|installs?|leads|(?:to|will) buy|(?:new|win|gain|acquire|get) customers)\b",
    re.I,
)
STOPS = frozenset(
    [
        "from",
        "to",
        "with",
        "in",
        "between",
        "for",
        "at",
        "on",
        "under",
        "until",
        "till",
        "through",
        "by",
        "starting",
        "beginning",
        "during",
        "next",
        "this",
        "that",
        "which",
        "who",
        "among",
        "aimed",
        "targeting",
        "target",
        "reach",
        "reaching",
        "over",
        "within",
        "using",
        "budget",
        "spend",
        "spending",
        "per",
        "each",
        "below",
        "max",
        "so",
        "but",
        "because",
        "where",
        "when",
        "while",
        "is",
        "are",
        "as",
        "across",
        "into",
        "before",
        "after",
        "we",
        "i",
        "you",
        "they",
        "want",
        "need",
        "would",
        "should",
        "please",
        "towards",
        "toward",
        "only",
        "not",
        "excluding",
        "except",
        "without",
        "aiming",
        "of",
        "via",
        "against",
        "plus",
        "our",
        "my",
        "running-for",
        "get",
        "drive",
        "bring",
        "give",
        "make",
        "show",
    ]
)
VERBS = frozenset(
    [
        "reach",
        "target",
        "get",
        "drive",
        "bring",
        "spend",
        "sell",
        "keep",
        "run",
        "make",
        "show",
        "start",
        "aim",
        "use",
        "promote",
        "want",
        "need",
        "pay",
        "focus",
    ]
)
GENERIC = re.compile(
    r"^(?:(?:more|most|many|maximum|max|best|new|the|a|an|our|online|some|good|cheap|high|higher|brand|general|late|early)\s+)*"
    r"(?:clicks?|sales?|traffic|visits?|visitors?|conversions?|orders?|purchases?|people|adults|everyone|everybody|anyone|users?|men|women|customers?|"
    r"campaigns?|ads?|adverts?|budget|awareness|weeks?|days?|months?|results?|it|them|us|performance|christmas|season|sign-?ups?|kids|"
    r"web ?site|site|page|shop|store|audience|total|max(?:imum)?|more|most|least|all|revenue|bookings?|leads?|region|place|(?:spring|summer|autumn|winter)(?: sale)?)$",
    re.I,
)
WORDS = rf"(?P<np>[^\s,;.!?()\"{GAP}][^,;!?()\"{GAP}]*)"
OWN = r"(?:our|my)(?:\s+(?:brand[- ])?new)?"
OTHER = r"(?:(?:(?:the|a|an|our|my|this|these|their)\s+)?(?:brand[- ])?new|the|a|an|this|these|their)"
LEVELS = (
    rf"\bproduct\s*(?:is|:)\s*{WORDS}",
    rf"\b(?:for|of|to|promot(?:e|ing)|advertis(?:e|ing)|market|sell(?:ing)?|push|launch(?:ing)?|more)\s+{OWN}\s+{WORDS}",
    rf"\b(?:promot(?:e|ing)|advertis(?:e|ing)|marketing|sell(?:ing)?(?:\s+more)?|push|launch(?:ing)?(?:\s+of)?|campaign\s+for|ads?\s+for|adverts?\s+for|"
    rf"(?:traffic|visits?|visitors?|clicks?)\s+(?:to|for|on)|(?:sales|orders|purchases|sign-?ups?|bookings|conversions)\s+(?:of|for))\s+(?:{OTHER}\s+)?{WORDS}",
    rf"\b{OWN}\s+{WORDS}",
    rf"\bfor\s+{OTHER}\s+{WORDS}",
)


def read_goal(sentence: Sentence, costs: set[Objective]) -> Objective | None:
    """The objective: from its own words, else from the unit of a cost target. Both kinds of words are asked about."""
    said: set[Objective] = set()
    for objective, pattern in ((Objective.CLICKS, CLICKS), (Objective.CONVERSIONS, CONVERSIONS)):
        while match := pattern.search(sentence.text):
            said.add(objective)
            sentence.take(match)
    wanted = said or costs
    if len(wanted) == 2:
        sentence.doubts("both clicks and sales are asked for; say which one the campaign is paid to bring")
        return None
    if not wanted:
        sentence.lacks("goal", "'for clicks' or 'for sales'")
        return None
    goal = next(iter(wanted))
    if costs and goal not in costs:
        unit = "click" if Objective.CLICKS in costs else "sale"
        sentence.doubts(f"the goal is {goal.value} but the cost target is for a {unit}; give one for the goal")
        return None
    return goal


def read_product(sentence: Sentence, audiences: str) -> str | None:
    """The product's name, taken out of the sentence. ``audiences``: pattern of words that are people, never products."""
    quoted = re.search(r"[\"“„«](?P<np>[^\"”“»]{1,80})[\"”»]", sentence.text)
    if quoted:
        return sentence.take(quoted, "np").strip()
    for level in LEVELS:
        found: dict[str, re.Match[str]] = {}
        position = 0
        pattern = re.compile(level, re.I)
        while match := pattern.search(sentence.text, position):
            position = match.start() + 1
            name = _noun_phrase(match.group("np"))
            if (
                name
                and not GENERIC.match(name)
                and not (audiences and re.fullmatch(rf"(?:\w+\s+)?(?:{audiences})", name, re.I))
            ):
                found.setdefault(name.casefold(), match)
        if len(found) > 1:
            names = " and ".join(f"'{_noun_phrase(m.group('np'))}'" for m in found.values())
            sentence.doubts(f"more than one product ({names}); plan one at a time")
            return None
        for match in found.values():
            name = _noun_phrase(match.group("np"))
            lead = rf"(?:\b(?:for|of|to|on)\s+)?(?:\b(?:{OWN}|{OTHER})\s+)?"
            exact = re.compile(lead + re.escape(name).replace(r"\ ", r"\s+"), re.I)
            for place in exact.finditer(sentence.text):
                if place.start() <= match.start("np") < place.end():
                    sentence.take(place)
                    break
            second = re.compile(rf"\s*(?:and|&|plus|as well as)\s+(?:also\s+)?{OWN}\s+{WORDS}", re.I).search(
                sentence.text
            )
            if second and (other := _noun_phrase(second.group("np"))) and not GENERIC.match(other):
                sentence.doubts(f"more than one product ('{name}' and '{other}'); plan one at a time")
            return name
    sentence.lacks("product", "'for our trail running shoes'")
    return None


def _noun_phrase(text: str) -> str:
    """Leading words up to one that begins something else."""
    kept: list[str] = []
    words = text.split()
    for i, word in enumerate(words):
        bare = word.strip(".:'’").lower()
        following = words[i + 1].strip(".:").lower() if i + 1 < len(words) else ""
        if bare in STOPS or (bare in {"and", "or", "&"} and (not following or following in VERBS | STOPS)):
            break
        kept.append(word.rstrip(".:"))
        if word.endswith((".", ":")):
            break
    while kept and kept[-1].lower() in {"and", "the", "a", "an", "or", "now", "please", "online", "&"}:
        kept.pop()
    return " ".join(kept).strip(" -:'")[:80]
