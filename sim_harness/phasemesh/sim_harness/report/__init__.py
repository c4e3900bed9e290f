"""What a person reads after runs: one page for a run, one for a comparison, and the tables of both."""
