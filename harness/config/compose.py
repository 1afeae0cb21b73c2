"""Compose YAML files into plain values, and hand batches of jobs to launchers. No other module imports Hydra."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from harness import assets, environment
from harness.config import conf_files, launchers, yaml_safety, yaml_values
from harness.config.launchers import Launcher
from harness.config.yaml_values import Written
from harness.errors import UsageError
from harness.files import plain_files

LOCAL = "local"
"""Ray's address for an instance of its own, which joins no cluster that runs on this machine."""
RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
"""Environment variables for Ray. Its usage reports are off. Its workers keep the usual priority, because their time is

measured.
"""
SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Launchers start workers with `python -m`, which would look for every module in the current folder first."""
Composed = dict[tuple[str, str], dict[str, Any]]
_composed: dict[tuple[Path, ...], Composed] = {}


def load(wanted: Iterable[tuple[str, str]]) -> Composed:
    """Return (group, option) -> the option's plain values, for the wanted options and all that were loaded before.

    Options that build on others get a place of their own in one composition. The result is cached for the process.
    Raises UsageError for a YAML that does not compose or that refers to other values.
    """
    known = _composed.setdefault(conf_files.folders(), {})
    new = sorted({choice for choice in wanted if choice not in known})
    for group, name in new:
        if name not in conf_files.files(group):  # registered by a package, without a YAML: its declared defaults
            known[group, name] = {"name": name}
        elif (values := _complete(conf_files.files(group)[name])) is not None:
            known[group, name] = _named(values, name)
    places = {f"option_{number}": choice for number, choice in enumerate(new) if choice not in known}
    if places:
        absent = (f"~{group}" for group in defaults() if group in conf_files.GROUPS)
        chosen = (f"+{group}@{place}={_quoted(name)}" for place, (group, name) in places.items())
        with _hydra() as compose:
            config = compose("run", [*absent, *chosen])
        composed = {(group, name): _named(config.get(place), name) for place, (group, name) in places.items()}
        for (_, name), values in composed.items():
            for field, value in yaml_safety.references(values):
                raise UsageError(f"{field} of {name} refers to {value[:80]!r}; write the value itself.")
        known.update(composed)
    return known


def defaults() -> dict[str, Any]:
    """Return the content of conf/run.yaml: option names per group, objective, seed and the `runtime` values.

    Hydra is not needed for it. Raises UsageError for a file without a `defaults` list.
    """
    path = next(path for folder in conf_files.folders() if (path := folder / "run.yaml").is_file())
    about = path.stat()
    return dict(_defaults(path, (about.st_mtime_ns, about.st_size)))


@lru_cache(maxsize=16)
def _defaults(path: Path, version: tuple[int, int]) -> dict[str, Any]:
    """Return what `defaults` reads. version: of the file, which a grid with many combinations asks for often."""
    try:
        content = yaml_values.load(plain_files.read_text(path))
        yaml_safety.check_references(content, path)
        listed = content.pop("defaults")
        chosen = {group: name for entry in listed if isinstance(entry, dict) for group, name in entry.items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UsageError(f"{path.name} must hold a `defaults` list and values: {_one_line(error)}") from error
    return {**content, **{group: name for group, name in chosen.items() if name is not None}}


def launcher(chosen: Launcher) -> dict[str, Any]:
    """Return the fields of a launcher: the values of its YAML, overridden by those of the command line.

    Raises UsageError as `launchers.settle` does.
    """
    with _hydra() as compose:
        config = compose("attempt", [f"+launcher={chosen.name}"], raw=True)
        return launchers.settle(chosen, yaml_values.plain_values(_plain(config.get("launcher") or {})))


def launch(
    name: str, settled: Mapping[str, Any], jobs: Sequence[Sequence[str]], task: Callable[..., Any]
) -> list[Exception]:
    """Run `task` once per override list through one of Hydra's launchers, and return the exceptions that it raised.

    settled: the launcher's fields (see `launcher`) and whatever else its YAML may refer to.
    """
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins
    from hydra.types import HydraContext
    from omegaconf import open_dict

    own = {name: os.environ[name] for name in RAY if name in os.environ}
    with environment.variables({**RAY, **own, **SAFE_PATH}), _hydra() as compose:
        config = compose("attempt", [f"+launcher={name}"], raw=True)
        with open_dict(config):
            config.launcher = dict(settled)
            config.hydra.launcher = _without_none(yaml_values.plain_values(_plain(config.hydra.launcher)))
            _join(config.hydra.launcher)
        context = HydraContext(config_loader=GlobalHydra.instance().config_loader(), callbacks=Callbacks())
        runner = Plugins.instance().instantiate_launcher(context, task, config)
        returns = runner.launch([list(job) for job in jobs], initial_job_idx=0)
    return [item._return_value for item in returns if isinstance(item._return_value, Exception)]


def shut_down() -> None:
    """Shut Ray down after an interruption: its workers end with the driver's session, not with the call."""
    if (ray := sys.modules.get("ray")) is not None:
        ray.shutdown()


def _join(node: Mapping[str, Any]) -> None:
    """Join a running Ray cluster before its launcher does: version 1.2 would pass a memory size that only a new one
    accepts.
    """
    init = (node.get("ray") or {}).get("init") or {}
    if init.get("address") not in (None, LOCAL):
        import ray

        if not ray.is_initialized():
            ray.init(**{name: init[name] for name in ("address", "log_to_driver", "logging_level") if name in init})


@contextmanager
def _hydra() -> Iterator[Callable[..., Any]]:
    """Yield `compose(config name, overrides)` over the conf folders; turn Hydra's own errors into UsageError."""
    from hydra import compose, version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    def plain(name: str, overrides: Sequence[str], raw: bool = False) -> Any:
        config = compose(name, overrides=list(overrides), return_hydra_config=raw)
        return config if raw else _plain(config, resolve=False)

    # hydra.initialize_config_dir would accept one folder only, and a user's folder has to come before ours.
    *added, ours = conf_files.folders()
    path = create_config_search_path(f"{_source()}://{ours}")
    for folder in reversed(added):
        path.prepend("user", f"{_source()}://{folder}")
    version.setbase("1.3")
    GlobalHydra.instance().clear()
    Hydra.create_main_hydra2(task_name="deltabench", config_search_path=path)
    try:
        yield plain
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UsageError(f"the configuration does not compose: {_one_line(error)}") from error
    finally:
        GlobalHydra.instance().clear()


@cache
def _source() -> str:
    """Register a source that reads YAML by the rules of `yaml_values`, and return its scheme."""
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra.core.plugins import Plugins
    from hydra.plugins.config_source import ConfigResult
    from omegaconf import OmegaConf

    class WrittenSource(FileConfigSource):
        @staticmethod
        def scheme() -> str:
            return "written"

        def load_config(self, config_path: str) -> ConfigResult:
            path = Path(self.path, self._normalize_file_name(config_path))
            text = plain_files.read_text(path)
            try:
                content, header = yaml_values.load(text), self._get_header_dict(text)
                if header.get("package") and config_path.partition("/")[0] in conf_files.GROUPS:
                    raise ValueError("an option holds flat fields, and no `# @package` line above them")
            except ValueError as error:
                raise ValueError(f"{path.name}: {error}") from error
            if not isinstance(content, dict | None):
                raise ValueError(f"{path.name}: it must hold names with values")
            if Path(self.path) != assets.conf():
                yaml_safety.check_references(content, path, own=config_path.startswith("launcher/"))
            return ConfigResult(self.provider, self.full_path(), OmegaConf.create(_bytes(content or {})), header)

    Plugins.instance().register(WrittenSource)
    return WrittenSource.scheme()


def _bytes(content: Any) -> Any:
    """Return the content with every `Written` text as bytes: OmegaConf keeps no subclass of str, and our YAML holds no
    bytes.
    """
    if isinstance(content, dict):
        return {name: _bytes(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_bytes(item) for item in content]
    return content.encode() if isinstance(content, Written) else content


def _quoted(option: str) -> str:
    """Return an option's name quoted for Hydra's grammar, in which 2024 is a number and null is None."""
    escaped = option.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _complete(path: Path) -> dict[str, Any] | None:
    """Return the values of a YAML that needs no composition; None for one with a defaults list, or with an error.

    Hydra takes milliseconds for each file, and it reports the errors.
    """
    try:
        text = plain_files.read_text(path)
        content = yaml_values.load(text)
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or "defaults" in content or "@package" in text:
        return None
    return None if any(yaml_safety.references(content)) else content


def _named(values: Any, option: str) -> dict[str, Any]:
    """Return an option's values. Raises UsageError unless they are flat fields with a name."""
    name = yaml_values.text(values.get("name")) if isinstance(values, dict) and values.get("name") is not None else ""
    if not name:
        raise UsageError(
            f"the YAML of {option!r} must hold flat fields, `name` among them, and no `# @package` line above them."
        )
    return {**values, "name": name}


def _plain(node: Any, resolve: bool = True) -> Any:
    """Return a config node as Python values. resolve: references to other fields are filled in, as a launcher's fields
    need.
    """
    from omegaconf import OmegaConf

    return _texts(OmegaConf.to_container(node, resolve=resolve)) if OmegaConf.is_config(node) else node


def _texts(content: Any) -> Any:
    """Return the content with bytes as `Written` texts; the inverse of `_bytes`."""
    if isinstance(content, dict):
        return {name: _texts(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_texts(item) for item in content]
    return Written(content.decode()) if isinstance(content, bytes) else content


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values without those that are None: a launcher takes its own default for an absent field."""
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if value is not None
    }


def _one_line(error: Exception) -> str:
    """Return an error's text in one line. A UnicodeDecodeError names no file, since Hydra had opened it."""
    hint = "a YAML file is not UTF-8 text: " if isinstance(error, UnicodeDecodeError) else ""
    return hint + " ".join(str(error).split())[:300]
