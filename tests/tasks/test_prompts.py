"""Every prompt can be filled, pairs with its labels, and is in the key of the cells that read it."""

import json
from pathlib import Path

import pytest

from harness.config.schema import Cell, TaskConfig
from harness.errors import UsageError
from harness.experiments import rerun_command
from harness.experiments.grids import grid
from harness.store import identity
from tasks import prompts, templates
from tasks import registry as tasks

PAIRS = [(name, kind) for name, kinds in prompts.PROMPTS.items() for kind in kinds]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_prompt_reads_all_columns_and_has_a_word_per_class(name: str, kind: str) -> None:
    own, row = tasks.find(name), tasks.row(TaskConfig(name, prompt=kind))
    changed = row.cloze if kind == prompts.CLOZE else row.template
    marked = {"mask"} if kind == prompts.CLOZE else set()
    assert set(templates.columns(changed)) == {*templates.columns(own.template), *marked}
    words = row.cloze_words if kind == prompts.CLOZE else row.label_words
    assert len(set(words)) == len(words) == len(own.label_words)
    assert prompts.PROMPTS[name][kind].source
    assert kind != prompts.CLOZE or not own.cloze, "a task's own cloze stays what its keys stand for"
    if kind == prompts.CONTINUATION:
        assert changed[-1] in ":}?", "a decoder's prompt ends in a cue, and the answer follows after a space"


def folder(tmp_path: Path) -> str:
    rows = [{"sentence": f"a good dog {i}", "label": i % 2} for i in range(40)]
    for split in ("train", "validation"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path)


def planned(place: str, **more: object) -> Cell:
    block = {"method": "none", "model": "micro-llama-nano", "task": "glue/sst2", "task.validation_size": 8, **more}
    [cell] = grid.expand([{**block, "task.data_dir": place}])
    return cell


def test_each_objective_reads_its_own_prompt_and_the_key_knows_it(tmp_path: Path) -> None:
    place = folder(tmp_path)
    decoder = planned(place)
    text = tasks.load(decoder.task)
    assert decoder.task.prompt == prompts.CONTINUATION
    assert text.text(text.splits.train[0]).endswith("\nQuestion: Is this sentence positive or negative?\nAnswer:")
    plain = planned(place, **{"task.prompt": "text"})
    assert tasks.load(plain.task).template == "{sentence}"
    encoder = planned(place, model="micro-t5-nano")
    assert encoder.task == plain.task
    assert "prompt" not in json.loads(identity.canonical(plain))["task"], "the template of before has the key of before"
    named = planned(place, **{"task.template": "{sentence} ?"})
    assert (named.task.prompt, tasks.load(named.task).template) == ("text", "{sentence} ?")
    assert len({cell.task.digest for cell in (decoder, plain, named)}) == 3
    assert planned(place, **{"task.prompt": "continuation"}) == decoder
    with pytest.raises(UsageError, match=r"task.prompt=cloze: task glue/sst2 has these: text, bare, continuation\."):
        planned(place, **{"task.prompt": "cloze"})


def test_a_printed_command_names_the_prompt_where_it_is_not_the_usual_one(tmp_path: Path) -> None:
    place = folder(tmp_path)
    assert "task.prompt" not in rerun_command.command(planned(place))
    assert "task.prompt=text" in rerun_command.command(planned(place, **{"task.prompt": "text"}))


def test_a_cloze_and_its_words_change_the_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = [{"text": f"what is {i} ?", "coarse_label": i % 6} for i in range(40)]
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = TaskConfig("trec", data_dir=str(tmp_path), validation_size=4, prompt="auto")
    masked = tasks.prompted(tasks.resolve(config), "masked")
    assert (masked.prompt, tasks.load(masked).cloze) == ("cloze", "{mask} : {text}")
    assert tasks.prompted(tasks.resolve(config), "classifier").prompt == "text"
    known = prompts.PROMPTS["trec"]["cloze"]
    other = prompts.Prompt("{mask}, {text}", known.words, known.source)
    monkeypatch.setattr(prompts, "PROMPTS", {"trec": {"cloze": other}})
    tasks._read.cache_clear()
    assert tasks.prompted(tasks.resolve(config), "masked").digest != masked.digest
    tasks._read.cache_clear()


def test_a_bare_prompt_is_the_fields_alone_and_has_a_key_of_its_own(tmp_path: Path) -> None:
    place = folder(tmp_path)
    text, bare = (planned(place, model="micro-t5-nano", **{"task.prompt": kind}) for kind in ("text", "bare"))
    generated = [
        grid.expand([{"method": "none", "model": "micro-t5-nano", "task": "micro/inference", "task.prompt": kind}])[0]
        for kind in ("text", "bare")
    ]
    assert [tasks.load(cell.task).template for cell in generated] == [
        "premise : {premise} hypothesis : {hypothesis}",
        "{premise} {hypothesis}",
    ]
    assert len({identity.key(cell) for cell in (text, bare, *generated)}) == 4


def test_a_masked_encoder_reads_the_fields_and_keeps_its_words() -> None:
    plain, bare = (tasks.row(TaskConfig("glue/mrpc", prompt=kind)) for kind in ("text", "bare"))
    assert (bare.template, bare.cloze) == ("{sentence1} {sentence2}", "")
    assert plain.cloze
    assert bare.cloze_words == plain.cloze_words != ()


def test_a_bare_prompt_and_a_template_contradict_each_other() -> None:
    with pytest.raises(UsageError, match=r"task\.prompt=bare and task.template say two things") as error:
        tasks.row(TaskConfig("glue/sst2", prompt="bare", template="{sentence}"))
    assert "\n" not in str(error.value)


def test_a_template_without_a_field_has_no_bare_prompt() -> None:
    with pytest.raises(UsageError, match="the template of task mine has no field"):
        prompts.bare("mine", "say yes")
