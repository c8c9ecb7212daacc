from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import yaml

from adplatform.contracts.agents import CreativeAgent
from adplatform.contracts.brief import Appeal, Tone
from adplatform.contracts.creative import CreativeRequest
from adplatform.contracts.errors import SetupError
from adplatform.creative import templates
from adplatform.creative.agent import Creative, attributes
from adplatform.creative.copy_model import CopyModel
from adplatform.creative.guidelines import Rulebook
from adplatform.creative.prompts import parse, prompt
from adplatform.creative.score import Embedder, ad_text
from adplatform.creative.selection import Slot, slots
from adplatform.creative.vocabulary import Vocabulary, Words
from tests.creative.conftest import development_briefs, make_brief

BRIEFS = development_briefs()


def assert_keeps_the_rules(made, brief, embedder):
    book = Rulebook(brief)
    assert 5 <= len(made.variants) <= brief.variants
    for v in made.variants:
        assert book.check(v.headline, v.body) == ()
    vectors = embedder.embed([ad_text(v.headline, v.body) for v in made.variants])
    assert max(float(a @ b) for a, b in itertools.combinations(vectors, 2)) <= 0.9


@pytest.mark.parametrize("brief", BRIEFS, ids=lambda b: b.product.name)
def test_templates_alone_fill_the_request_and_keep_every_rule(brief, embedder):
    agent = Creative(None, embedder)
    assert isinstance(agent, CreativeAgent)
    made = agent.creatives(CreativeRequest(brief=brief, seed=3))
    assert_keeps_the_rules(made, brief, embedder)
    assert made.template_share == 1.0
    assert made.generated == 0


@pytest.mark.parametrize("count", [5, 10])
def test_as_many_variants_come_as_were_asked_for(count, embedder):
    brief = BRIEFS[0].model_copy(update={"variants": count})
    assert len(Creative(None, embedder).creatives(CreativeRequest(brief=brief)).variants) == count


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_copy(embedder):
    one, two = (Creative(None, embedder).creatives(CreativeRequest(brief=BRIEFS[0], seed=7)) for _ in range(2))
    assert one.model_dump_json() == two.model_dump_json()
    other = Creative(None, embedder).creatives(CreativeRequest(brief=BRIEFS[0], seed=8))
    assert other.variants != one.variants


def test_a_model_that_raises_is_replaced_by_templates_and_the_share_says_so(embedder, caplog):
    class Broken(CopyModel):
        def __init__(self):
            self.version = "broken"

        def generate(self, *args, **kwargs):
            raise RuntimeError("out of memory")

    made = Creative(Broken(), embedder).creatives(CreativeRequest(brief=BRIEFS[0]))
    assert_keeps_the_rules(made, BRIEFS[0], embedder)
    assert made.template_share == 1.0
    assert "language model failed" in caplog.text


def test_a_model_that_cannot_be_loaded_is_replaced_by_templates(embedder, tmp_path):
    agent = Creative(lambda: CopyModel.load(str(tmp_path / "nothing")), embedder)
    assert agent.creatives(CreativeRequest(brief=BRIEFS[0])).template_share == 1.0
    assert agent.version.startswith("copy-templates-")


def test_a_path_that_is_no_model_is_an_error_that_names_the_mend(tmp_path):
    with pytest.raises(SetupError, match="existing directory"):
        CopyModel.load(str(tmp_path / "nothing"))


def test_a_model_at_a_local_path_goes_through_the_same_code(tiny, embedder):
    model = CopyModel.load(str(tiny))
    made = Creative(model, embedder, texts_each=(2, 1)).creatives(CreativeRequest(brief=BRIEFS[0], seed=1))
    assert made.generated == 18
    assert sum(made.rejected.values()) > 0  # a random model writes little that may run
    assert_keeps_the_rules(made, BRIEFS[0], embedder)


def test_constrained_decoding_writes_only_words_that_copy_may_use(tiny):
    """Even a random model under the mask writes known words; only its sentences make no sense."""
    model, brief = CopyModel.load(str(tiny)), BRIEFS[0]
    book = Rulebook(brief)
    never = {
        "unsupported_word",
        "unstated_number",
        "banned_word",
        "markup",
        "address",
        "body_length",
        "headline_length",
    }
    for body, limit in ((False, brief.guidelines.headline_max), (True, book.copy_limit)):
        vocabulary = Vocabulary(model.table, Words.of(brief), limit, body)
        samples = model.generate(["Ad:"], 8, seed=5, allowed=vocabulary.allowed, most_tokens=250)
        assert any(s.finished and len(s.text) > 8 for s in samples)
        for text in (s.text for s in samples if s.finished):
            broken = book.check("Take a look", text) if body else book.check(text, "Take a look at this.")
            assert not never & set(broken), (text, broken)


def test_the_draw_depends_on_its_seed_alone(tiny):
    import torch

    model = CopyModel.load(str(tiny))
    first = model.generate(["Ad:", "Another ad:"], 3, seed=1, most_tokens=12)
    torch.manual_seed(99)
    assert model.generate(["Ad:", "Another ad:"], 3, seed=1, most_tokens=12) == first
    assert model.generate(["Ad:", "Another ad:"], 3, seed=2, most_tokens=12) != first


def test_batched_prompts_of_unequal_length_read_as_each_does_alone(tiny):
    model = CopyModel.load(str(tiny))
    cold = {"seed": 1, "most_tokens": 8, "temperature": 1e-4}
    long, short = "A much longer prompt than the other:", "Ad:"
    both = model.generate([long, short], 1, **cold)
    assert both[0].text == model.generate([long], 1, **cold)[0].text
    assert both[1].text == model.generate([short], 1, **cold)[0].text


def test_the_version_changes_with_the_model(tiny, embedder):
    assert Creative(CopyModel.load(str(tiny)), embedder).version != Creative(None, embedder).version
    assert Creative(None, embedder).version == Creative(None, embedder).version


def test_price_is_argued_with_only_where_the_brief_states_one(embedder):
    row = {
        "name": "Plum Pen",
        "category": "office",
        "description": "A pen that writes in violet.",
        "facts": ["Refills fit in seconds."],
    }
    made = Creative(None, embedder).creatives(CreativeRequest(brief=make_brief(row)))
    assert Appeal.PRICE not in {v.appeal for v in made.variants}
    assert Appeal.PRICE in {
        v.appeal for v in Creative(None, embedder).creatives(CreativeRequest(brief=BRIEFS[0])).variants
    }


def test_only_the_tones_that_the_guidelines_allow_are_used(embedder):
    made = Creative(None, embedder).creatives(CreativeRequest(brief=BRIEFS[2]))
    assert {v.tone for v in made.variants} == {Tone.TRUSTED, Tone.PREMIUM}


@pytest.mark.parametrize("tones", range(1, 5))
@pytest.mark.parametrize("appeals", range(1, 5))
def test_slots_use_every_tone_and_appeal_evenly(tones, appeals):
    made = slots(list(Tone)[:tones], list(Appeal)[:appeals], 10)
    for part, size in (({s.tone: 0 for s in made}, tones), ({s.appeal: 0 for s in made}, appeals)):
        assert len(part) == size
    counts = [sum(s.tone is t for s in made) for t in list(Tone)[:tones]]
    assert max(counts) - min(counts) <= 1
    assert len(set(made[: tones * appeals])) == min(10, tones * appeals)
    assert made[0] == Slot(Tone.PLAYFUL, Appeal.PRICE)


def test_an_id_is_the_text_s_and_attributes_carry_what_models_know(embedder):
    made = Creative(None, embedder).creatives(CreativeRequest(brief=BRIEFS[0]))
    ids = [v.creative_id for v in made.variants]
    assert len(set(ids)) == len(ids)
    known = attributes(made.variants[0], BRIEFS[0])
    assert (known.tone, known.appeal, known.product_category) == (
        made.variants[0].tone,
        made.variants[0].appeal,
        "travel",
    )


def test_scores_are_higher_for_copy_about_the_product(embedder):
    near, far = embedder.embed(["A cabin backpack for short trips.", "Interest rates rose in March."])
    brief = embedder.embed(["Tern Backpack. A cabin backpack with a laptop pocket."])[0]
    assert near @ brief > far @ brief + 0.3


def test_embeddings_are_those_that_the_model_card_publishes(embedder):
    """all-MiniLM-L6-v2: 384 dimensions, unit length, and the same whatever stands beside a text in the batch."""
    texts = ["A man is eating food.", "A man is eating a piece of bread.", "A cheetah is running behind its prey."]
    vectors = embedder.embed(texts)
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(
        Embedder(embedder.model, embedder.tokenizer, "x").embed(texts[:1])[0], vectors[0], atol=1e-5
    )
    # Published for this pair of sentences by the sentence-transformers semantic search example: 0.7553.
    assert float(vectors[0] @ vectors[1]) == pytest.approx(0.7553, abs=5e-4)


@pytest.mark.parametrize("text", ["a | b", "two\nlines", "Headline: a thing", "", "  "])
def test_anything_but_one_plain_line_is_not_parsed(text):
    assert parse(text) is None


def test_every_prompt_shows_examples_of_its_tone_and_appeal():
    for tone, appeal in itertools.product(Tone, Appeal):
        for body, shown in ((True, 4), (False, 5)):
            text = prompt(tone, appeal, "Plum Pen", "Writes in violet.", body=body)
            assert text.count("Product:") == shown
            assert text.endswith(":")
            assert len(text) < 900


def test_every_template_line_claims_nothing(embedder):
    """Each frame must be usable: with a plain fact every headline, opener and closer passes in some candidate."""
    brief = make_brief({"name": "Plum Pen", "category": "office", "description": "Writes in violet.", "facts": ["Costs 9 euros."], "headline_max": 60, "body_max": 200})  # fmt: skip
    book = Rulebook(brief)
    for tone, appeal in itertools.product(Tone, Appeal):
        for headline, body in templates.candidates(brief, tone, appeal, templates.statements(brief), 200):
            assert not set(book.check(headline, body)) - {"repetition"}, (headline, body, book.check(headline, body))


@pytest.mark.slow
def test_the_packaged_model_writes_copy_that_keeps_the_rules(smollm, embedder):
    agent = Creative(smollm, embedder)
    made = agent.creatives(CreativeRequest(brief=BRIEFS[0], seed=1))
    assert_keeps_the_rules(made, BRIEFS[0], embedder)
    assert made.generated == 96
    assert made.template_share < 1.0
    assert agent.creatives(CreativeRequest(brief=BRIEFS[0], seed=1)).model_dump_json() == made.model_dump_json()


@pytest.mark.slow
def test_templates_alone_fill_every_second_development_brief(embedder):
    rows = yaml.safe_load((Path(__file__).parent / "tuning_briefs.yaml").read_text("utf-8"))
    for brief in (make_brief(row) for row in rows[::2]):
        assert_keeps_the_rules(Creative(None, embedder).creatives(CreativeRequest(brief=brief)), brief, embedder)
