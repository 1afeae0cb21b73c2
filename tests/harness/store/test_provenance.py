"""Where a record was made: the commit of a checkout or of a linked worktree, and whether its code has changes."""

import subprocess

import pytest

from harness import assets
from harness.store import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit; it stands for ours."""
    root = tmp_path / "checkout"
    (root / "harness").mkdir(parents=True)
    (root / "harness" / "page.py").write_text("one = 1\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    monkeypatch.setattr(assets, "root", lambda: root)
    return root


def git(root, *words):
    return subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_and_a_linked_worktree_name_their_commit(checkout, tmp_path, monkeypatch):
    head = git(checkout, "rev-parse", "HEAD")
    assert provenance.commit() == head
    git(checkout, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    monkeypatch.setattr(assets, "root", lambda: tmp_path / "side")
    assert provenance.commit() == head
    git(checkout, "pack-refs", "--all")
    assert provenance.commit() == head


def test_changed_code_is_recorded_and_other_files_are_not(checkout):
    assert provenance.changed() is False
    (checkout / "notes.txt").write_text("a note")
    assert provenance.changed() is False
    (checkout / "harness" / "new.py").write_text("two = 2\n")
    assert provenance.changed() is True
    git(checkout, "add", ".")
    assert provenance.changed() is True


def test_without_a_checkout_nothing_is_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "root", lambda: tmp_path)
    assert provenance.commit() is None
    assert provenance.changed() is None
