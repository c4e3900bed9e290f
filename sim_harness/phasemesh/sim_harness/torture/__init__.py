"""Cities under attack: repeated demand, the run beside one without faults, verdicts, sweeps and soaks."""
