"""Whether a process must have a folder for what outlasts it: latched faults, and how lives follow each other."""

from __future__ import annotations

from pathlib import Path

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import Pace, SiteFile

STREET_PROFILE = "street"
NOT_KEPT = "started without --state: what is latched ends with this process and is not there after a power cut"


def is_of_street(site: SiteFile) -> bool:
    """Whether `site` runs by the clock of a street and under its times, or is a street."""
    return site.pace is Pace.REALTIME and (site.profile == STREET_PROFILE or not site.is_simulated)


def is_forgetful(site: SiteFile, state: Path | None, *, is_waived: bool) -> bool:
    """Whether a process of `site` forgets what should outlast it, which `is_waived` (`--no-state`) allows.

    A latched fault must not be cleared by a restart or a power cut, as in the monitors of cabinets, so that a street
    starts without a `state` folder only where somebody says so.

    Raises:
        InputError: There is no folder and nobody said so, or there is one and somebody said that there is none.
    """
    if state is not None and is_waived:
        raise InputError(f"--state {state}: contradicts --no-state; leave one of them out")
    if state is None and is_of_street(site) and not is_waived:
        raise InputError(
            f"--state: is missing, and {site.name} is a street: name a folder in which latched faults outlast this"
            " process, or say --no-state"
        )
    return state is None and is_of_street(site)
