"""A sentence says what it says: what it states is found."""

from decimal import Decimal

import pytest

from tests.orchestrator.sentences import read


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
