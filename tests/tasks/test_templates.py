"""Templates take any column's name, and know where each column's text stands."""

import pytest

from tasks import templates


@pytest.mark.parametrize("name", ["text", "Review Text", "review-text", "2", "meta.title", "turns[0]", "größe", "a/b?"])
def test_a_name_may_be_anything(name: str) -> None:
    template = f"{{{{x}}}} {{{name}}} : {{{name}:>4}}"
    assert templates.columns(template) == (name,)
    assert templates.fill(template, {name: "w", "x": "no"}) == "{x} w :    w"


def test_an_open_brace_is_no_template() -> None:
    with pytest.raises(ValueError, match="expected '}' before end of string"):
        templates.columns("{text")


def test_the_places_are_those_of_the_filled_text() -> None:
    values = {"title": " A dog ", "the body": "barks", "none": ""}
    text, places = templates.spans("{title}: {the body!r}{none} {title}", values)
    assert text == templates.fill("{title}: {the body!r}{none} {title}", values) == " A dog : 'barks'  A dog "
    assert [(name, text[start:end]) for name, start, end in places] == [
        ("title", "A dog"), ("the body", "'barks'"), ("none", ""), ("title", "A dog"),
    ]  # fmt: skip
