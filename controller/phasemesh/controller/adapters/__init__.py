"""One file a way to reach a signal; all pass the same contract suite."""
