"""A brief's file is refused in one line that names file, field and mend."""

import pytest
import yaml

from adplatform.contracts.errors import InputError
from adplatform.orchestrator.brief import load_brief

GOOD = {
    "campaign_id": "shoes",
    "product": {"name": "Trail shoes", "category": "sports", "description": "Light shoes."},
    "objective": "clicks",
    "budget": 20000,
    "flight": {"starts_on": "2026-12-01", "ends_on": "2026-12-14", "timezone": "Europe/Berlin"},
}


def write(tmp_path, content):
    path = tmp_path / "brief.yaml"
    path.write_bytes(
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else yaml.safe_dump(content)).encode()
    )
    return path


def without(*names):
    return {k: v for k, v in GOOD.items() if k not in names}


@pytest.mark.parametrize("budget", [20000, "20000.50", 20000.5, 0.01])
def test_a_good_brief_is_read(tmp_path, budget):
    brief = load_brief(write(tmp_path, {**GOOD, "budget": budget}))
    assert float(brief.budget) == float(budget)
    assert brief.flight.days == 14


def test_unquoted_dates_are_read_as_yaml_gives_them(tmp_path):
    text = yaml.safe_dump(GOOD).replace("'2026-12-01'", "2026-12-01").replace("'2026-12-14'", "2026-12-14")
    assert load_brief(write(tmp_path, text)).flight.days == 14


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (without("product"), "product: is missing; add it"),
        ({**GOOD, "product": {**GOOD["product"], "name": ""}}, "product.name"),
        (without("budget", "objective"), "objective: is missing; budget: is missing; add it"),
        ({**GOOD, "budget": 0}, r"budget: Input should be greater than 0 \(got 0\); give a larger figure"),
        ({**GOOD, "budget": -5}, "budget"),
        ({**GOOD, "budget": "lots"}, "budget"),
        ({**GOOD, "budget": float("nan")}, "budget"),
        ({**GOOD, "budget": 10.001}, "budget"),
        (
            {**GOOD, "flight": {"starts_on": "2026-12-14", "ends_on": "2026-12-01"}},
            "flight: ends_on 2026-12-01 is before starts_on 2026-12-14",
        ),
        ({**GOOD, "flight": {"starts_on": "tomorrow", "ends_on": "2026-12-01"}}, "flight.starts_on"),
        ({**GOOD, "flight": {**GOOD["flight"], "timezone": "Mars/Olympus"}}, "flight.timezone: unknown time zone"),
        ({**GOOD, "buget": 5}, "buget: Extra inputs are not permitted.*take it out or mend its spelling"),
        ({**GOOD, "objective": "fame"}, "objective"),
        ({**GOOD, "variants": 50}, "variants"),
        ({**GOOD, "currency": "euro"}, "currency"),
        ({**GOOD, "campaign_id": "../etc"}, "campaign_id"),
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n- b\n", "holds a list"),
        ("just words", "holds a str"),
        ("a: [1\nb: 2", r"line \d+: is no YAML"),
        ("!!python/object/apply:os.system ['true']", "is no YAML"),
        (b"\xff\xfeproduct: x", r"is not UTF-8 \(byte 0\)"),
    ],
)
def test_a_bad_brief_is_refused_in_one_line_that_names_file_and_field(tmp_path, content, words):
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=words) as caught:
        load_brief(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match="can't be read"):
            load_brief(path)
