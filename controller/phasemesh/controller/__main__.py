"""Runs the command line as `python -m phasemesh.controller`, for where no script is on the path."""

from phasemesh.controller.cli import main

main()
