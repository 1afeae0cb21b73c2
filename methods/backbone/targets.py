"""Which linears of a backbone a method's targets name: roles, `all-linear`, or patterns over names. Torch-free."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from harness.errors import NotApplicable, UsageError, near

LINEAR_ROLES = ("q", "k", "v", "o", "ffn-in", "ffn-gate", "ffn-out")
FUSED_ROLES = ("q", "k", "v")
WHOLE = "qkv"
"""The place of a linear that is q, k and v together, none of which has rows of its own."""
ALL = "all-linear"
"""The target that stands for every linear of the blocks: all roles that the family has."""


@dataclass(frozen=True)
class Named:
    """The linears of a backbone by name.

    sizes: dotted name -> (d_in, d_out), in model order. The rows of a fused linear that have a role follow it, as in
    `h.0.attn.c_attn:q`. roles: role -> the names of its linears, of a fused one the whole, for the roles that there
    are. family: its name, "" for a backbone of no known family. fused, experts: those of `Family`.
    """

    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    family: str = ""
    fused: bool = False
    experts: bool = False

    def chosen(self, targets: Iterable[str], field: str = "targets", whole: bool = False) -> list[str]:
        """Return the names of the linears that the targets name, in model order.

        `all-linear` takes a fused linear by its rows where they have roles, and as one where they have none. whole:
        always as one. Raise UsageError, which names the method's `field`, for a target that matches nothing.
        """
        targets = tuple(targets)
        chosen: set[str] = set()
        for target in targets:
            matches = self._every(whole) if target == ALL and self.roles else self._matching(target)
            if not matches:
                raise self._refused(target, targets, field)
            chosen |= matches
        chosen -= {name for name in chosen if ":" in name and name.rpartition(":")[0] in chosen}  # the whole has them
        return [name for name in self.sizes if name in chosen]

    def places(self, roles: Iterable[str]) -> dict[str, set[str]]:
        """Return role -> the names of its linears, of the roles that there are. Those without rows are one WHOLE."""
        present = [role for role in roles if role in self.roles]
        return {role if (rows := self._of_role(role)) else WHOLE: rows or set(self.roles[role]) for role in present}

    def _every(self, whole: bool) -> set[str]:
        names = self.roles if whole else self.places(self.roles)
        return {name for role in names for name in names[role]}

    def _matching(self, target: str) -> set[str]:
        if target in self.roles:
            return self._of_role(target)
        full = (name for name in self.sizes if ":" not in name)
        return {name for name in full if fnmatchcase(name, target) or fnmatchcase(name, f"*.{target}")}

    def _of_role(self, role: str) -> set[str]:
        rows = f":{role}" if self.fused and role in FUSED_ROLES else ""
        return {f"{name}{rows}" for name in self.roles[role]} & set(self.sizes)

    def _refused(self, target: str, targets: tuple[str, ...], field: str) -> UsageError:
        if self.experts and target in LINEAR_ROLES and target.startswith("ffn-"):
            return NotApplicable(f"method.{field}: the experts of family {self.family} hold no linear {target!r}")
        if self.fused and target in FUSED_ROLES and target in self.roles:
            fused = self.roles[target][0].rpartition(".")[2]
            return NotApplicable(
                f"method.{field}: {target!r} is interleaved head by head here, no rows of its own. Take "
                f"method.{field}=[{','.join(with_whole(targets, fused))}], with the whole of q, k and v."
            )
        if not self.family and target in (*LINEAR_ROLES, ALL):
            own = ", ".join(list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in self.sizes))[:8])
            return UsageError(
                f"method.{field}: {target!r} is a role, and this model's type has no row in "
                "methods/backbone/families.py that says which of its layers play it. "
                f"Name its linear layers themselves: {own}."
            )
        known = {*self.roles, *(name.rsplit(".", 1)[-1] for name in self.sizes if ":" not in name)}
        return UsageError(f"method.{field}: {target!r} matches no linear layer of this model.{near(target, known)}")


def with_whole(targets: Iterable[str], fused: str) -> list[str]:
    """Return the targets with the name of a fused linear, once, in place of the roles of its rows."""
    return list(dict.fromkeys(fused if target in FUSED_ROLES else target for target in targets))
