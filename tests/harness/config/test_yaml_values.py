"""YAML with decimal numbers, whose texts stay as they were written."""

import pytest

from harness.config.yaml_values import Written, flow, load, plain_values, quoted, split, unquoted

ODD = [
    "a", "", "null", "~", "yes", "on", "010", "1e3", "1:30", "1_000", "0x10", "-", "-1", "a, b", "a: b", "don't", "#x",
    "x #y", '"q"', "'q'", "ü", "😀", "\n", "\x85", "\u2028", " a", "a ", "a  b", "[x", "{", "}", "\\", "\t", "\x7f",
    "a=b", "%", "\ufeff", "!!int 3", "&a", "*a", "<<", "=", "|", ">", "True", ".inf", "2024-01-01", "$" + "{x}",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[10, 010, +1, 1e3, 3e-4, 0.50, .5]", [10, 10, 1, 1000.0, 3e-4, 0.5, 0.5]),
        (
            "[yes, no, on, off, y, 1:30, 0x10, 0b1, 1_000]",
            ["yes", "no", "on", "off", "y", "1:30", "0x10", "0b1", "1_000"],
        ),
        ("[true, False, null, ~]", [True, False, None, None]),
        ("[2024-01-01, 99999-99-99]", ["2024-01-01", "99999-99-99"]),
        ("{yes: 1, 010: 2, null: 3}", {"yes": 1, "010": 2, "null": 3}),
        ("!!int '010'", 10),
        ("['010', \"1e3\"]", ["010", "1e3"]),
    ],
)
def test_numbers_are_decimal_and_words_are_texts(text: str, value: object) -> None:
    assert plain_values(load(text)) == value


def test_what_could_not_be_had_back_stays_as_it_was_written() -> None:
    found = load("[010, 0.50, True, 10, 0.5, true]")
    assert found == ["010", "0.50", "True", 10, 0.5, True]
    assert [type(one) for one in found] == [Written, Written, Written, int, float, bool]


@pytest.mark.parametrize("text", ODD)
def test_a_text_is_read_back(text: str) -> None:
    assert load(quoted(text)) == text
    assert load(flow([text, {text: text}])) == [text, {text: text}]
    assert unquoted(quoted(text)) == text


def test_pieces_between_commas() -> None:
    assert split("a,[b,c],{d: e,f}", ",") == ["a", "[b,c]", "{d: e,f}"]
    assert split('"a,b",it\'s,[x,"]"]', ",") == ['"a,b"', "it's", '[x,"]"]']
    assert split('prompt text="a b" length=2', " ") == ["prompt", 'text="a b"', "length=2"]


@pytest.mark.parametrize(
    "text", ["[", "a: 1\na: 2", "? [a]\n: b", "[" * 5000, "!!python/name:os.system x", "- a\n-\n- b", "\x00", "!!int x"]
)
def test_what_is_no_yaml_is_one_line(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the words are PyYAML's)
        load(text)
    assert "\n" not in str(caught.value)


def test_anchors_only_where_they_are_wanted() -> None:
    assert load("[&a 1, *a]") == [1, 1]
    with pytest.raises(ValueError, match="anchors"):
        load("[&a 1, *a]", anchors=False)
