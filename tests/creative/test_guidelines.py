from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adplatform.contracts.errors import InputError
from adplatform.creative.banned import contains
from adplatform.creative.facts import Statements
from adplatform.creative.guidelines import Rulebook, check
from adplatform.creative.text import examples
from tests.creative.conftest import development_briefs, make_brief

BRIEFS = development_briefs()
BACKPACK, GRANOLA, SAVINGS = BRIEFS[0], BRIEFS[1], BRIEFS[2]
HEADLINE, BODY = "See it for yourself", "Tern Backpack fits under the seat of most airlines. Take a look."


def test_an_ad_that_keeps_every_rule_breaks_none():
    assert check(HEADLINE, BODY, BACKPACK) == ()


def test_a_disclaimer_about_money_is_no_price_to_argue_with():
    assert Statements(BACKPACK).states_price
    product = BACKPACK.product.model_copy(update={"facts": ("Laptop pocket opens from the side.",)})
    limits = BACKPACK.guidelines.model_copy(update={"required_disclaimer": "Prices without tax, from 9 euros."})
    assert not Statements(BACKPACK.model_copy(update={"guidelines": limits, "product": product})).states_price


@pytest.mark.parametrize("word", ["many", "several", "dozens"])
def test_a_quantity_that_the_brief_does_not_state_is_a_claim(word):
    broken = check(HEADLINE, f"Tern Backpack fits under {word} seats. Take a look.", BACKPACK)
    assert {"unstated_claim", "unstated_number"} & set(broken)


WORDS = st.text(string.ascii_lowercase, min_size=4, max_size=12)
LOOKS = {
    "a": "aáàâäаα@4",
    "e": "eéèëеε3",
    "i": "iíìïіι1!",
    "o": "oóòöоο0",
    "s": "sş$5",
    "t": "tţ7+",
    "c": "cçс",
    "p": "pр",
}


@st.composite
def disguised(draw):
    """A banned word, and a spelling of it with look-alikes, accents, capitals, blanks, dots and invisible characters."""
    word = draw(WORDS)
    letters = [draw(st.sampled_from(LOOKS.get(c, c) + c.upper())) for c in word]
    gap = draw(st.sampled_from(["", "", " ", "-", ".", "\u200b", "\u00ad", "_", "*"]))
    return word, gap.join(letters)


@given(disguised(), st.sampled_from(["see {}", "{}", "the {} of it.", "Really, {}."]))
def test_a_banned_word_is_found_in_every_disguise(pair, frame):
    word, spelling = pair
    assert contains(frame.format(spelling), word)


@pytest.mark.parametrize(
    ("text", "banned"),
    [
        ("A mira cle for you", "miracle"), ("MIRACLES happen", "miracle"), ("mir\u0430cle", "miracle"), ("ｍｉｒａｃｌｅ", "miracle"),
        ("𝐦𝐢𝐫𝐚𝐜𝐥𝐞", "miracle"), ("the # 1 choice", "#1"), ("number 1 in town", "number one"), ("riskfree", "risk-free"),
        ("risk free", "risk-free"), ("It is guaranteed", "guarantee"), ("cuuuure", "cure"), ("c\u0301ure", "cure"),
        ("best\nin the world", "best in the world"), ("b.e.s.t. in the w0rld", "best in the world"),
    ],
)  # fmt: skip
def test_known_tricks_with_banned_claims_are_caught(text, banned):
    assert contains(text, banned)


@pytest.mark.parametrize(
    ("text", "banned"),
    [
        ("a secure lock", "cure"),
        ("manicure at home", "cure"),
        ("the rich taste of ostriches", "ostrich egg"),
        ("one place", "#1"),
        ("", "x"),
        ("text", "  "),
    ],
)
def test_a_word_that_only_holds_the_letters_of_a_banned_one_is_left_alone(text, banned):
    assert not contains(text, banned)


@given(
    st.sampled_from(BRIEFS[:3]),
    st.integers(2, 10**6).filter(lambda n: str(n) not in {"79", "450", "50000", "100000", "8"}),
)
def test_a_number_that_the_brief_does_not_state_is_rejected(brief, number):
    name = brief.product.name
    assert "unstated_number" in check("See it", f"{name} has {number} reasons.", brief)


@pytest.mark.parametrize(
    "claim", ["It is free.", "The best for you.", "Now cheaper.", "A lifetime warranty.", "The lightest of them.", "Save today.", "Award-winning.",
              "Better than others.", "Seven days.", "Half the money."],
)  # fmt: skip
def test_an_offer_or_superlative_that_the_brief_does_not_state_is_rejected(claim):
    assert set(check("Take a look", f"Tern Backpack is here. {claim}", BACKPACK)) & {
        "unstated_claim",
        "unstated_number",
    }


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("Fits under the seat of all airlines.", "unsupported_claim"),  # 'most' became 'all'
        ("Tern Backpack fits airlines.", "unsupported_claim"),
        ("Made from recycled laptops in Hamburg.", "unsupported_claim"),  # two facts mixed
        ("Tern Backpack comes from Norway.", "unsupported_word"),
        ("Tern Backpack is waterproof.", "unsupported_word"),
        ("Tern Backpack meets Paris.", "name"),
        ("Tern Backpack is not made from recycled sails in Hamburg.", "denial"),
    ],
)
def test_copy_may_only_say_what_one_statement_says(body, rule):
    assert rule in check("Take a look", body, BACKPACK)


def test_a_condition_of_an_offer_may_not_be_dropped():
    brief = make_brief(
        {"name": "Kobo", "category": "home", "description": "A desk.", "facts": ["20% off until June for members."]}
    )
    assert "partial_claim" in check("Take a look", "Kobo is 20% off until June.", brief)
    assert check("Take a look", "Kobo is 20% off until June for members.", brief) == ()


def test_up_to_may_not_be_dropped_before_a_number():
    brief = make_brief(
        {"name": "Sol", "category": "energy", "description": "A panel.", "facts": ["Makes up to 400 watts."]}
    )
    assert "partial_claim" in check("Take a look", "Sol makes 400 watts.", brief)
    assert check("Take a look", "Sol makes up to 400 watts.", brief) == ()


def test_a_denial_in_the_brief_may_not_be_dropped():
    assert "unsupported_claim" in check("A little sugar hello", "Take a look at Mornflow Granola.", GRANOLA)
    assert set(check("Take a look", "Mornflow Granola is added sugar.", GRANOLA)) & {"denial", "unsupported_claim"}
    assert check("Take a look", "Mornflow Granola has no added sugar.", GRANOLA) == ()


@pytest.mark.parametrize(
    ("headline", "body", "rule"),
    [
        ("<b>Look</b>", BODY, "markup"), ("Look", BODY + " [link](x)", "markup"), ("Look", "See www.tern.com today.", "address"),
        ("Look", "Write to me@tern.com today.", "address"), ("Look", "Go to tern . shop or tern.shop now.", "address"), ("Look 😀", BODY, "characters"),
        ("Look ♥", BODY, "characters"), ("LOOK HERE", BODY, "capitals"), ("Look", 'Tern Backpack says "hello.', "unbalanced"),
        ("Look", "Tern Backpack fits under the", "unfinished"), ("Look at the", BODY, "unfinished"), ("Look", "Take take a look.", "repetition"),
        ("Look", "Take a look. Take a look.", "repetition"), ("Look", "Headline: take a look.", "prompt_leak"), ("Look", "Meet Pogo Kettle.", "prompt_leak"),
        ("Look", "take a look.", "small_start"), ("Look", "Take a  look.", "spacing"), ("Look", "Take a look!!", "spacing"), ("Look", "", "body_length"),
        ("", BODY, "headline_length"), ("Look\u202e", BODY, "characters"), ("Lооk", BODY, "characters"),
    ],
)  # fmt: skip
def test_form_rules_catch_what_must_not_run(headline, body, rule):
    assert rule in check(headline, body, BACKPACK)


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_text_longer_than_its_slot_is_caught(headline, body):
    rules = check("x" * headline, "y" * body, BACKPACK)
    assert ("headline_length" in rules) == (not 0 < headline <= 40)
    assert ("body_length" in rules) == (not 0 < body <= 120)


def test_the_required_disclaimer_must_end_the_body():
    book = Rulebook(SAVINGS)
    assert "disclaimer" in book.check("Take a look", "Fjord Savings has no monthly fee.")
    assert book.check("Take a look", book.with_disclaimer("Fjord Savings has no monthly fee.")) == ()


def test_a_disclaimer_that_leaves_no_room_is_the_brief_s_fault():
    row = {
        "name": "Sol",
        "category": "energy",
        "description": "A panel.",
        "body_max": 40,
        "required_disclaimer": "x" * 30,
    }
    with pytest.raises(InputError, match="body_max"):
        Rulebook(make_brief(row))


def test_every_example_of_the_prompt_claims_only_its_own_fact():
    for e in examples():
        brief = make_brief(
            {"name": e.product, "category": "thing", "description": e.fact, "facts": [e.fact], "body_max": 200}
        )
        assert check(e.headline, e.body, brief) == (), e
