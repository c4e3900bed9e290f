"""Who asks, and what each role may do: a table, so that nothing is allowed that is not written here."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What the bearer of a token may do, and what a route demands.

    A viewer looks; an operator also overrides, preempts, orders and resets what is latched; a maintainer may all that
    people may, which is what an operator may: no route demands more. A preemptor is an input of the street, such as
    that of a railway: it calls and ends preemptions, and sees nothing but the answer. An agent drives the cabinet of
    its own intersection and looks at it, and nothing else; it passes on no override, whoever asks for one.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    MAINTAINER = "maintainer"
    PREEMPTOR = "preemptor"
    AGENT = "agent"


GRANTS: dict[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.OPERATOR, Role.PREEMPTOR}),
    Role.MAINTAINER: frozenset({Role.VIEWER, Role.OPERATOR, Role.MAINTAINER, Role.PREEMPTOR}),
    Role.PREEMPTOR: frozenset({Role.PREEMPTOR}),
    Role.AGENT: frozenset({Role.VIEWER, Role.AGENT}),
}
"""The demands of routes that each role meets. People do not meet `agent`: they override, which is audited."""
AUDITED = frozenset({Role.OPERATOR, Role.MAINTAINER, Role.PREEMPTOR})
"""Demands of routes by which somebody takes the signal in hand; each such request is written down."""


class Principal(msgspec.Struct, frozen=True):
    """Who has proven to hold a token, and the role that it gives at each intersection that it counts for."""

    name: str
    roles: dict[str, Role]

    def may(self, demand: Role, intersection: str | None) -> bool:
        """Whether this one may use a route of `intersection` (None for no particular one) that demands `demand`."""
        held = self.roles.values() if intersection is None else (self.roles.get(intersection),)
        return any(demand in GRANTS[role] for role in held if role is not None)

    def role_at(self, intersection: str | None) -> str:
        """The role at `intersection`, or all of them, for the audit log."""
        if intersection is not None:
            return str(self.roles.get(intersection, ""))
        return ",".join(sorted(set(self.roles.values())))
