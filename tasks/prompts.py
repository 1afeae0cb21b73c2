"""Prompts for decoders and masked encoders, from published prompt sets.

A task's own template is the one of text-to-text models, which read "premise : … hypothesis : …" as T5 does. A decoder
continues a text, so its prompt ends with a cue. A masked encoder fills a cloze. `task.prompt` names the kind, and the
kind, the wording and the words are in a cell's key. `bare` is the fields of the task's own template alone, one after
the other with a space between: no word of ours stands around them, and a masked encoder gets its mask at the end.
Where a wording is changed for another data set than the source has it for, or has no source, the source says so. The
clozes of GLUE are in `tasks/glue.py`.

All wordings and words were compared with the sources' code: lm_eval/tasks of lm-evaluation-harness@4e7e0d4,
run_experiment.sh of princeton-nlp/LM-BFF@c282f52, pet/pvp.py of timoschick/pet@21d32de and data_utils.py of
tonyzhaozh/few-shot-learning@e04d864. A template cannot write all that they do. lm-evaluation-harness ends a hypothesis
with a period where there is none, joins HellaSwag's activity to its context, and scores WinoGrande, COPA and ReCoRD
with options inside the text: these four read their own template. LM-BFF and PET drop the last sign before a question
mark, and LM-BFF writes the second text's first letter small.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import UsageError
from tasks import templates
from tasks.base import TaskRow

TEXT, CLOZE, CONTINUATION, AUTO, BARE = "text", "cloze", "continuation", "auto", "bare"
LM_EVAL = "lm-evaluation-harness (Gao et al. 2021, github.com/EleutherAI/lm-evaluation-harness)"
LM_BFF = "LM-BFF (Gao et al. 2021, arXiv 2012.15723), table 1"
PET = "PET (Schick and Schütze 2021, arXiv 2001.07676 and 2009.07118)"
CALIBRATE = "Zhao et al. 2021 (arXiv 2102.09690)"
KINDS: Mapping[str, str] = {"causal": CONTINUATION, "masked": CLOZE}
"""Objective -> the kind of prompt that it reads by default, where a task has one."""


@dataclass(frozen=True)
class Prompt:
    """A template, its label words (() for the task's own) and where it comes from."""

    template: str
    words: tuple[str, ...]
    source: str


_NO_YES, _POLARITY, _GREAT = ("no", "yes"), ("Negative", "Positive"), ("terrible", "great")
_TOPICS = ("World", "Sports", "Business", "Technology")
_QUESTIONS = ("Abbreviation", "Entity", "Description", "Person", "Location", "Number")
_ASKED = (
    "Classify the questions based on whether their answer type is a Number, Location, Person, Description, Entity, "
)
_ENTAILS = "{premise}\nQuestion: {hypothesis} True, False or Neither?\nAnswer:"
_REVIEW = "Review: {text}\nSentiment:"


def _continued(template: str, words: tuple[str, ...] = (), source: str = LM_EVAL) -> dict[str, Prompt]:
    return {CONTINUATION: Prompt(template, words, source)}


def _filled(template: str, words: tuple[str, ...], source: str = LM_BFF) -> dict[str, Prompt]:
    return {CLOZE: Prompt(template, words, source)}


def _review(text: str, for_films: bool = True) -> dict[str, Prompt]:
    """Return both prompts of a set of reviews."""
    note = "" if for_films else "; ours, as theirs for films"
    return {
        **_continued(_REVIEW.replace("{text}", text), _POLARITY, f"{CALIBRATE}, theirs for SST-2"),
        **_filled(f"{text} It was {{mask}}.", _GREAT, f"{LM_BFF}{note}"),
    }


PROMPTS: Mapping[str, Mapping[str, Prompt]] = {
    "glue/cola": _continued("{sentence}\nQuestion: Does this sentence make sense?\nAnswer:", _NO_YES),
    "glue/sst2": _continued("{sentence}\nQuestion: Is this sentence positive or negative?\nAnswer:"),
    "glue/mrpc": _continued(
        "Sentence 1: {sentence1}\nSentence 2: {sentence2}\nQuestion: Do both sentences mean the same thing?\nAnswer:",
        _NO_YES,
    ),
    "glue/qqp": _continued(
        "Question 1: {question1}\nQuestion 2: {question2}\nQuestion: Do both questions ask the same thing?\nAnswer:",
        _NO_YES,
    ),
    "glue/mnli": _continued(_ENTAILS, ("True", "Neither", "False")),
    "glue/qnli": _continued(
        "{question}\n{sentence}\nQuestion: Does this response answer the question?\nAnswer:", ("yes", "no")
    ),
    "glue/rte": _continued("{sentence1}\nQuestion: {sentence2} True or False?\nAnswer:", ("True", "False")),
    "superglue/boolq": {
        **_continued("{passage}\nQuestion: {question}?\nAnswer:", _NO_YES),
        **_filled("{passage}. Question: {question}? Answer: {mask}.", ("No", "Yes"), PET),
    },
    "superglue/cb": {
        **_continued(
            "{premise}\nQuestion: {hypothesis}. True, False, or Neither?\nAnswer:", ("True", "False", "Neither")
        ),
        **_filled("{hypothesis}? {mask}, {premise}", ("Yes", "No", "Maybe"), PET),
    },
    "superglue/multirc": {
        **_continued("{paragraph}\nQuestion: {question}\nAnswer: {answer}\nIs the answer correct?", _NO_YES),
        **_filled("{paragraph}. Question: {question}? Is it {answer}? {mask}.", ("No", "Yes"), PET),
    },
    "superglue/rte": {
        **_continued("{premise}\nQuestion: {hypothesis} True or False?\nAnswer:", ("True", "False")),
        **_filled("{premise}? {mask}, {hypothesis}", ("Yes", "No")),
    },
    "superglue/wic": {
        **_continued(
            "Sentence 1: {sentence1}\nSentence 2: {sentence2}\nQuestion: Is the word '{word}' used in the same way in "
            "the two sentences above?\nAnswer:",
            _NO_YES,
        ),
        **_filled('"{sentence1}" / "{sentence2}" Similar sense of "{word}"? {mask}.', ("No", "Yes"), PET),
    },
    "superglue/wsc": _continued(
        'Passage: {text}\nQuestion: In the passage above, does the pronoun "*{pronoun}*" refer to "*{noun}*"?\nAnswer:',
        _NO_YES,
        f"{LM_EVAL}, which also puts the pronoun of the passage between stars",
    ),
    "piqa": _continued("Question: {goal}\nAnswer:"),
    "arc_easy": _continued("Question: {question}\nAnswer:"),
    "arc_challenge": _continued("Question: {question}\nAnswer:"),
    "openbookqa": _continued("{question}"),
    "social_i_qa": _continued("Q: {context} {question}\nA:"),
    "squad": _continued(
        "Background: {context}\n\nQuestion: {question}\n\nAnswer:", source=f"{LM_EVAL}, without the title"
    ),
    "trec": {
        **_continued(
            _ASKED + "or Abbreviation.\n\nQuestion: {text}\nAnswer Type:",
            _QUESTIONS,
            f"{CALIBRATE}, where the word of the class Abbreviation is Ab",
        ),
        **_filled("{mask} : {text}", ("Expression", "Entity", "Description", "Human", "Location", "Number")),
    },
    "ag_news": {
        **_continued(
            "Classify the news articles into the categories of World, Sports, Business, and Technology.\n\n"
            "Article: {text}\nAnswer:",
            _TOPICS,
            f"{CALIBRATE}, where Science is a second word of the class Technology",
        ),
        **_filled("{mask} News: {text}", ("World", "Sports", "Business", "Tech"), PET),
    },
    "mr": _review("{text}"),
    "imdb": _review("{text}"),
    "cr": _review("{text}", for_films=False),
    "yelp_polarity": _review("{text}", for_films=False),
    "amazon_polarity": _review("{title} {content}", for_films=False),
    "sst5": {
        **_continued(_REVIEW, ("terrible", "bad", "okay", "good", "great"), "ours, with the words of LM-BFF"),
        **_filled("{text} It was {mask}.", ("terrible", "bad", "okay", "good", "great")),
    },
    "subj": _filled("{text} This is {mask}.", ("objective", "subjective")),
    "snli": {
        **_continued(_ENTAILS, ("True", "Neither", "False"), f"{LM_EVAL}, theirs for MNLI"),
        **_filled("{premise}? {mask}, {hypothesis}", ("Yes", "Maybe", "No")),
    },
}


def usual(name: str, objective: str) -> str:
    """Return the kind of prompt that an objective reads of a task by default."""
    kind = KINDS.get(objective, TEXT)
    return kind if kind in PROMPTS.get(name, {}) else TEXT


def put(name: str, row: TaskRow, kind: str) -> TaskRow:
    """Return the row with the prompt of this kind and its words, in the place where an objective reads it."""
    if kind == BARE:
        return replace(row, template=bare(name, row.template), cloze="")
    if kind not in PROMPTS.get(name, {}):
        return row
    prompt = PROMPTS[name][kind]
    if kind == CLOZE:
        return replace(row, cloze=prompt.template, cloze_words=prompt.words)
    return replace(row, template=prompt.template, label_words=prompt.words or row.label_words)


def bare(name: str, template: str) -> str:
    """Return a template of the same fields without any other words. Raise UsageError where it has no field."""
    fields = templates.columns(template)
    if not fields:
        raise UsageError(
            f"task.prompt={BARE}: the template of task {name} has no field, so nothing of a row would be left; leave "
            "task.prompt out."
        )
    return " ".join(f"{{{field}}}" for field in fields)


def is_bare(task: Mapping[str, Any]) -> bool:
    """Return whether a task's configuration, as JSON, has the bare prompt."""
    return task.get("prompt") == BARE
