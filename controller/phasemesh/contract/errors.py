"""The exceptions of phasemesh: start-up and programming errors only.

Expected run-time trouble (a missing peer, a stale detector, a late answer) is a value, never an exception.

    PhasemeshError            one clear line for the user: what, where, what to do
    +-- InputError            something the user gave cannot be used (exit code 2)
    |   +-- SiteError         a site folder that is missing, broken or contradicts itself
    |   +-- BundleError       a bundle that is missing, altered, unsigned or of another spec
    |   +-- ScenarioError     an unknown scenario or a network that cannot be controlled
    |   +-- RecordError       a record file that cannot be read
    +-- MissingExtraError     an optional part of phasemesh (or SUMO) is not installed (exit code 2)
    +-- EndpointError         an address cannot be bound or reached at start-up (exit code 2)
"""

from __future__ import annotations


class PhasemeshError(Exception):
    """Base of every error that phasemesh raises on purpose."""


class InputError(PhasemeshError):
    """Something the user gave cannot be used."""


class SiteError(InputError):
    """A site folder is missing, broken or contradicts itself."""


class BundleError(InputError):
    """A bundle is missing, altered, unsigned, or made for another observation spec."""


class ScenarioError(InputError):
    """A scenario is unknown or its network cannot be controlled."""


class RecordError(InputError):
    """A record file cannot be read."""


class MissingExtraError(PhasemeshError):
    """An optional part of phasemesh is not installed."""


class EndpointError(PhasemeshError):
    """An address cannot be bound or reached at start-up."""
