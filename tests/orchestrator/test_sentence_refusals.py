"""What a sentence lacks, or says in two ways, is asked for in one line; nothing is guessed, and nothing breaks the reader."""

import time
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adplatform.contracts.errors import InputError
from adplatform.orchestrator.brief import parse_sentence
from adplatform.orchestrator.language.money import currency_names, value_of
from adplatform.orchestrator.language.vocabulary import nearest
from benchmarks.plan import sentences, vocabulary
from tests.orchestrator.sentences import KNOWN, TODAY, read

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
