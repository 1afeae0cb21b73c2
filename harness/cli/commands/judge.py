"""Let a judge model grade the answers of a finished cell, or compare them with another cell's.

deltabench judge KEY [store=DIR]           grades from 1 to 10, stored in the record; `deltabench show KEY` shows them
deltabench judge KEY OTHER [store=DIR]     pairwise, in both orders: an answer wins only where both orders agree
deltabench reproduce dora-table5 probe=judge[,judge_pairs]     every cell of an exhibit, also in its tables

The environment names the judge, any model behind an OpenAI-compatible chat-completions address: DELTABENCH_JUDGE_URL
(such as http://localhost:8000/v1), DELTABENCH_JUDGE_MODEL, and DELTABENCH_JUDGE_KEY if it needs a key. Every reply is
stored in judgements.jsonl of the attempt. The same command requests only the missing replies, also after a judge that
did not answer, and nothing is trained or generated again. The cost is one reply per answer, or two per pair.
Exit code: 0 judged, 1 the judge did not answer or no reply of it could be read, 2 usage.
As JSON: {"status": "done" or "failed", "error": of a failure, "model", "wording": a digest of the question's, "sets":
{SET: {"grade", "rows", "unread"}}, "ended"}; of a pair "against": the other's key, and the sets have {"rows", "unread",
"won", "lost", "tied", "agreeing", "won_or_half"}.
"""

import argparse
import json
import sys
from typing import Any

from harness.cli import command_line
from harness.config import compose
from harness.errors import UsageError
from harness.probes import judge_pairs
from harness.probes import registry as probes
from harness.probes.judging import chat_client, grading
from harness.probes.judging.answers import Answer, StoredAnswers
from harness.store import lease
from harness.store.store import Store

GRADES = "judge"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `deltabench judge`."""
    parser.add_argument("key", metavar="KEY", help="the first digits of a cell's key, at least four")
    parser.add_argument("other", metavar="OTHER", nargs="?", help="key of the cell to compare with")
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run `deltabench judge` and return its exit code."""
    positional = [arguments.other, *arguments.words] if arguments.other else arguments.words
    given = command_line.parse([word for word in positional if "=" in word], ())
    if given.block or given.added:
        raise UsageError(f"{next(iter([*given.block, *given.added]))}=…: the keys identify the cells; leave it out.")
    others = [word for word in positional if "=" not in word]
    if len(others) > 1:
        raise UsageError(f"{others[1]!r}: a judge compares two cells; give one KEY, or two.")
    store = Store(given.configure(compose.defaults()["runtime"]).store)
    key = store.find(arguments.key)
    if others:
        if (other := store.find(others[0])) == key:
            raise UsageError(f"both keys are those of cell {key[:12]}: give one KEY, or another cell's beside it.")
        return _pairs(store, key, other, arguments.json)
    result = probes.result(store.read(key) or {}, GRADES)
    if result is None:
        probes.check(GRADES)
        result = probes.take(store, key, GRADES, given.configure(compose.defaults()["runtime"]))
    _print(result, probes.descriptions({"probes": {GRADES: result}})[GRADES], arguments.json)
    return 0 if result["status"] == "done" else 1


def _pairs(store: Store, key: str, other: str, as_json: bool) -> int:
    """Compare two cells and print the result.

    The judgements are stored in the first cell's attempt, so a repeated command sends no request.
    """
    endpoint = chat_client.from_environment()
    store.check_writable()
    mine, theirs = (_stored(store, name) for name in (key, other))
    against = matched(mine, theirs)
    own_lease = lease.acquire(store.leases, key)
    if own_lease is None:
        raise UsageError(f"cell {key[:12]} is running: judge it when it has ended.")
    try:
        with lease.beating(own_lease):
            result = grading.pairs(mine, endpoint, against)
    except (chat_client.Unreachable, grading.Unreadable) as error:
        print(f"deltabench: {error}", file=sys.stderr)
        if as_json:
            _print({"status": "failed", "error": str(error), "against": other}, [], as_json)
        return 1
    finally:
        own_lease.release()
    _print({"status": "done", **result, "against": other}, judge_pairs.describe(result), as_json)
    return 0


def matched(mine: StoredAnswers, theirs: StoredAnswers) -> dict[Answer, str]:
    """Return each answer of one cell with the other cell's answer to the same question. Raise UsageError where they
    share no question.
    """
    texts = {(row.set, row.id): row.text for rows in theirs.answers.values() for row in rows}
    rows = [row for rows in mine.answers.values() for row in rows if (row.set, row.id) in texts]
    same = [row for row in rows if mine.questions[row.set, row.id] == theirs.questions.get((row.set, row.id))]
    if not same:
        raise UsageError(f"cells {mine.key[:12]} and {theirs.key[:12]} have no question in common.")
    return {row: texts[row.set, row.id] for row in same}


def _stored(store: Store, key: str) -> StoredAnswers:
    record = store.read(key)
    if record is None or record["status"] != "done":
        raise UsageError(f"cell {key[:12]} is {store.status(key)}: a judge needs a finished cell.")
    return probes.stored_answers(store, key, record)


def _print(result: Any, lines: list[str], as_json: bool) -> None:
    print(json.dumps(result, ensure_ascii=False, indent=1) if as_json else "\n".join(lines))
