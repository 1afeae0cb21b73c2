"""What comes from elsewhere is data: no YAML names code, no name becomes a path, nothing is unpickled, no shell."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cli import dispatch
from harness.config import compose, conf_files, launchers
from harness.config.schema import Cell, MethodConfig, ModelConfig
from harness.errors import UsageError
from harness.experiments.grids import grid
from harness.store import identity, requested_grids
from harness.store.store import Store

ROOT = Path(__file__).parents[2]
SOURCES = [path for room in ("harness", "methods", "tasks") for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A conf folder of a user's own."""
    monkeypatch.setattr(conf_files, "_added", [])
    (tmp_path / "conf").mkdir()
    yield tmp_path / "conf"
    compose._composed.clear()


def _write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


CALL = "{_target_: os.system, _args_: [touch evil]}"
LOGGING = "{version: 1, handlers: {a: {(): os.system, command: touch evil}}}"
EVIL = {
    "method/a.yaml": f"name: lora\nrank: {CALL}\n",
    "model/deep/a.yaml": f"name: a\nx: [1, [{CALL}]]\n",
    "recipe/a.yaml": "# @package hydra.job_logging\nversion: 1\n",
    "task/a.yaml": "name: a\nhydra: {callbacks: {a: {b: 1}}}\n",
    "exhibit/a.yaml": f"title: a\nx: {CALL}\n",
    "launcher/a.yaml": f"# @package _global_\nhydra: {{launcher: {{n_jobs: 1, a: {CALL}}}}}\n",
    "launcher/b.yaml": f"# @package _global_\nhydra: {{job_logging: {LOGGING}}}\n",
    "launcher/c.yaml": "# @package _global_\ndefaults:\n  - override /hydra/job_logging: evil\n",
    "launcher/d.yaml": "# @package _global_\ndefaults:\n  - /recipe/micro@hydra.job_logging\n",
    "launcher/e.yaml": "# @package _global_\ndefaults:\n  - /other/a\n",
    "launcher/f.yaml": "# @package _global_\nhydra.job_logging: {a: 1}\n",
    "launcher/g.yaml": f"# @package _global_\na: &a {CALL}\nhydra: {{launcher: {{x: {{<<: *a}}}}}}\n",
    "attempt.yaml": "key: 1\n",
    "run.yaml": "defaults:\n  - hydra/job_logging: evil\n",
    "hydra/launcher/joblib.yaml": f"{CALL}\n",
    "hydra/job_logging/none.yaml": f"{LOGGING}\n",
}


READING = {
    "model/a.yaml": 'name: a\nlicense: "${oc.env:HOME}"\n',
    "model/deep/b.yaml": "name: b\narchitecture: {layers: [1, {x: 'v ${oc.decode:1} w'}]}\n",
    "task/c.yaml": 'name: c\ntemplate: "{text} ${.license}"\n',
    "recipe/d.yaml": "name: d\nsteps: ${oc.create:1}\n",
    "method/e.yaml": "name: lora\ntargets: ['${hydra:runtime.cwd}']\n",
    "method/f.yaml": "name: lora\nrank: ${launcher.jobs}\n",
    "method/g.yaml": "name: lora\na: &a ${oc.env:HOME}\nrank: *a\n",
    "run.yaml": "defaults:\n  - model: ${oc.env:HOME}\nruntime: {store: a}\n",
    "launcher/h.yaml": "# @package _global_\nlauncher: {partition: '${oc.env:HOME}'}\n",
    "launcher/i.yaml": "# @package _global_\nlauncher: {partition: '${launcher.jobs} ${hydra.runtime.cwd}'}\n",
}


@pytest.mark.parametrize("name", READING)
def test_yaml_of_a_user_reads_nothing_of_this_machine(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that is chosen is refused, and it stands in no other's way; the list tells what is wrong about it."""
    monkeypatch.setenv("HOME", "secret-home")
    _write(folder, name, READING[name])
    group, _, option = name.removesuffix(".yaml").partition("/")
    chosen = [f"{group}={option}"] if option else []
    assert dispatch.main(["plan", "--config-dir", str(folder), *chosen]) == 2
    told = capsys.readouterr().err
    assert name in told
    assert re.search(r" [\w.]+ refers to '", told), "the field is named"
    assert "secret-home" not in told
    if option:
        assert dispatch.main(["list", f"{group}s", "--config-dir", str(folder)]) == 0
        told = " ".join(capsys.readouterr().out.split())  # long texts are wrapped
        assert f"{option} " in told
        assert re.search(rf"(?i)not usable: \S+{re.escape(name)}: [\w.]+ refers to '", told)
        assert "secret-home" not in told


def test_a_file_that_is_not_chosen_stands_in_nobody_s_way(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(folder, "task/bad.yaml", READING["task/c.yaml"])
    _write(folder, "exhibit/bad.yaml", "title: '${oc.env:HOME}'\n")
    _write(folder, "exhibit/torn.yaml", "title: [\n")
    _write(folder, "launcher/torn.yaml", "launcher: [\n")
    _write(folder, "recipe/long.yaml", "name: long\nsteps: 3\n")
    assert dispatch.main(["plan", "--config-dir", str(folder), "recipe=long"]) == 0
    assert dispatch.main(["list", "exhibits", "--config-dir", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "delta-ranking" in told
    assert len(re.findall("Not usable", told)) == 2
    for chosen in (["check", "bad"], ["plan", "launcher=torn"], ["plan", "task=ba*"]):
        assert dispatch.main([*chosen, "--config-dir", str(folder)]) == 2, chosen


def test_what_a_chosen_file_builds_on_is_looked_at_too(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "secret-home")
    _write(folder, "recipe/base.yaml", "name: base\nsteps: ${oc.env:HOME}\n")
    _write(folder, "recipe/own.yaml", "defaults: [base, _self_]\nname: own\nsteps: 3\n")
    _write(folder, "recipe/list.yaml", "defaults: ['${oc.env:HOME}', _self_]\nname: list\n")
    for name, file in (("own", "base.yaml"), ("list", "list.yaml")):
        assert dispatch.main(["plan", "--config-dir", str(folder), f"recipe={name}"]) == 2
        told = capsys.readouterr().err
        assert file in told
        assert "secret-home" not in told


@pytest.mark.parametrize("name", EVIL)
def test_yaml_of_a_user_names_no_code(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    _write(folder, name, EVIL[name])
    with pytest.raises(UsageError, match=re.escape(name.split("/")[0])):
        conf_files.use(str(folder))
    assert conf_files.folders()[:-1] == ()
    assert dispatch.main(["plan", "--config-dir", str(folder)]) == 2
    assert not (folder.parent / "evil").exists()


def test_yaml_that_is_a_choice_is_taken(folder: Path) -> None:
    _write(folder, "method/big.yaml", "# mine\ndefaults: [lora, _self_]\nrank: 64\n")
    _write(folder, "method/sub/bigger.yaml", "# mine\ndefaults: [/method/lora, _self_]\nrank: 65\n")
    text = "# @package _global_\ndefaults:\n  - override /hydra/launcher: joblib\nlauncher: {jobs: 3}\n"
    _write(folder, "launcher/three.yaml", text + 'hydra:\n  launcher: {n_jobs: "${launcher.jobs}"}\n')
    _write(folder, "notes.txt", "_target_: os.system")
    conf_files.use(str(folder))
    [cell] = grid.expand([{"method": "big"}])
    assert cell.method.fields["rank"] == 64
    launchers.check("three")


def test_our_own_yaml_passes_the_same_check() -> None:
    from harness import assets
    from harness.config import yaml_safety

    groups = (*conf_files.GROUPS, "launcher", "exhibit")
    checked = 0
    for path in sorted(assets.conf().rglob("*.yaml")):
        if path.name != "attempt.yaml":
            import yaml

            text = path.read_text()
            content = yaml.safe_load(text)
            found = (*yaml_safety._keys(content), *yaml_safety._hydra(content), *yaml_safety._packages(text))
            assert list(found) == [], path
            assert list(yaml_safety._defaults(content, path, assets.conf(), groups)) == [], path
            checked += 1
    assert checked > 20


FORBIDDEN = {
    "pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "eval", "exec", "os.system", "os.popen",
    "yaml.unsafe_load", "yaml.full_load", "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader", "subprocess.getoutput",
}  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_and_nothing_reaches_a_shell(path: Path) -> None:
    """By the syntax tree: no pickle, `torch.load` with weights only, YAML by a safe loader, no shell."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Call):
            names.append(called := ast.unparse(node.func))
            said = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert said.get("shell", "False") == "False", f"{path.name}:{node.lineno}"
            remote = said.get("trust_remote_code", "False")  # off unless a person asks for it by this field
            assert remote in ("False", "config.trust_remote_code"), f"{path.name}:{node.lineno}"
            if called.endswith("torch.load"):
                assert said.get("weights_only") == "True", f"{path.name}:{node.lineno}"
            if called.endswith("numpy.load") or called == "np.load":
                assert said.get("allow_pickle", "False") == "False", f"{path.name}:{node.lineno}"
            if called == "yaml.load":
                assert ast.unparse(node.args[1]) in _safe_loaders(path), f"{path.name}:{node.lineno}"
        assert not FORBIDDEN & set(names), f"{path.name}:{node.lineno}"


def _safe_loaders(path: Path) -> set[str]:
    """yaml.SafeLoader, and classes of this file that derive from it."""
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return {"yaml.SafeLoader", *(one.name for one in classes if [*map(ast.unparse, one.bases)] == ["yaml.SafeLoader"])}


def test_code_that_comes_with_a_model_is_not_run_unless_asked_for() -> None:
    assert ModelConfig(name="a", family="b").trust_remote_code is False


def test_that_test_can_fail(tmp_path: Path) -> None:
    for line in ("import pickle", "torch.load(x)", "yaml.load(x, yaml.Loader)", "run(x, shell=True)", "eval(x)"):
        path = tmp_path / "a.py"
        path.write_text(line)
        with pytest.raises(AssertionError):
            test_nothing_is_unpickled_and_nothing_reaches_a_shell(path)


NAMES = ("../../evil", "/evil", "..", "a/../../evil", "evil\x00", "a" * 5000, "\n", "", "~", "C:\\evil", "\ud800", "."
         "$(touch evil)", "`touch evil`", "%s", "con")  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_no_name_becomes_a_path(store: Store, cell: Callable[..., Cell], name: str, tmp_path: Path) -> None:
    """A cell whose every name is odd is stored under its key, inside the store and nowhere else."""
    from dataclasses import replace

    one = cell()
    odd = replace(
        one,
        method=MethodConfig(name, one.method.fields),
        model=replace(one.model, name=name, location=name),
        task=replace(one.task, name=name, data_dir=name),
        recipe=replace(one.recipe, name=name),
        parents=((name, name),),
    )
    key = identity.key(odd)
    assert re.fullmatch("[0-9a-f]{64}", key)
    before = set(tmp_path.rglob("*"))
    store.begin(odd)
    requested_grids.note(store, requested_grids.of(name, [odd]))
    added = set(tmp_path.rglob("*")) - before
    assert added
    assert all(path == store.path or store.path in path.parents for path in added)
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("field", ["method", "model", "task", "recipe", "objective"])
@pytest.mark.parametrize("name", ["../../evil", "a/../../evil", "/etc/passwd", "a\x00b", "a" * 300, "..", "."])
def test_names_on_the_command_line_are_those_of_choices(field: str, name: str) -> None:
    with pytest.raises(UsageError):
        grid.expand([{field: [name]}])


@pytest.mark.parametrize("field", ["model.name", "model.family", "task.name", "method.name", "recipe.name"])
@pytest.mark.parametrize("name", ["../../evil", "os.system"])
def test_no_field_that_is_a_name_is_set_to_a_path(field: str, name: str) -> None:
    with pytest.raises(UsageError):
        grid.expand([{field: [name]}])


READERS = {
    "read_text", "read_bytes", "load_file", "safe_open", "read_csv", "read_parquet", "copyfile", "copy2", "loads",
    "safe_load", "fromfile", "memmap", "BinFile", "GzipFile",
}  # fmt: skip
OPENERS = ("os", "io", "gzip", "bz2", "lzma", "zipfile", "tarfile", "codecs", "mmap")
READ_ELSEWHERE = {
    "harness/files/plain_files.py": "the one way",
    "harness/files/atomic_files.py": "copies of files that it wrote",
    "harness/store/imported_source.py": "our own source",
    "harness/gpu_day/isolated.py": "logs that are written",
    "harness/models/control_tokens.py": "a tokenizer that is loaded",
    "harness/store/cell_files.py": "folders, without links",
    "harness/training/process_group.py": "copies between the processes of one cell",
    "methods/backbone/applicability.py": "our own table",
    "harness/analysis/parameter_counts.py": "our own table",
    "harness/config/values.py": "a value of a command line",
    "tasks/data/split_files.py": "the state of a saved data set",
    "harness/models/tensor_reader.py": "safetensors, after headers.check",
    "harness/training/tensor_file.py": "a checkpoint of our own attempt, with its digest",
    "harness/probes/judging/chat_client.py": "an answer of bounded length",
    "harness/store/merge.py": "copies of attempts, without links",
    "harness/store/attempt_folder.py": "a file that is written",
    "harness/measurement/memory_sampler.py": "a file that is written",
    "harness/processes/child.py": "a log that is written",
    "harness/store/archive.py": "an archive that is written",
    "harness/cli/streams.py": "the null device",
    "harness/processes/hosts.py": "the null device",
    "harness/cli/dispatch.py": "its own verbs' source, and the null device",
    "methods/registry.py": "our own source",
    "tasks/registry.py": "our own source",
    "harness/store/lease.py": "/proc",
    "harness/execution/outcome.py": "/proc",
    "harness/measurement/cpu_features.py": "/proc",
    "harness/store/provenance.py": "/proc and our own checkout",
    "tasks/data/file_formats.py": "rows of the user's own",
}


def _mode(call: ast.Call) -> bool:
    """Whether a call of `open` says how, as a path's does."""
    said = [*call.args, *(keyword.value for keyword in call.keywords)]
    return any(isinstance(one, ast.Constant) and str(one.value) in ("rb", "r", "rt", "utf-8") for one in said)


def _reading(path: Path) -> set[str]:
    """How a file of ours reads, beside harness/files/plain_files.py."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            of = getattr(node.func.value, "id", "") if isinstance(node.func, ast.Attribute) else ""
            if name in READERS and of not in ("plain_files", "plain", "tensor_reader", "stored"):
                found.add(f"{of}.{name}")
            if name == "open" and (of in OPENERS or (not of and isinstance(node.func, ast.Name)) or _mode(node)):
                found.add(f"{of}.open")
    return found


def test_what_comes_from_elsewhere_is_read_in_one_way() -> None:
    ours = [path for path in SOURCES if not {"microworld", "microworld2"} & {*path.parts}]  # it writes what it reads
    reading = {str(path.relative_to(ROOT)): found for path in ours if (found := _reading(path))}
    assert {path: found for path, found in reading.items() if path not in READ_ELSEWHERE} == {}
    assert set(READ_ELSEWHERE) <= set(reading), "each exception is one"
