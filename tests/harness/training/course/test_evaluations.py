"""After how many steps a training is evaluated."""

import pytest

from harness.training.course.evaluations import following


@pytest.mark.parametrize(
    ("own", "every", "expected"),
    [
        (range(12), 4, [4, 8, 12]),
        (range(10), 4, [4, 8, 10]),
        (range(3), 25, [3]),
        (range(7, 20), 5, [12, 17, 20]),  # a later stage counts from its own beginning
    ],
)
def test_evaluations_follow_each_other_to_the_end_of_a_stage(own: range, every: int, expected: list[int]) -> None:
    done = [own.start]
    while done[-1] < own.stop:
        done.append(following(own, done[-1], every))
    assert done[1:] == expected


def test_a_resumed_training_is_evaluated_where_it_would_have_been() -> None:
    assert [following(range(7, 20), done, 5) for done in (7, 8, 11, 12, 16, 19)] == [12, 12, 12, 17, 17, 20]
