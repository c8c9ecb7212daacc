"""A sentence says what it says: what it states is found, what it lacks is asked for, in one line."""

import time
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adplatform.contracts.errors import InputError
from adplatform.orchestrator.brief import parse_sentence
from adplatform.orchestrator.language.money import currency_names, value_of
from adplatform.orchestrator.language.vocabulary import Vocabulary, nearest
from benchmarks.plan import sentences, vocabulary
from benchmarks.reference_agents import AGE_BANDS, AUDIENCES, market_segments

TODAY = date(2026, 11, 25)  # a Wednesday
CATEGORIES = ("sports", "cooking", "travel", "gaming", "diy", "family", "finance", "music")
KNOWN = Vocabulary(
    CATEGORIES,
    AUDIENCES,
    AGE_BANDS,
    ("north", "south", "east", "west"),
    market_segments(),
    {"AeroRun 2": "sports", "Clay pan": "cooking"},
)
NEAR = {
    "joggers": "runners",
    "home chefs": "cooks",
    "young families": "parents",
    "trail running shoes": "sports products",
    "cast-iron pan": "cooking products",
}


def embed(texts):
    """Words of NEAR point where their label does; every other word has a direction of its own."""
    axes = sorted({NEAR.get(t.lower(), t.lower()) for t in texts})
    return np.array([[float(axes.index(NEAR.get(t.lower(), t.lower())) == i) for i in range(len(axes))] for t in texts])


def read(text, **options):
    return parse_sentence(text, today=TODAY, known=KNOWN, embed=embed, **options)


def days(text):
    flight = read(f"clicks for our travel bags, €20k, {text}").flight
    return flight.starts_on.isoformat(), flight.ends_on.isoformat()


def test_one_sentence_gives_a_whole_brief():
    brief = read(
        "Get more sales of our trail running shoes from 1 to 14 December with a budget of €20k, at most €8 a sale, "
        "for joggers aged 18 to 29 in the seaside north, but not gamers, 8 variants, top 5"
    )
    assert (brief.product.name, brief.product.category, brief.objective.value) == (
        "trail running shoes",
        "sports",
        "conversions",
    )
    assert (brief.budget, brief.currency, brief.target_cost) == (Decimal(20000), "EUR", Decimal(8))
    assert brief.audience.audiences == ("runners",)
    assert brief.audience.age_bands == ("18-29",)
    assert brief.audience.regions == ("north",)
    assert {s.split("|")[0] for s in brief.audience.excluded_segments} == {"gamers"}
    assert (brief.variants, brief.combinations) == (8, 5)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("from 1 to 14 December", "2026-12-01", "2026-12-14"),
        ("1-14 December", "2026-12-01", "2026-12-14"),
        ("1st–14th of December 2026", "2026-12-01", "2026-12-14"),
        ("December 1-14", "2026-12-01", "2026-12-14"),
        ("Dec 1 to Dec 14, 2026", "2026-12-01", "2026-12-14"),
        ("between 3 and 17 March", "2027-03-03", "2027-03-17"),
        ("from 20 December to 5 January", "2026-12-20", "2027-01-05"),
        ("2026-12-01 to 2026-12-14", "2026-12-01", "2026-12-14"),
        ("2026-12-01 - 2026-12-14", "2026-12-01", "2026-12-14"),
        ("10.12.2026 until 24.12.2026", "2026-12-10", "2026-12-24"),
        ("13/12/2026 to 24/12/2026", "2026-12-13", "2026-12-24"),
        ("next month", "2026-12-01", "2026-12-31"),
        ("next week", "2026-11-30", "2026-12-06"),
        ("next weekend", "2026-12-05", "2026-12-06"),
        ("in December", "2026-12-01", "2026-12-31"),
        ("throughout May 2027", "2027-05-01", "2027-05-31"),
        ("for two weeks from Monday", "2026-11-30", "2026-12-13"),
        ("starting tomorrow for 10 days", "2026-11-26", "2026-12-05"),
        ("for a month from 5 January", "2027-01-05", "2027-02-04"),
        ("for 10 days until 24 December", "2026-12-15", "2026-12-24"),
        ("for the next two weeks", "2026-11-25", "2026-12-08"),
        ("from now until 30 November", "2026-11-25", "2026-11-30"),
        ("a three-week flight from 1 Feb", "2027-02-01", "2027-02-21"),
    ],
)
def test_flight_dates_are_found(text, first, last):
    assert days(text) == (first, last)


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("€20k", "20000", "EUR"),
        ("5,000 dollars", "5000", "USD"),
        ("EUR 2.500,00", "2500", "EUR"),
        ("2,500.50 EUR", "2500.50", "EUR"),
        ("£1.5 million", "1500000", "GBP"),
        ("CHF 12'000", "12000", "CHF"),
        ("7 500 €", "7500", "EUR"),
        ("AU$4,000", "4000", "AUD"),
        ("4000 Canadian dollars", "4000", "CAD"),
        ("90 000 Swedish kronor", "90000", "SEK"),
        ("₹500000", "500000", "INR"),
        ("12 thousand euros", "12000", "EUR"),
        ("€150 a day", "2100", "EUR"),
        ("a daily budget of €150", "2100", "EUR"),
        ("€700 per week", "1400", "EUR"),
        ("weekly spend of 700 euros", "1400", "EUR"),
        ("€100 daily", "1400", "EUR"),
        ("€100/day", "1400", "EUR"),
    ],
)
def test_the_budget_is_found(text, amount, currency):
    brief = read(f"clicks for our travel bags from 1 to 14 December, {text}")
    assert (brief.budget, brief.currency) == (Decimal(amount), currency)


@pytest.mark.parametrize(
    ("text", "cost", "goal"),
    [
        ("clicks under €0.50 each click", "0.50", "clicks"),
        ("traffic, CPC below €0.40", "0.40", "clicks"),
        ("traffic at 50 cents a click", "0.50", "clicks"),
        ("sales at no more than €8 an order", "8", "conversions"),
        ("sign-ups, cost per sign-up of €3", "3", "conversions"),
        ("under €5 a sale", "5", "conversions"),
        ("purchases with a CPA of 12,50 €", "12.50", "conversions"),
    ],
)
def test_a_cost_target_is_no_budget(text, cost, goal):
    brief = read(f"{text} for our travel bags from 1 to 14 December, budget €9,000")
    assert (brief.budget, brief.target_cost, brief.objective.value) == (9000, Decimal(cost), goal)


@pytest.mark.parametrize(
    "text",
    [
        "We have 300 shops and 20 years of experience; clicks for our travel bags, €20k, 1-14 December",
        "clicks for our €120 travel bags with €20k, 1-14 December",
        "Our travel bags cost €120; get clicks for our travel bags, budget €20k, 1-14 December",
        "get 5000 clicks for our travel bags, €20k, 1-14 December",
        "clicks for our travel bags, €20k, 1-14 December, people aged 18 to 29",
        "Clicks for our travel bags (over 4,000 reviews), €20k, 1-14 December",
    ],
)
def test_numbers_that_are_no_budget_are_left_alone(text):
    brief = read(text)
    assert (brief.budget, brief.product.name) == (20000, "travel bags")


@pytest.mark.parametrize(
    ("text", "audiences", "bands", "regions"),
    [
        ("for runners", ("runners",), (), ()),
        ("target joggers", ("runners",), (), ()),
        ("reach home chefs and gamers", ("gamers", "cooks"), (), ()),
        ("young families", ("parents",), (), ()),
        ("people over 60", (), ("60+",), ()),
        ("60+", (), ("60+",), ()),
        ("under 30", (), ("18-29",), ()),
        ("ages 18-44", (), ("18-29", "30-44"), ()),
        ("30 to 44 year olds in the south and west", (), ("30-44",), ("south", "west")),
        ("in western regions", (), (), ("west",)),
        ("for everyone", (), (), ()),
        ("people across the whole country", (), (), ()),
    ],
)
def test_audience_ages_and_regions_are_found(text, audiences, bands, regions):
    found = read(f"clicks for our travel bags, €20k, 1-14 December, {text}").audience
    assert (set(found.audiences), found.age_bands, found.regions) == (set(audiences), bands, regions)


@pytest.mark.parametrize(
    ("text", "name", "category"),
    [
        ("promote our music lessons", "music lessons", "music"),
        ("sell the cast-iron pan", "cast-iron pan", "cooking"),
        ("advertise AeroRun 2 to runners", "AeroRun 2", "sports"),
        ('launch the new "Nimbus" headset, category gaming', "Nimbus", "gaming"),
        ("traffic to our brand new travel guide", "travel guide", "travel"),
        ("a campaign for diy workshops", "diy workshops", "diy"),
    ],
)
def test_the_product_and_its_category_are_found(text, name, category):
    product = read(
        f"{text}, for conversions, €20k, 1-14 December" if "traffic" not in text else f"{text}, €20k, 1-14 December"
    ).product
    assert (product.name, product.category) == (name, category)


BASE = {"goal": "clicks", "product": "for our travel bags", "when": "from 1 to 14 December", "money": "with €20k"}


@pytest.mark.parametrize(
    ("missing", "asked"),
    [("goal", "no goal"), ("product", "no product"), ("when", "no flight dates"), ("money", "no budget")],
)
def test_what_is_missing_is_asked_for(missing, asked):
    with pytest.raises(InputError, match=f"^sentence: says {asked}; say ") as caught:
        read(" ".join(v for k, v in BASE.items() if k != missing))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_that_is_missing_is_asked_for_at_once():
    with pytest.raises(InputError, match="no flight dates, no product, no goal, no budget"):
        read("buy now")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"when": "from 14 to 1 December"}, "reversed"),
        ({"when": "2026-12-14 to 2026-12-01"}, "reversed"),
        ({"when": "from 1 December to 14 October 2026"}, "reversed|before today"),
        ({"when": "from 1 to 14 December 2020"}, "before today"),
        ({"when": "from 2026-11-01 to 2026-12-14"}, "before today"),
        ({"when": "from 1 November to 14 December"}, "is past"),
        ({"when": "31 February to 14 March"}, "no date of the calendar"),
        ({"when": "01/12/2026 to 14/12/2026"}, "day/month or month/day"),
        ({"when": "in early December"}, "is no date"),
        ({"when": "on 1 December, 8 December and 14 December"}, "3 dates"),
        ({"when": "in May 0000"}, "outside the calendar"),
        ({"when": "for 999 months from 31 December 9990"}, "outside the calendar"),
        ({"when": "2026-13-45 to 2026-14-01"}, "no date of the calendar|no flight dates"),
        ({"money": "with €" + "9" * 60}, "budget"),
        ({"when": "from Monday"}, "no end date"),
        ({"when": "until 24 December"}, "no start date"),
        ({"when": "for two weeks"}, "no start date"),
        ({"money": "with €0"}, "a budget of 0"),
        ({"money": "with minus €500"}, "a budget of -500"),
        ({"money": "with €20k and another €5k"}, "two budgets"),
        ({"money": "with €10-20k"}, "is a range"),
        ({"money": "with between €10k and €20k"}, "is a range"),
        ({"money": "with €20k, at most $1 a click"}, "amounts in EUR and USD"),
        ({"money": "with a budget of 20000"}, "no currency"),
        ({"money": "with 25 000 kr"}, "SEK, NOK, DKK"),
        ({"money": "with €700 a month"}, "no round number of months"),
        ({"money": "with €20k, under €1 a click and under €2 a click"}, "two cost targets"),
        ({"goal": "clicks and sales"}, "both clicks and sales"),
        ({"goal": "sales under €1 a click"}, "cost target is for a click"),
        ({"product": "for our travel bags and our cookbook"}, "more than one product"),
        ({"product": "for our shampoo"}, "no category of the product"),
        ({"product": "for our shampoo, category hygiene"}, "no category of the data"),
        ({"product": "for our travel bags for dentists"}, "'dentists' is no audience"),
        ({"product": "for our travel bags for people aged 25 to 40"}, "cuts the age bands"),
        ({"product": "for our travel bags in Bavaria"}, "'Bavaria' is no region"),
        ({"product": "for our travel bags in germany"}, "'germany.*' is no region"),
        ({"product": "for our travel bags for women over 60"}, "no gender"),
        ({"product": "for our travel bags except dentists"}, "to be left out"),
        ({"product": "for our travel bags, not gamers, cooks"}, "write 'and' between"),
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_asked_about(change, problem):
    parts = {**BASE, **change}
    with pytest.raises(InputError, match=problem) as caught:
        read(" ".join(parts.values()))
    assert "\n" not in str(caught.value)


def test_the_currency_of_the_house_is_used_only_where_none_is_said():
    text = "clicks for our travel bags from 1 to 14 December with a budget of 20000"
    assert read(text, currency="CHF").currency == "CHF"
    assert read(f"{text} EUR", currency="CHF").currency == "EUR"
    assert read("clicks for our travel bags, 1-14 December, $900", currency="AUD").currency == "AUD"
    assert read("clicks for our travel bags, 1-14 December, $900", currency="EUR").currency == "USD"


def test_without_embeddings_an_unknown_word_is_asked_about_never_guessed():
    with pytest.raises(InputError, match="'joggers' is no audience"):
        parse_sentence("clicks for our travel bags, €20k, 1-14 December, target joggers", today=TODAY, known=KNOWN)


def test_two_labels_about_as_near_are_no_answer():
    def between(texts):
        return np.array([[1.0, 1.0] if t == "x" else [float(t == "a"), float(t == "b")] for t in texts])

    assert nearest("x", ["a", "b"], between, 0.5, 0.1) is None
    assert nearest("a", ["a", "b"], between, 0.5, 0.1) == "a"


def test_the_same_sentence_gives_the_same_brief_and_another_another_id():
    text = "clicks for our travel bags, €20k, 1-14 December"
    assert read(text) == read(text)
    assert read(text).campaign_id != read(text + ", for runners").campaign_id


def test_every_sentence_of_the_benchmark_is_understood():
    for text in sentences()[::5]:
        parse_sentence(text, today=TODAY, known=vocabulary())


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_no_text_does_more_harm_than_being_refused_in_one_line(text):
    refused = ""
    try:
        read(text)
    except InputError as error:
        refused = str(error)
    assert len(refused.splitlines()) <= 1


@pytest.mark.parametrize(
    "piece", ["for ", "a ", "1 ", "€1 000 ", "1 to ", "our ", "not a, ", "in the ", "- ", "May ", "1.000,"]
)
def test_no_sentence_takes_more_than_seconds_to_refuse(piece):
    start = time.perf_counter()
    with pytest.raises(InputError):
        read((piece * 2000)[:1999])
    assert time.perf_counter() - start < 5


WORDS = st.sampled_from(
    [
        "clicks",
        "sales",
        "our",
        "travel",
        "bags",
        "for",
        "to",
        "from",
        "1",
        "14",
        "December",
        "€20k",
        "next",
        "week",
        "18",
        "to",
        "29",
        "runners",
        "not",
        "north",
        ",",
        "budget",
        "under",
        "€5",
        "a",
        "click",
        "until",
        "and",
        "2026-12-01",
        "%",
        "100",
        "£",
        "the",
        "new",
        "in",
        "may",
        "Monday",
    ]
)


@given(st.lists(WORDS, max_size=25))
@settings(max_examples=150, deadline=None)
def test_no_jumble_of_known_words_breaks_the_reader(words):
    try:
        brief = read(" ".join(words))
    except InputError:
        return
    assert brief.budget > 0
    assert brief.flight.starts_on >= TODAY


@given(st.integers(1, 10**9))
def test_a_number_is_read_alike_however_it_is_written(value):
    n = Decimal(value)
    plain, english, german, swiss = (
        str(value),
        f"{value:,}",
        f"{value:,}".replace(",", "."),
        f"{value:,}".replace(",", "'"),
    )
    assert {value_of(x, None) for x in (plain, english, german, swiss)} == {n}
    assert (
        value_of(f"{value:,}.50", None) == value_of(f"{value:,}".replace(",", ".") + ",50", None) == n + Decimal("0.5")
    )
    assert value_of(plain, "k") == n * 1000


def test_every_currency_of_the_standard_has_a_name():
    names = currency_names()
    assert (names["euros"], names["swiss francs"], names["jpy"], names["polish zlotys"]) == ("EUR", "CHF", "JPY", "PLN")


@pytest.mark.slow
def test_the_packaged_embeddings_map_near_words_and_leave_far_ones():
    from adplatform.creative.score import Embedder

    real = Embedder.load("packaged").embed
    text = "clicks for our {} from 1 to 14 December with €20k, target {}"
    for word, audience in (("joggers", "runners"), ("stock traders", "investors"), ("violinists", "musicians")):
        brief = parse_sentence(text.format("trail running shoes", word), today=TODAY, known=KNOWN, embed=real)
        assert brief.audience.audiences == (audience,)
        assert brief.product.category == "sports"
    with pytest.raises(InputError, match="dentists"):
        parse_sentence(text.format("trail running shoes", "dentists"), today=TODAY, known=KNOWN, embed=real)
    with pytest.raises(InputError, match="category"):
        parse_sentence(text.format("shampoo", "joggers"), today=TODAY, known=KNOWN, embed=real)
